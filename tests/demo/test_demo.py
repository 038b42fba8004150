"""The demo command: starts from nothing, answers, and stops cleanly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.demo.conftest import RunningDemo
from tests.support import ask


def test_page_and_both_orders(demo: RunningDemo) -> None:
    page = ask(demo.page, "GET", "/")
    assert page.status == 200
    assert b"<title>rerank-proxy demo</title>" in page.body
    for name in ("demo.js", "demo.css"):
        assert ask(demo.page, "GET", f"/{name}").status == 200
    got = json.loads(ask(demo.page, "GET", "/api/search?q=phone+case+without+card+holder").body)
    assert got["header"] == "full"
    assert got["query_text"]["text"] == "phone case without card holder"
    assert sorted(hit["engine_rank"] for hit in got["hits"]) == list(range(1, len(got["hits"]) + 1))
    logits = [hit["logit"] for hit in got["hits"]]
    assert logits == sorted(logits, reverse=True)
    assert [hit["engine_rank"] for hit in got["hits"]] != sorted(hit["engine_rank"] for hit in got["hits"])
    assert got["grades"]
    # What the page shows is what any client of the proxy gets.
    body = {"query": {"multi_match": {"query": "phone case without card holder"}}, "size": 5}
    body["query"]["multi_match"]["fields"] = ["title^3", "brand", "color", "bullets", "description"]
    headers = {"Content-Type": "application/json"}
    search = ask(demo.proxy, "POST", "/products/_search", json.dumps(body).encode(), headers)
    assert search.header("X-Rerank-Status") == "full"
    assert [hit["_id"] for hit in json.loads(search.body)["hits"]["hits"]] == [hit["_id"] for hit in got["hits"][:5]]
    assert demo.stop() == 0


def test_wrong_questions_are_answered_in_words(demo: RunningDemo) -> None:
    got = ask(demo.page, "GET", "/api/search?q=")
    assert got.status == 400
    assert "error" in json.loads(got.body)
    queries = json.loads(ask(demo.page, "GET", "/api/queries").body)
    assert "phone case without card holder" in queries["queries"]
    assert queries["products"] > 300


def test_a_bad_address_is_one_line() -> None:
    command = [sys.executable, "-m", "proxy", "demo", "--no-browser", "--listen", "nowhere"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert "'nowhere' is no HOST:PORT" in ran.stderr.splitlines()[-1]


def test_evaluate_on_the_sample_says_something_true(demo: RunningDemo, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "proxy", "evaluate", "--url", demo.proxy, "--sample", "--json", str(report)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert ran.returncode == 0, ran.stderr
    measured = json.loads(report.read_text())
    assert sum(measured["outcomes"].values()) == len(measured["queries"]) >= 40
    lines = {line["measure"]: line for line in measured["lines"]}
    assert set(lines) == {"nDCG@10", "MAP", "MRR"}
    assert all(0 < line["engine"] < 1 and 0 < line["proxy"] < 1 for line in lines.values())
    assert lines["nDCG@10"]["engine"] != lines["nDCG@10"]["proxy"]
