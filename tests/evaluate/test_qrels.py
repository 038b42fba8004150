"""Reading judged queries, and what is said of files that are wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proxy.evaluate.qrels import BadInput, read_examples, read_judgments_jsonl, read_qrels, read_queries, read_trec

ESCI = Path(os.environ.get("ESCI_DIR", Path(__file__).parents[2] / ".." / "shared" / "data" / "esci"))


def test_trec(tmp_path: Path) -> None:
    (tmp_path / "queries").write_text("1\tblue  café\n\n2\tno judgement\r\n", encoding="utf-8")
    (tmp_path / "qrels").write_text("1 0 a 3\n1\tQ0\tb\t-2\n3 0 a 1\n")
    found = read_trec(tmp_path / "qrels", tmp_path / "queries")
    assert found.queries == {"1": "blue  café"}
    assert found.grades == {"1": {"a": 3, "b": 0}}
    assert (found.count, found.unjudged_queries, found.textless_queries) == (2, 1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 a 3\n1 0 a\n", r"qrels:2: expected 4 columns .* found '1 0 a'"),
        ("1 0 a good\n", r"qrels:1: the grade must be a whole number, found 'good'"),
        ("1 0 a 1\n1 0 a 2\n", r"qrels:2: 'a' has two different grades for query '1'"),
        ("\n", r"qrels: no judgement in it"),
    ],
)
def test_wrong_qrels(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "qrels").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_qrels(tmp_path / "qrels")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 blue\n", r"queries:1: expected a query id, a tab and a query, found '1 blue'"),
        ("1\ta\n1\tb\n", r"queries:2: query id '1' is there twice"),
        ("", r"queries: no query in it"),
    ],
)
def test_wrong_queries(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "queries").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_queries(tmp_path / "queries")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent: No such file"):
        read_queries(tmp_path / "absent")
    (tmp_path / "latin").write_bytes("1\tcafé\n".encode("latin-1"))
    with pytest.raises(BadInput, match="not UTF-8"):
        read_queries(tmp_path / "latin")


def test_files_of_two_collections(tmp_path: Path) -> None:
    (tmp_path / "queries").write_text("1\ta\n")
    (tmp_path / "qrels").write_text("2 0 a 1\n")
    with pytest.raises(BadInput, match="no query id in common"):
        read_trec(tmp_path / "qrels", tmp_path / "queries")


def test_judgments_jsonl(tmp_path: Path) -> None:
    rows = [{"query": "a", "labels": {"x": "E", "y": "S"}}, {"query": "b", "labels": {"x": "C", "z": "I"}}]
    path = tmp_path / "judgments.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = read_judgments_jsonl(path)
    assert found.queries == {"1": "a", "2": "b"}
    assert found.grades == {"1": {"x": 3, "y": 2}, "2": {"x": 1, "z": 0}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":1: not JSON"),
        ("[]", ":1: expected"),
        ('{"query": "a", "labels": {}}', ":1: expected"),
        ('{"query": "a", "labels": {"x": "exact"}}', "the label must be E, S, C or I, found 'exact'"),
    ],
)
def test_wrong_judgments(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "judgments.jsonl").write_text(line)
    with pytest.raises(BadInput, match=message):
        read_judgments_jsonl(tmp_path / "judgments.jsonl")


def examples(path: Path, **columns: list[object]) -> Path:
    table = {
        "query": ["a", "a", "b", "c"],
        "query_id": [1, 1, 2, 3],
        "product_id": ["x", "y", "x", "x"],
        "product_locale": ["us", "us", "us", "es"],
        "esci_label": ["E", "I", "S", "C"],
        "split": ["test", "test", "train", "test"],
    } | columns
    pq.write_table(pa.table(table), path)
    return path


def test_examples(tmp_path: Path) -> None:
    path = examples(tmp_path / "examples.parquet")
    assert read_examples(path, "test", "us").grades == {"1": {"x": 3, "y": 0}}
    assert read_examples(path, None, None).queries == {"1": "a", "2": "b", "3": "c"}
    with pytest.raises(BadInput, match="no row with split 'test' and locale 'jp'"):
        read_examples(path, "test", "jp")


def test_wrong_examples(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="two different texts"):
        read_examples(examples(tmp_path / "texts.parquet", query_id=[1, 1, 1, 1]), None, None)
    pq.write_table(pa.table({"query": ["a"]}), tmp_path / "columns.parquet")
    with pytest.raises(BadInput, match="no column esci_label, product_id"):
        read_examples(tmp_path / "columns.parquet", None, None)
    (tmp_path / "text.parquet").write_text("no parquet at all, but long enough to be one")
    with pytest.raises(BadInput, match="not a parquet file"):
        read_examples(tmp_path / "text.parquet", None, None)
    with pytest.raises(BadInput, match="absent"):
        read_examples(tmp_path / "absent.parquet", None, None)


@pytest.mark.esci
@pytest.mark.skipif(not ESCI.is_dir(), reason=f"no ESCI slice at {ESCI} (ESCI_DIR)")
def test_both_forms_of_the_esci_slice_say_the_same() -> None:
    parquet = read_examples(ESCI / "official" / "shopping_queries_dataset_examples.parquet", "test", "us")
    jsonl = read_judgments_jsonl(ESCI / "judgments.dev.jsonl")
    by_text = {jsonl.queries[qid]: grades for qid, grades in jsonl.grades.items()}
    assert len(by_text) == 50
    assert {parquet.queries[qid]: grades for qid, grades in parquet.grades.items()} == by_text
