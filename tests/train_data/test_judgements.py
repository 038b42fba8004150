"""Judgements of every format become the same; what is wrong is said in one line with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from esci_loader.__main__ import SAMPLE
from proxy.evaluate.qrels import BadInput
from tests.engines.esci import esci_dir
from training import documents
from training.judgements import Judgement, merge, read

PRODUCTS = [
    {"asin": "A", "title": "red shoe", "bullet_points": "light\nfast", "attrs": {"Brand": "Acme"}, "price": "$3"},
    {"asin": "B", "title": "blue shoe"},
]
RED = {"title": ("red shoe",), "bullets": ("light", "fast"), "brand": ("Acme",), "price": ("3.0",), "locale": ("us",)}
BLUE = {"title": ("blue shoe",), "locale": ("us",)}


@pytest.fixture
def products(tmp_path: Path) -> str:
    path = tmp_path / "products.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, PRODUCTS)).encode()))
    return str(path)


def put(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def noted(source: dict[str, Any]) -> tuple[list[Judgement], list[str]]:
    said: list[str] = []
    return read(source, said.append), said


def test_trec_qrels(tmp_path: Path, products: str) -> None:
    source = {
        "format": "qrels",
        "qrels": put(tmp_path, "qrels", "1 0 A 4\n1 0 B 1\n1 0 Z 2\n2 0 Y 2\n3 0 A 1\n"),
        "queries": put(tmp_path, "queries", "1\tred  shoe\n2\tshoe\n"),
        "products": products,
        "max_grade": 4,
    }
    found, said = noted(source)
    assert found == [Judgement("red shoe", RED, "A", 1.0), Judgement("red shoe", BLUE, "B", 0.25)]
    assert said == [
        f"1 judged query ids left out: {tmp_path / 'queries'} has no text for them",
        f"2 judgements left out: 2 documents have no text in {products}, 'Z' for one",
    ]


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_tables(tmp_path: Path, products: str, delimiter: str) -> None:
    rows = [["Query", "product_id", "label", "weight"], ['"red shoe"', "A", "E", "2"], ["red shoe", "B", "C", "1"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    source = {"format": "qrels", "qrels": put(tmp_path, "qrels.txt", text), "products": products}
    found, _ = noted(source)
    assert [(one.query, one.document_id, one.grade, one.weight) for one in found] == [
        ("red shoe", "A", 1.0, 2.0),
        ("red shoe", "B", 0.01, 1.0),
    ]


def test_gains_of_grades(tmp_path: Path, products: str) -> None:
    text = "query,document_id,grade\nshoe,A,3\nshoe,B,1\n"
    source = {"format": "qrels", "qrels": put(tmp_path, "q.csv", text), "products": products}
    found, _ = noted({**source, "gains": {3: 1, 2: 0.1, 1: 0.01, 0: 0}})
    assert [one.grade for one in found] == [1.0, 0.01]
    with pytest.raises(BadInput, match=r"q.csv:2: what grade 3 is worth is not stated: give max_grade"):
        read(source)
    with pytest.raises(BadInput, match=r"q.csv:2: grade 3 is not from 0 to 2; see max_grade"):
        read({**source, "max_grade": 2})
    with pytest.raises(BadInput, match=r"q.csv:3: unknown label '1'; expected 3$"):
        read({**source, "gains": {3: 1}})


def test_labels(tmp_path: Path, products: str) -> None:
    rows = [{"query": "shoe", "labels": {"A": "E", "B": "S"}}, {"query": "red shoe", "labels": {"B": "I"}}]
    path = put(tmp_path, "judgments.jsonl", "\n".join(map(json.dumps, rows)))
    found, said = noted({"format": "labels", "labels": path, "products": products})
    assert [(one.query, one.document_id, one.grade) for one in found] == [
        ("shoe", "A", 1.0),
        ("shoe", "B", 0.1),
        ("red shoe", "B", 0.0),
    ]
    assert found[1].document == BLUE
    assert said == []


def parquet_pair(folder: Path) -> dict[str, Any]:
    rows = [("shoe", 1, "A", "us", "E", "train"), ("shoe", 1, "B", "us", "C", "train")]
    rows += [("shoe", 2, "A", "es", "I", "train"), ("red", 3, "B", "us", "S", "test")]
    names = ("query", "query_id", "product_id", "product_locale", "esci_label", "split")
    pq.write_table(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]), folder / "e.parquet")
    items = [
        {"product_id": "A", "product_title": "red shoe", "product_locale": "us", "product_bullet_point": "light\nfast"},
        {"product_id": "A", "product_title": "zapato rojo", "product_locale": "es", "product_bullet_point": None},
        {"product_id": "B", "product_title": "blue shoe", "product_locale": "us", "product_bullet_point": None},
    ]
    pq.write_table(pa.Table.from_pylist(items), folder / "p.parquet")
    return {"format": "esci", "examples": str(folder / "e.parquet"), "products": str(folder / "p.parquet")}


def test_official_parquet(tmp_path: Path) -> None:
    """Without a word about it, it is the train split: nobody trains on the test split by mistake."""
    source = parquet_pair(tmp_path)
    found, said = noted(source)
    assert [(one.query, one.document_id, one.grade) for one in found] == [("shoe", "A", 1.0), ("shoe", "B", 0.01)]
    assert found[0].document == {"title": ("red shoe",), "bullets": ("light", "fast"), "locale": ("us",)}
    assert said == []
    found, _ = noted({**source, "split": "test"})
    assert [(one.query, one.grade) for one in found] == [("red", 0.1)]
    found, _ = noted({**source, "locale": "es"})
    assert [one.document["title"] for one in found] == [("zapato rojo",)]
    with pytest.raises(BadInput, match="split must be train, test or all, found 'dev'"):
        read({**source, "split": "dev"})
    with pytest.raises(BadInput, match=r"e.parquet: no row with split 'train' and locale 'jp'"):
        read({**source, "locale": "jp"})
    with pytest.raises(BadInput, match=r"p.parquet: no column esci_label, .*; is it the ESCI examples file"):
        read({**source, "examples": source["products"]})


@pytest.mark.esci
def test_the_slice_as_official_files_and_as_lines() -> None:
    """The same judgements with the same grades, whichever way they are given; none without its product."""
    folder = esci_dir()
    official = folder / "official" / "shopping_queries_dataset_"
    found, said = noted(
        {"format": "esci", "examples": f"{official}examples.parquet", "products": f"{official}products.parquet"}
    )
    lines, more = noted(
        {
            "format": "labels",
            "labels": str(folder / "judgments.train.jsonl"),
            "products": str(folder / "products.jsonl.gz"),
        }
    )
    assert said == more == []
    grades = {(one.query, one.document_id): one.grade for one in found}
    assert len(lines) > 2000
    assert {(one.query, one.document_id): one.grade for one in lines}.items() <= grades.items()
    rows = (json.loads(line) for line in (folder / "judgments.dev.jsonl").read_text().splitlines())
    assert not {" ".join(row["query"].split()) for row in rows} & {one.query for one in found}


def test_pairs(tmp_path: Path) -> None:
    rows = [
        {"query": "shoe", "document": "red shoe", "grade": 0.5},
        {"query": "shoe", "document": {"title": "blue", "tags": ["a", "b"], "stock": 3, "new": True}, "grade": "E"},
        {"query": "red", "document": "red shoe", "grade": 0, "weight": 2, "document_id": 7},
        {"query": "blue", "document": "red shoe", "grade": 1},
    ]
    path = put(tmp_path, "pairs", json.dumps(rows))
    found, _ = noted({"format": "pairs", "pairs": path})
    assert [(one.grade, one.weight) for one in found] == [(0.5, 1), (1.0, 1), (0.0, 2), (1.0, 1)]
    assert found[1].document == {"title": ("blue",), "tags": ("a", "b"), "stock": ("3",)}
    assert found[2].document_id == "7"
    assert found[0].document_id == found[3].document_id != found[1].document_id
    found, _ = noted({"format": "pairs", "pairs": path, "max_grade": 2, "field": "name"})
    assert found[0] == Judgement("shoe", {"name": ("red shoe",)}, found[0].document_id, 0.25)


def pair(**fields: Any) -> str:
    return json.dumps({"query": "q", "document": "d", "grade": 1} | fields)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"pairs:2: not JSON: .*; expected one JSON object a line"),
        ("[1]", r"pairs:2: expected a JSON object"),
        (pair(query=""), r"pairs:2: query must be a text, found ''"),
        (pair(document=3), r"pairs:2: document must be a text or an object of fields, found 3"),
        (pair(document={"new": True}), r"pairs:2: the document has no text"),
        (pair(grade=2), r"pairs:2: grade 2 is not from 0 to 1; see max_grade"),
        (pair(grade=-0.5), r"pairs:2: grade -0.5 is not from 0 to 1"),
        (pair(grade="X"), r"pairs:2: unknown label 'X'; expected E, S, C, I, or a number"),
        (pair(grade=None), r"pairs:2: a grade must be a number or a label, found None"),
        (pair(grade=float("nan")), r"pairs:2: unknown label nan"),
        (json.dumps({"query": "q", "document": "d"}), r"pairs:2: it has no grade"),
        (pair(weight=0), r"pairs:2: weight must be a number above 0, found 0"),
    ],
)
def test_wrong_pairs(tmp_path: Path, line: str, message: str) -> None:
    path = put(tmp_path, "pairs", f"{pair()}\n{line}\n")
    with pytest.raises(BadInput, match=message) as caught:
        read({"format": "pairs", "pairs": path})
    assert "\n" not in str(caught.value)


def test_wrong_labels(tmp_path: Path, products: str) -> None:
    for text, message in [
        ('{"query": "q", "labels": {"A": "X"}}', "labels:1: unknown label 'X'"),
        ('{"query": "q", "labels": []}', "labels:1: expected"),
        ('{"query": "q", "labels": {"Y": "E", "Z": "E"}}', "none of the 2 judged documents is in it, 'Y' for one"),
    ]:
        with pytest.raises(BadInput, match=message):
            read({"format": "labels", "labels": put(tmp_path, "labels", text), "products": products})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "format must be one of qrels, labels, esci, pairs, ubi; found None"),
        ({"format": "cvs"}, "format must be one of .*; found 'cvs'"),
        ({"format": "pairs", "pair": "x"}, r"judgements \(pairs\): unknown option 'pair'; did you mean pairs\?"),
        ({"format": "pairs", "zzz": "x"}, r"unknown option 'zzz'; the options are field, gains, max_grade, pairs"),
        ({"format": "pairs"}, r"judgements \(pairs\): pairs must name a file, found None"),
        ({"format": "pairs", "pairs": "absent"}, r"absent: no such file \(judgements \(pairs\), pairs\)"),
        ({"format": "pairs", "pairs": "x", "gains": [1]}, "gains must be a table of name: number"),
        ({"format": "pairs", "pairs": "x", "gains": {"E": "much"}}, "'E' must have a number from 0 on, found 'much'"),
        ({"format": "pairs", "pairs": "x", "gains": {"E": 2}}, "a gain is at most 1; found 2"),
        ({"format": "pairs", "pairs": "x", "gains": {"E": 1}, "max_grade": 1}, "give gains or max_grade, not both"),
        ({"format": "pairs", "pairs": "x", "max_grade": 0}, "max_grade must be above 0"),
    ],
)
def test_wrong_sources(tmp_path: Path, source: dict[str, Any], message: str) -> None:
    if source.get("pairs") == "x":
        source = {**source, "pairs": put(tmp_path, "x", pair())}
    with pytest.raises(BadInput, match=message):
        read(source)


def test_trec_needs_queries(tmp_path: Path, products: str) -> None:
    with pytest.raises(BadInput, match="TREC lines need queries: FILE beside them"):
        read({"format": "qrels", "qrels": put(tmp_path, "q", "1 0 A 1\n"), "products": products})


def test_merge() -> None:
    """The mean grade, weighted; the same line twice is as good as once."""
    said: list[str] = []
    found = merge(
        [
            Judgement("red  shoe", RED, "A", 1.0, 3.0),
            Judgement("red shoe", BLUE, "B", 0.1),
            Judgement("red shoe", BLUE, "A", 0.0, 1.0),
            Judgement("Red shoe", RED, "A", 0.0),
            Judgement("red shoe", BLUE, "B", 0.1),
        ],
        said.append,
    )
    assert found == [
        Judgement("red shoe", RED, "A", 0.75, 3.0),
        Judgement("red shoe", BLUE, "B", 0.1),
        Judgement("Red shoe", RED, "A", 0.0),
    ]
    assert said == ["2 repeated judgements merged; 1 pairs had different grades, their mean is taken"]


def test_notes_go_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read({"format": "pairs", "pairs": put(tmp_path, "p", f"{pair()}\n{pair()}\n")})
    assert capsys.readouterr().err.startswith("note: 1 repeated judgements merged")


def test_any_documents(tmp_path: Path) -> None:
    rows = [
        {"_id": "x", "_index": "shop", "_source": {"name": "Lamp", "maker": {"name": " Lux "}, "tags": ["a", None]}},
        {"_id": 7, "_source": {"name": "", "price": 2.5}},
    ]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows))
    assert documents.read_documents(path) == {
        "x": {"name": ("Lamp",), "maker.name": ("Lux",), "tags": ("a",)},
        "7": {"price": ("2.5",)},
    }
    assert len(documents.read_documents(SAMPLE)) > 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": "1", "a": "b"}\n{"a": "b"}', r"p:2: expected an object with an id \(id, _id, .* or asin\)"),
        ('{"id": "1", "a": "b"}\n{', r"p:2: not JSON"),
        ('{"asin": "1", "title": "b"}\n{"title": "c"}', r"p:2: it has no asin .*; expected a product"),
        ("", r"p: no document in it"),
        ('{"id": "1", "_source": 3}', r"p:1: _source must be an object"),
    ],
)
def test_wrong_documents(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p").write_text(text)
    with pytest.raises(BadInput, match=message):
        documents.read_documents(tmp_path / "p")


def test_broken_compression(tmp_path: Path) -> None:
    for name in ("p.gz", "p.zst"):
        (tmp_path / name).write_bytes(b"plain")
        with pytest.raises(BadInput, match=f"{name}: "):
            documents.read_documents(tmp_path / name)
