"""Logs become judgements: what counts, what is left out and said, and the command."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from proxy.evaluate.qrels import BadInput
from proxy.evaluate.table import read_table
from tests.train_data.conftest import SCRIPTS
from tests.train_data.simulation import Shop, mean_kendall, simulate
from training import judgements, ubi
from training.options import Options

Record = dict[str, Any]


def query(query_id: str, text: str = "lamp", hits: Iterable[str] = ("a", "b", "c"), **more: Any) -> Record:
    return {"query_id": query_id, "user_query": text, "query_response_hit_ids": list(hits), **more}


def event(
    query_id: str, document: str | None, action: str = "click", ordinal: int | None = None, **more: Any
) -> Record:
    attributes: Record = {} if document is None else {"object": {"object_id": document}}
    if ordinal is not None:
        attributes["position"] = {"ordinal": ordinal}
    return {"action_name": action, "query_id": query_id, "event_attributes": attributes, **more}


def lines(path: Path, records: Iterable[Record]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


Judge = Callable[..., tuple[dict[tuple[str, str], ubi.Pair], list[str]]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """Judge records, by default those shown once and with COEC; return the pairs, and what was said."""

    def run(shown: Iterable[Record] | None, events: Iterable[Record], **given: Any) -> Any:
        source = {"queries": lines(tmp_path / "q", shown or []), "events": lines(tmp_path / "e", events)}
        values = {**source, "method": "coec", "min_impressions": 1, **given}
        options, said = Options(values, values, "test"), list[str]()
        judged = ubi.judge(ubi.read_log(options, said.append), ubi.settings(options), said.append)
        return {(pair.query, pair.document_id): pair for pair in judged.pairs}, said

    return run


def clicks(pairs: dict[tuple[str, str], ubi.Pair]) -> dict[str, tuple[int, int]]:
    return {document: (pair.impressions, pair.clicks) for (_, document), pair in pairs.items()}


def test_a_simulated_log_end_to_end(judge: Judge) -> None:
    """The corrected order is far nearer to the truth than click-through rates are."""
    shop = simulate(seed=51, searches=20_000, queries=20, skill=0.2)
    queries, events = shop.records()
    pairs, said = judge(queries, events, method="auto", min_impressions=10)
    assert not any("coec" in line for line in said)
    corrected = mean_kendall(shop, {name: pair.relevance for name, pair in pairs.items()})
    raw = mean_kendall(shop, {name: pair.clicks / pair.impressions for name, pair in pairs.items()})
    assert len(pairs) > 280
    assert corrected > 0.75
    assert corrected > raw + 0.15
    assert all(0 <= pair.relevance <= 1 and 0 < pair.weight < 1 for pair in pairs.values())


def test_a_document_counts_once_a_search(judge: Judge) -> None:
    events = [event("1", "a"), event("1", "a"), event("1", "a", "purchase"), event("2", "b")]
    pairs, said = judge([query("1"), query("2", "Lamp "), query("3", "LAMP")], events)
    assert clicks(pairs) == {"a": (3, 1), "b": (3, 1), "c": (3, 0)}
    assert {query for query, _ in pairs} == {"lamp"}
    assert said == []


def test_actions_differ_in_worth(judge: Judge) -> None:
    texts = [query(str(number), hits=["a", "b"][:: 1 if number % 2 else -1]) for number in range(40)]
    events = [event(str(number), "a") for number in range(20)]
    events += [event(str(number), "b", "purchase") for number in range(20)]
    pairs, _ = judge(texts, events)
    assert pairs["lamp", "b"].relevance > 1.5 * pairs["lamp", "a"].relevance
    pairs, _ = judge(texts, events, actions={"click": 1, "purchase": 1})
    assert pairs["lamp", "b"].relevance == pytest.approx(pairs["lamp", "a"].relevance)
    pairs, said = judge(texts, events, actions={"click": 1})
    assert pairs["lamp", "b"].clicks == 0
    assert any("20 events of other actions (purchase) left out" in line for line in said)


def test_impressions_say_what_was_shown(judge: Judge) -> None:
    """`c` was returned and never came into view: nobody passed it over."""
    events = [event("1", "b", "impression", 1), event("1", "a", "impression", 2), event("1", "a", ordinal=2)]
    pairs, said = judge([query("1")], events)
    assert clicks(pairs) == {"a": (1, 1), "b": (1, 0)}
    assert said == []


@pytest.mark.parametrize("ordinal", [2, "2", 2.0, {"index": 2}])
def test_ordinals_of_all_forms(judge: Judge, ordinal: Any) -> None:
    """Version 1.0 of the specification had an object there."""
    pairs, said = judge([query("1")], [event("1", "b", ordinal=ordinal)])
    assert clicks(pairs)["b"] == (1, 1)
    assert said == []
    _, said = judge([query("1")], [event("1", "a", ordinal=ordinal)])
    assert said[0].startswith("1 of 1 clicks state another position")


@pytest.mark.parametrize("ordinal", [True, "second", 2.5, float("nan"), float("inf"), [2], {"x": 2}])
def test_what_is_no_ordinal(judge: Judge, ordinal: Any) -> None:
    _, said = judge([query("1")], [event("1", "a", ordinal=ordinal)])
    assert said == []


def test_missing_positions(judge: Judge) -> None:
    """The rank is that of the hit; where there is none either, it is said."""
    events = [event("1", "b", "impression"), event("1", "z", "impression"), event("1", "b")]
    pairs, said = judge([query("1")], events)
    assert clicks(pairs) == {"b": (1, 1)}
    assert said == ["1 impressions without a position (none stated, and not among the hits of their query) left out"]
    pairs, said = judge([query("1")], [event("1", "b"), event("1", "a", ordinal=3)])
    assert clicks(pairs) == {"a": (1, 1), "b": (1, 1), "c": (1, 0)}
    assert said[0].startswith("1 of 1 clicks state another position than what was shown has")


def test_what_cannot_be_used_is_counted(judge: Judge) -> None:
    queries = [query("1"), query("2", " "), {"user_query": "no id"}, query("1", "other text"), query("5", hits=[])]
    events = [
        event("1", "a"),
        event("1", None),
        event("9", "a"),
        {"action_name": "click", "event_attributes": {"object": {"object_id": "a"}}},
        event("1", "a", "hover"),
        event("1", "elsewhere"),
        event("5", "a"),
        {"query_id": "1"},
    ]
    pairs, said = judge(queries, events)
    assert clicks(pairs) == {"a": (1, 1), "b": (1, 0), "c": (1, 0)}
    counted = {line.split(" left out")[0] for line in said}
    assert counted == {
        "1 queries without a user_query",
        "1 queries without a query_id",
        "1 queries whose query_id has another text already",
        "1 events without an object_id",
        "1 events whose query is not in the log",
        "1 events without a query_id",
        "1 events of other actions (hover)",
        "1 events without an action_name",
        "2 clicks (or more) on what their search is not known to have shown",
        "1 searches of which nothing is known to have been shown",
    }
    assert any(line.endswith("/e:2") for line in said)


def test_the_same_results_shown_again_are_one_search(judge: Judge) -> None:
    def at(minute: int) -> Record:
        return {"timestamp": f"2026-01-01T10:{minute:02}:00Z", "client_id": "me"}

    queries = [query("1", **at(0)), query("2", **at(5)), query("3", **at(50))]
    pairs, _ = judge(queries, [event("1", "a"), event("2", "b")])
    assert clicks(pairs) == {"a": (2, 1), "b": (2, 1), "c": (2, 0)}
    pairs, _ = judge(queries, [event("1", "a"), event("2", "b")], repeat_minutes=0)
    assert clicks(pairs) == {"a": (3, 1), "b": (3, 1), "c": (3, 0)}
    reordered = [query("1", **at(0)), query("2", hits=["b", "a", "c"], **at(5))]
    pairs, _ = judge(reordered, [event("1", "a")])
    assert clicks(pairs) == {"a": (2, 1), "b": (2, 0), "c": (2, 0)}


def test_pages_of_one_search(judge: Judge) -> None:
    pairs, _ = judge([query("1", hits=["a", "b"]), query("1", hits=["c", "d"])], [event("1", "d")])
    assert clicks(pairs) == {"a": (1, 0), "b": (1, 0), "c": (1, 0), "d": (1, 1)}
    pairs, said = judge(
        [query("1", hits=["a", "b"]), query("2", hits=["c", "a"])], [event("2", "a"), event("2", "c")], max_rank=1
    )
    assert clicks(pairs) == {"a": (1, 0), "c": (1, 1)}
    assert "1 clicked documents behind rank 1 left out" in said


def test_bots_are_cut(judge: Judge) -> None:
    robot: Record = {"client_id": "robot", "timestamp": 1_767_261_600_000}
    queries = [query("1", client_id="me"), *(query(f"r{number}", **robot) for number in range(30))]
    events = [event("1", "a", client_id="me"), *(event(f"r{number}", "b", **robot) for number in range(30))]
    pairs, said = judge(queries, events, max_clicks_per_hour=29)
    assert clicks(pairs) == {"a": (1, 1), "b": (1, 0), "c": (1, 0)}
    assert said == ["1 clients left out with 30 searches and 30 events: more than 29 clicks or 300 searches in an hour"]
    pairs, said = judge(queries, events, max_searches_per_hour=29)
    assert clicks(pairs)["b"] == (1, 0)
    pairs, said = judge(queries, events, max_clicks_per_hour=30)
    assert clicks(pairs)["b"] == (2, 1)  # the same results to the same client within half an hour
    assert said == []


def test_events_with_the_query_in_them_need_no_queries(tmp_path: Path) -> None:
    shown = [event("1", document, "impression", rank, user_query="lamp") for rank, document in enumerate("ab", 1)]
    path = tmp_path / "e"
    path.write_text(json.dumps([*shown, event("1", "b")]))
    values = {"events": path, "min_impressions": 1}
    options = Options(values, values, "test")
    said: list[str] = []
    judged = ubi.judge(ubi.read_log(options, said.append), ubi.settings(options), said.append)
    assert [(pair.query, pair.document_id, pair.clicks) for pair in judged.pairs] == [
        ("lamp", "b", 1),
        ("lamp", "a", 0),
    ]
    assert said == [
        "method coec instead of pbm: 0 clicks are on documents that their query showed at several ranks; "
        "the position-based model needs 300"
    ]


def test_since(judge: Judge) -> None:
    queries = [query("1", timestamp="2026-01-01T00:00:00Z"), query("2", timestamp="2026-02-01"), query("3")]
    events = [
        event("2", "a", timestamp="2026-02-01T00:00:00+01:00"),
        event("2", "b", timestamp="2026-02-02"),
        event("3", "b"),
    ]
    pairs, said = judge(queries, events, since="2026-02-01")
    assert clicks(pairs) == {"a": (2, 0), "b": (2, 2), "c": (2, 0)}
    assert [line.split(",")[0] for line in said] == [
        "1 queries before the time asked for left out",
        "1 events before the time asked for left out",
    ]
    with pytest.raises(BadInput, match="since: expected a date such as"):
        judge(queries, events, since="yesterday")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "magic"}, "method must be one of auto, pbm, coec, found 'magic'"),
        ({"method": "pbm"}, r"method pbm: 0 clicks are on documents .*; bring a longer log, or take method coec"),
        ({"min_impressions": 2}, "no clicked document was shown 2 times for a query"),
        ({"actions": {"purchase": 1}}, "the log has no purchase on a document"),
        ({"actions": {"click": 0}}, "actions: one must be worth more than 0"),
        ({"prior": 0}, "prior must be a number from 1e-06 on"),
        ({"max_rank": 2.5}, "max_rank must be a whole number"),
        ({"url": "http://127.0.0.1:9"}, "give either url, or events and queries"),
    ],
)
def test_wrong_settings(judge: Judge, given: Record, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        judge([query("1")], [event("1", "a")], **given)


def write_shop(folder: Path, shop: Shop) -> list[str]:
    queries, events = shop.records()
    (folder / "q.ndjson.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, queries)).encode()))
    (folder / "e.json.zst").write_bytes(zstandard.ZstdCompressor().compress(json.dumps(events).encode()))
    return ["--queries", str(folder / "q.ndjson.gz"), "--events", str(folder / "e.json.zst")]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "ubi_judgements.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command(tmp_path: Path) -> None:
    """Its table is read by the evaluation and by the training."""
    where = write_shop(tmp_path, simulate(seed=52, searches=4000, queries=5, documents=10))
    out = tmp_path / "out.csv"
    ran = run(*where, "--out", str(out))
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, f"wrote {out}")
    assert ran.stdout.startswith("5 queries, 50 pairs, from 4000 searches with ")
    assert "propensity by rank (pbm, " in ran.stdout
    assert "\n  1: 1.000\n  2: 0." in ran.stdout
    rows = list(csv.DictReader(out.read_text().splitlines()))
    judged = read_table(out)
    assert set(judged.queries.values()) == {f"query {number}" for number in range(5)}
    assert judged.count == len(rows) == 50
    assert {grade for grades in judged.grades.values() for grade in grades.values()} == {0, 1, 2, 3}
    lines(tmp_path / "products", ({"id": f"d{number}", "title": f"thing {number}"} for number in range(15)))
    read = judgements.read({"format": "qrels", "qrels": str(out), "products": str(tmp_path / "products")})
    assert [(one.query, one.document_id, one.grade, one.weight) for one in read] == [
        (row["query"], row["document_id"], float(row["relevance"]), float(row["weight"])) for row in rows
    ]
    source = {"format": "ubi", "queries": where[1], "events": where[3], "products": str(tmp_path / "products")}
    direct = judgements.read(source)
    assert [one.grade for one in direct] == pytest.approx([one.grade for one in read], abs=1e-4)


@pytest.mark.parametrize(
    ("queries", "events", "message"),
    [
        ('{"query_id": "1"', "[]", "q.ndjson:1: not JSON: "),
        ("[1]", "[]", "q.ndjson, element 1: expected a JSON object"),
        ("", '[{"action_name": "click"}', "e.ndjson: it starts as a JSON array and is none: "),
        ("", "", "the log has no click, click_through, add_to_cart, purchase on a document"),
        ("\x00", "", "q.ndjson:1: not JSON: "),
    ],
)
def test_malformed_files_are_one_line(tmp_path: Path, queries: str, events: str, message: str) -> None:
    (tmp_path / "q.ndjson").write_text(queries)
    (tmp_path / "e.ndjson").write_text(events)
    out = tmp_path / "out.csv"
    ran = run("--queries", str(tmp_path / "q.ndjson"), "--events", str(tmp_path / "e.ndjson"), "--out", str(out))
    assert ran.returncode == 2
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not out.exists()


def test_malformed_lines_may_be_skipped(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text(
        '{"query_id\n{"index": {"_index": "ubi_queries"}}\n' + json.dumps(query("1")) + "\n7\n"
    )
    pairs, said = judge(None, [event("1", "b")], queries=tmp_path / "broken", skip_malformed=True)
    assert clicks(pairs)["b"] == (1, 1)
    assert said == [f"2 records that are no JSON object left out, the first one at {tmp_path / 'broken'}:1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "o.csv"], "give either url, or events and queries"),
        (["--events", "absent", "--out", "o.csv"], "absent: no such file"),
        (["--url", "http://127.0.0.1:9", "--out", "o.csv"], "http://127.0.0.1:9"),
        (["--url", "http://127.0.0.1:9", "--out", "absent/o.csv"], "absent/o.csv: no such folder"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], message: str) -> None:
    ran = run(*arguments)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
