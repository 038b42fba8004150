"""Judgements as a table with a header, and what is said of tables that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.evaluate.qrels import BadInput
from proxy.evaluate.table import has_header, read_rows, read_table


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "\ufeffquery_id,query,document_id,grade,relevance,weight,clicks\n"
        'q1,"red, ""big"" shoe",A,3,0.9,0.5,7\nq1,"red, ""big"" shoe",B,0,0,0.5,0\n\nq2,lamp,A,-1,0.1,1,0\n',
        encoding="utf-8",
    )
    found = read_table(path)
    assert found.queries == {"q1": 'red, "big" shoe', "q2": "lamp"}
    assert found.grades == {"q1": {"A": 3, "B": 0}, "q2": {"A": 0}}
    assert [(row.place, row.relevance, row.weight) for row in read_rows(path)] == [
        (f"{path}:2", 0.9, 0.5),
        (f"{path}:3", 0.0, 0.5),
        (f"{path}:5", 0.1, 1.0),
    ]


def test_labels_and_no_ids(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("query\tproduct_id\tlabel\nlamp\tA\tE\nlamp\tB\tS\nbulb\tA\tC\nbulb\tC\tI\n")
    assert read_table(tmp_path / "t.tsv").grades == {"lamp": {"A": 3, "B": 2}, "bulb": {"A": 1, "C": 0}}


def test_what_is_a_table(tmp_path: Path) -> None:
    for text, expected in [
        ("query,docid,grade\n", True),
        ("Query\tdocument_id\tLabel\r\n", True),
        ("1 0 a 3\n", False),
        ("query,grade\n", False),
        ("", False),
    ]:
        (tmp_path / "t").write_text(text)
        assert has_header(tmp_path / "t") is expected
    assert not has_header(tmp_path / "absent")
    (tmp_path / "t").write_bytes(b"\xff\xfe")
    assert not has_header(tmp_path / "t")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q,w\n", r"t: the header has no column query, document_id or product_id or docid, grade or label; found q, w"),
        ("query,docid,grade\n", r"t: no judgement in it"),
        ("query,docid,grade\na,b\n", r"t:2: expected 3 columns as in the header, found 2"),
        ("query,docid,grade\na,,1\n", r"t:2: document_id is empty"),
        ("query,docid,grade\na,b,good\n", r"t:2: a grade must be a whole number or E, S, C, I; found 'good'"),
        ("query,docid,grade\na,b,1\na,b,2\n", r"t:3: 'b' has two different grades for 'a'"),
        ("query_id,query,docid,grade\n1,a,b,1\n1,c,b,2\n", r"t:3: query_id '1' has two different texts"),
        ("query,docid,grade,weight\na,b,1,0\n", r"t:2: weight must be above 0, found 0"),
        ("query,docid,grade,weight\na,b,1,x\n", r"t:2: weight must be a number, found 'x'"),
        ("query,docid,grade,relevance\na,b,1,2\n", r"t:2: relevance must be from 0 to 1, found 2"),
        ('query,docid,grade\n"a"b,c,1\n', r"t:2: not a line of the table"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_table(tmp_path / "t")


def test_unreadable_tables(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="absent: No such file"):
        list(read_rows(tmp_path / "absent"))
    (tmp_path / "t").write_bytes("query,docid,grade\ncafé,a,1\n".encode("latin-1"))
    with pytest.raises(BadInput, match="not UTF-8"):
        list(read_rows(tmp_path / "t"))
