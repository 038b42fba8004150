"""The demo command: starts from nothing, answers, stops cleanly, and says in one line what is wrong."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from proxy.demo.command import DEFAULT_LISTEN
from proxy.demo.stack import FIELDS
from proxy.demo.web import PAGE, SAMPLE_QUERY, sample_queries
from proxy.scorer.models import find_model
from tests.demo.conftest import Parts, RunningDemo
from tests.support import Answer, ask

JSON = {"Content-Type": "application/json"}


def search(page: str, query: str) -> tuple[Answer, dict[str, Any]]:
    answer = ask(page, "GET", f"/api/search?q={quote(query)}")
    return answer, json.loads(answer.body)


def run_to_the_end(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "proxy", "demo", "--no-browser", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_page_and_both_orders(lasting_demo: RunningDemo) -> None:
    page = ask(lasting_demo.page, "GET", "/")
    assert page.status == 200
    assert b"<title>rerank-proxy demo</title>" in page.body
    for name in ("demo.js", "demo.css"):
        assert ask(lasting_demo.page, "GET", f"/{name}").body == (PAGE / name).read_bytes()
    _, got = search(lasting_demo.page, SAMPLE_QUERY)
    assert got["header"] == "full"
    assert got["query_text"]["text"] == SAMPLE_QUERY
    assert sorted(hit["engine_rank"] for hit in got["hits"]) == list(range(1, len(got["hits"]) + 1))
    scores = [hit["score"] for hit in got["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert all(isinstance(hit["logit"], float) for hit in got["hits"])
    assert [hit["engine_rank"] for hit in got["hits"]] != sorted(hit["engine_rank"] for hit in got["hits"])
    assert got["grades"]


def test_the_page_shows_what_any_client_gets(lasting_demo: RunningDemo) -> None:
    """Also: the line to paste works as it is printed."""
    line = next(line for line in lasting_demo.said if line.startswith("curl "))
    _, _, url, _, header, _, body = shlex.split(line)
    parts = urlsplit(url)
    assert url.startswith(lasting_demo.proxy)
    name, _, value = header.partition(": ")
    answer = ask(lasting_demo.proxy, "POST", f"{parts.path}?{parts.query}", body.encode(), {name: value})
    assert answer.header("X-Rerank-Status") == "full"
    _, got = search(lasting_demo.page, SAMPLE_QUERY)
    assert [hit["_id"] for hit in json.loads(answer.body)["hits"]["hits"]] == [hit["_id"] for hit in got["hits"][:3]]
    engine = ask(
        lasting_demo.engine, "POST", "/products/_search", json.dumps({**json.loads(body), "size": 50}).encode(), JSON
    )
    by_engine = sorted(got["hits"], key=lambda hit: hit["engine_rank"])
    assert [hit["_id"] for hit in json.loads(engine.body)["hits"]["hits"]] == [hit["_id"] for hit in by_engine]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly(demo: RunningDemo, number: signal.Signals) -> None:
    assert demo.stop(number) == 0
    assert demo.process.stdout is not None
    assert demo.process.stdout.read() == "stopped\n"


def test_wrong_questions_are_answered_in_words(lasting_demo: RunningDemo) -> None:
    for query in ("", "   ", "a" * 301):
        answer, got = search(lasting_demo.page, query)
        assert answer.status == 400
        assert got["error"].endswith(".")
    assert search(lasting_demo.page, "a" * 300)[0].status == 200


def test_nothing_found_is_an_answer(lasting_demo: RunningDemo) -> None:
    answer, got = search(lasting_demo.page, "zxqv")
    assert answer.status == 200
    assert got["hits"] == []
    assert got["grades"] == {}


def test_all_sample_queries_are_offered(lasting_demo: RunningDemo) -> None:
    queries = json.loads(ask(lasting_demo.page, "GET", "/api/queries").body)["queries"]
    assert queries == list(sample_queries())
    assert SAMPLE_QUERY in queries


def test_an_engine_that_stopped_is_named(parts: Parts) -> None:
    assert search(parts.page, "tent")[0].status == 200
    parts.stop_engine()
    answer, got = search(parts.page, "tent")
    assert answer.status == 502
    assert got["error"].startswith("The search engine does not answer.")
    assert parts.engine.url in got["detail"]
    assert got["header"] == "fallback; reason=upstream-error"


def test_a_proxy_that_stopped_is_named(parts: Parts) -> None:
    parts.stop_proxy()
    answer, got = search(parts.page, "tent")
    assert answer.status == 502
    assert got["error"].startswith("The proxy does not answer.")


def test_the_page_says_the_truth_about_its_search() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert f"<code>{', '.join(FIELDS)}</code>" in html
    links = re.findall(r'<a href="/\?q=([^"]+)">([^<]+)</a>', html)
    assert len(links) >= 6
    assert links[0][1] == SAMPLE_QUERY
    for address, text in links:
        assert address == quote(text)
        assert text in sample_queries()
    assert f'OPENING = "{SAMPLE_QUERY}"' in (PAGE / "demo.js").read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_elsewhere(lasting_demo: RunningDemo) -> None:
    for name in ("/", "/demo.js", "/demo.css", "/api/queries"):
        answer = ask(lasting_demo.page, "GET", name)
        assert "default-src 'self'" in (answer.header("Content-Security-Policy") or "")
        addresses = set(re.findall(rb"https?://[^\s\"')]+", answer.body))
        assert addresses <= {b"http://www.w3.org/2000/svg"}  # a name, never fetched


def test_a_bad_address_is_one_line() -> None:
    ran = run_to_the_end("--listen", "nowhere")
    assert ran.returncode == 2
    assert f"'nowhere' is no HOST:PORT, such as {DEFAULT_LISTEN}" in ran.stderr.splitlines()[-1]


def test_a_taken_address_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = run_to_the_end("--listen", address)
    assert ran.returncode == 3
    assert ran.stderr.splitlines() == [
        f"rerank-proxy demo: the page cannot listen on {address}: Address already in use"
    ]


def test_an_unknown_model_is_one_line() -> None:
    ran = run_to_the_end("--model", "nosuch")
    assert ran.returncode == 3
    (line,) = ran.stderr.splitlines()
    assert line.startswith("rerank-proxy demo: no model 'nosuch': ")
    assert "bundled: base" in line


def test_a_broken_model_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(find_model("base"), broken, ignore=shutil.ignore_patterns("model.onnx"))
    (broken / "model.onnx").write_bytes(b"no model")
    ran = run_to_the_end("--model", str(broken))
    assert ran.returncode == 3
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"rerank-proxy demo: the model {broken} does not work: ")


def test_evaluate_on_the_sample_says_something_true(lasting_demo: RunningDemo, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [
        sys.executable,
        "-m",
        "proxy",
        "evaluate",
        "--url",
        lasting_demo.proxy,
        "--sample",
        "--json",
        str(report),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert ran.returncode == 0, ran.stderr
    measured = json.loads(report.read_text())
    assert sum(measured["outcomes"].values()) == len(measured["queries"]) >= 40
    lines = {line["measure"]: line for line in measured["lines"]}
    assert set(lines) == {"nDCG@10", "MAP", "MRR"}
    assert all(0 < line["engine"] < 1 and 0 < line["proxy"] < 1 for line in lines.values())
    assert lines["nDCG@10"]["engine"] != lines["nDCG@10"]["proxy"]
