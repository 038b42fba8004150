"""``rerank-proxy evaluate`` from its options to its exit code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from .conftest import Scripted, Start

ANSWERS = {"red shoe": ["a", "b", "x", "c"], "tea pot": ["e", "a"]}
Evaluate = Callable[..., Any]


@pytest.fixture
async def engine(start: Start) -> Scripted:
    return await start(Scripted(ANSWERS))


@pytest.fixture
async def proxy(start: Start) -> Scripted:
    return await start(Scripted(ANSWERS, "full", reorder=lambda ids: [ids[1], ids[0], *ids[2:]]))


async def test_table_and_json(
    engine: Scripted,
    proxy: Scripted,
    evaluate: Evaluate,
    judged: list[object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.json"
    assert await evaluate("--url", proxy.url, "--engine", engine.url, *judged, "--fields", "title", "--json", out) == 0

    report = json.loads(out.read_text())
    ndcg, average, reciprocal = report["lines"]
    # q1: engine a b x c = 0.1 + 1/log2 3 + 0.01/log2 5 = 0.735237; proxy b a x c = 1 + 0.1/log2 3 + 0.01/log2 5 =
    # 1.067400; ideal b a c = 1 + 0.1/log2 3 + 0.01/log2 4 = 1.068093. q2: engine 1/log2 3 = 0.630930; proxy 1.
    before, after = [0.735237 / 1.068093, 0.630930], [1.067400 / 1.068093, 1.0]
    assert ndcg["engine"] == pytest.approx(sum(before) / 2, abs=1e-5)
    assert ndcg["proxy"] == pytest.approx(sum(after) / 2, abs=1e-5)
    assert ndcg["difference"] == pytest.approx((sum(after) - sum(before)) / 2, abs=1e-5)
    assert after[0] - before[0] == pytest.approx(ndcg["interval"]["low"], abs=1e-5)
    assert after[1] - before[1] == pytest.approx(ndcg["interval"]["high"], abs=1e-5)
    assert (average["engine"], average["proxy"]) == (0.75, 1.0)
    assert (reciprocal["engine"], reciprocal["proxy"]) == (0.75, 1.0)
    assert report["outcomes"] == {"full": 2}
    assert report["unjudged"] == {"engine": pytest.approx(1 / 6), "proxy": pytest.approx(1 / 6)}
    assert [row["proxy"]["first"] for row in report["queries"]] == [["b", "a", "x", "c"], ["a", "e"]]
    assert set(os.listdir(tmp_path)) == {"queries.tsv", "qrels.tsv", "out.json"}

    text = capsys.readouterr().out
    assert re.search(r"nDCG@10 +0\.6596 +0\.9997 +\+0\.3400", text)
    assert "full 2, partial 0, fallback 0, skipped 0" in text
    assert "gained most" in text
    assert "lost most" not in text
    assert [body for _, body in engine.seen] == [body for _, body in proxy.seen]
    assert engine.seen[0][1] == {"query": {"match": {"title": "red shoe"}}, "size": 100}


async def test_the_proxy_gives_the_engines_order_when_no_engine_is_named(
    proxy: Scripted, evaluate: Evaluate, judged: list[object], tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    assert await evaluate("--url", proxy.url, *judged, "--json", out) == 0
    first = json.loads(out.read_text())["queries"][0]
    assert first["engine"]["first"] == ["a", "b", "x", "c"]
    assert first["proxy"]["first"] == ["b", "a", "x", "c"]
    assert [headers.get("X-Rerank-Skip") for headers, _ in proxy.seen] == ["true", None, None, "true"]


async def test_a_proxy_that_cannot_skip_is_found_out(
    start: Start, evaluate: Evaluate, judged: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    class Deaf(Scripted):
        async def handle(self, request: web.Request) -> web.Response:
            return await super().handle(request.clone(headers={"Content-Type": "application/json"}))

    deaf = await start(Deaf(ANSWERS, "full"))
    assert await evaluate("--url", deaf.url, *judged) == 2
    assert "--engine" in capsys.readouterr().err


async def test_failed_searches_are_left_out_and_told(
    start: Start, engine: Scripted, evaluate: Evaluate, judged: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    reason = {"error": {"type": "parsing_exception", "reason": "no [knob] query"}, "status": 400}
    proxy = await start(Scripted(ANSWERS, "full", broken={"tea pot": (400, reason)}))
    assert await evaluate("--url", proxy.url, "--engine", engine.url, *judged) == 1
    text = capsys.readouterr().out
    assert "left out on both sides: 1" in text
    assert "[q2] proxy: answered 400: no [knob] query" in text
    assert "too few queries" in text


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, {"_shards": {"failed": 1}, "hits": {"hits": []}}), "1 shards failed"),
        ((200, {"timed_out": True, "hits": {"hits": []}}), "timed out"),
        ((200, {"hits": {"hits": [{"id": 1}]}}), "no hits with an _id"),
        ((503, "busy"), "answered 503"),
    ],
)
async def test_answers_that_are_not_whole(
    start: Start,
    engine: Scripted,
    evaluate: Evaluate,
    judged: list[object],
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, Any],
    message: str,
) -> None:
    proxy = await start(Scripted(ANSWERS, broken=dict.fromkeys(ANSWERS, answer)))
    assert await evaluate("--url", proxy.url, "--engine", engine.url, *judged) == 2
    error = capsys.readouterr().err
    assert "all 2 queries failed; the first, q1: proxy: " in error
    assert message in error


async def test_outcomes_with_reasons(
    start: Start, engine: Scripted, evaluate: Evaluate, judged: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    proxy = await start(Scripted(ANSWERS, "partial; reason=budget; scored=37/100"))
    assert await evaluate("--url", proxy.url, "--engine", engine.url, *judged) == 0
    text = capsys.readouterr().out
    assert "full 0, partial 2" in text
    assert "partial (budget) 2" in text


async def test_a_url_that_is_no_rerank_proxy_is_noted(
    engine: Scripted, evaluate: Evaluate, judged: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await evaluate("--url", engine.url, "--engine", engine.url, *judged) == 0
    text = capsys.readouterr().out
    assert "no answer has X-Rerank-Status" in text
    assert "no status 2" in text


async def test_judged_only(engine: Scripted, proxy: Scripted, evaluate: Evaluate, judged: list[object]) -> None:
    assert await evaluate("--url", proxy.url, "--engine", engine.url, *judged, "--judged-only") == 0
    bodies = [body for _, body in proxy.seen]
    assert [body["size"] for body in bodies] == [4, 2]
    assert bodies[1]["query"]["bool"]["filter"] == [{"ids": {"values": ["a", "e"]}}]


async def test_credentials_are_sent_to_both_and_shown_nowhere(
    engine: Scripted,
    proxy: Scripted,
    evaluate: Evaluate,
    judged: list[object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.json"
    url = engine.url.replace("http://", "http://me:geheim@")
    header = ["--header", "X-Tenant: geheim"]
    assert await evaluate("--url", proxy.url, "--engine", url, *header, *judged, "--json", out) == 0
    assert all(headers["X-Tenant"] == "geheim" for headers, _ in engine.seen + proxy.seen)
    assert all(headers["Authorization"].startswith("Basic ") for headers, _ in engine.seen)
    captured = capsys.readouterr()
    assert "geheim" not in captured.out + captured.err + out.read_text()


async def test_sample(start: Start, evaluate: Evaluate, capsys: pytest.CaptureFixture[str]) -> None:
    class Empty(Scripted):
        async def handle(self, request: web.Request) -> web.Response:
            self.seen.append((dict(request.headers), await request.json()))
            return web.json_response({"hits": {"hits": []}})

    nothing = await start(Empty({}))
    assert await evaluate("--url", nothing.url, "--engine", nothing.url, "--sample") == 0
    fields = ["title^2", "brand", "bullets", "description"]
    queries = [body["query"]["multi_match"] for _, body in nothing.seen if "query" in body]
    assert {"query": "phone case without card holder", "fields": fields} in queries
    assert "the engine found nothing for any query" in capsys.readouterr().out


async def test_nothing_to_measure(
    engine: Scripted, start: Start, evaluate: Evaluate, judged: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    empty = await start(Scripted(ANSWERS, documents=0))
    for arguments, message in (
        (["--url", engine.url, "--index", "absent"], "there is no index 'absent' (404)"),
        (["--url", "http://127.0.0.1:1"], "at http://127.0.0.1:1: cannot be reached: Connection refused"),
        (["--url", empty.url], "'products' holds no documents"),
    ):
        assert await evaluate(*arguments, *judged) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(("status", "message"), [(401, "refused (401)"), (403, "refused (403)"), (500, "answered 500")])
async def test_an_engine_that_refuses(
    evaluate: Evaluate, judged: list[object], capsys: pytest.CaptureFixture[str], status: int, message: str
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": "no"}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    async with TestServer(app) as server:
        assert await evaluate("--url", f"http://127.0.0.1:{server.port}", *judged) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of --sample"),
        (["--sample", "--examples", "x"], "give one of --sample"),
        (["--qrels", "x"], "--qrels and --queries go together"),
        (["--judgments", "absent.jsonl"], "absent.jsonl: No such file"),
        (["--sample", "--gains", "0=0,1=1"], "no gain for grade 2, 3"),
        (["--sample", "--url", "localhost:9700"], "--url: expected an address"),
        (["--sample", "--engine", "ftp://x"], "--engine: expected an address"),
        (["--sample", "--header", "secret"], "--header: expected 'NAME: VALUE'"),
        (["--sample", "--json", "absent/out.json"], "--json absent/out.json"),
        (["--sample", "--ca", "absent.pem"], "--ca absent.pem: No such file"),
        (["--sample", "--body", "absent.json"], "absent.json: No such file"),
    ],
)
async def test_wrong_options(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str], arguments: list[object], message: str
) -> None:
    assert await evaluate(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert "secret" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "0"],
        ["--size", "x"],
        ["--timeout-s", "0"],
        ["--relevant-from", "0"],
        ["--body", "x", "--fields", "y"],
    ],
)
async def test_options_that_are_refused_at_once(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        await evaluate("--sample", *arguments)
    assert stopped.value.code == 2
    assert arguments[0].removeprefix("--") in capsys.readouterr().err


async def test_binary_judgements(
    start: Start, evaluate: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "queries.tsv").write_text("1\tred shoe\n")
    (tmp_path / "qrels.tsv").write_text("1 0 b 1\n1 0 a 0\n")
    same = await start(Scripted(ANSWERS, "full"))
    files = ["--qrels", tmp_path / "qrels.tsv", "--queries", tmp_path / "queries.tsv", "--gains", "0=0,1=1"]
    assert await evaluate("--url", same.url, "--engine", same.url, *files) == 0
    text = capsys.readouterr().out
    assert "relevant: grade 1 and up" in text
    assert re.search(r"MRR +0\.5000", text)


async def test_a_table_of_judgements(
    start: Start, evaluate: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has the query texts itself, so no --queries."""
    (tmp_path / "table.csv").write_text("query_id,query,document_id,grade\n1,red shoe,b,1\n1,red shoe,a,0\n")
    same = await start(Scripted(ANSWERS, "full"))
    files = ["--qrels", tmp_path / "table.csv", "--gains", "0=0,1=1"]
    assert await evaluate("--url", same.url, "--engine", same.url, *files) == 0
    assert re.search(r"MRR +0\.5000", capsys.readouterr().out)
