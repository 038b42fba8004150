"""The header fields that say what became of a search, and the time that they and ``took`` tell."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.messages import Outcome, Reason, Status, Trace
from proxy.edge.outcome_headers import multi_headers, outcome_headers
from proxy.edge.server import start_proxy
from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.edge.test_takeover_wire import script
from tests.edge.wire import client, upstream

FULL, PARTIAL = Outcome(Status.FULL), Outcome(Status.PARTIAL, Reason.BUDGET, 3, 4)
SKIPPED, FALLBACK = Outcome(Status.SKIPPED, Reason.SORT), Outcome(Status.FALLBACK, Reason.MODEL)


def trace(model: str = "base", hits: int = 4, cached: int = 1, rerank_ms: float = 12.34) -> Trace:
    return Trace(model=model, hits=hits, cached=cached, rerank_ms=rerank_ms)


@pytest.mark.parametrize("outcome", [FULL, PARTIAL])
def test_of_a_window_that_was_ranked(outcome: Outcome) -> None:
    assert dict(outcome_headers(outcome, trace())) == {
        "X-Rerank-Status": str(outcome),
        "X-Rerank-Window": "4",
        "X-Rerank-Cached": "1",
        "X-Rerank-Ms": "12.3",
        "X-Rerank-Model": "base",
    }


@pytest.mark.parametrize("outcome", [SKIPPED, FALLBACK])
def test_where_none_was_the_status_is_all_there_is_to_say(outcome: Outcome) -> None:
    assert dict(outcome_headers(outcome, trace())) == {"X-Rerank-Status": str(outcome)}
    assert dict(multi_headers(1, [(outcome, trace())])) == {"X-Rerank-Status": f"items=1; {outcome.status}=1"}


@pytest.mark.parametrize(
    ("model", "shown"),
    [("small", "small"), ("/srv/models/shop-v1.2", "shop-v1.2"), ("./modèle\r\nA: b/", "mod%C3%A8le%0D%0AA%3A%20b")],
)
def test_a_models_path_is_not_told_and_its_name_fits_a_header(model: str, shown: str) -> None:
    assert outcome_headers(FULL, trace(model))["X-Rerank-Model"] == shown


def test_of_several_searches_hits_are_summed_and_the_longest_counts() -> None:
    ended = [(FULL, trace()), (SKIPPED, trace("other", 50, 50, 99.0)), (PARTIAL, trace("small", 3, 2, 5.0))]
    assert dict(multi_headers(5, [*ended, (FULL, trace())])) == {
        "X-Rerank-Status": "items=5; full=2; partial=1; skipped=1",
        "X-Rerank-Window": "11",
        "X-Rerank-Cached": "4",
        "X-Rerank-Ms": "12.3",
        "X-Rerank-Model": "base, small",
    }


SEARCH = b'{"query":{"match":{"title":"red shoe"}},"size":2}'


async def asked(path: str, body: bytes, **settings: Any) -> tuple[float, dict[str, Any]]:
    """Ask a proxy before an engine that takes 1 ms; return ``X-Rerank-Ms`` and the answer."""
    kind = "x-ndjson" if path.endswith("_msearch") else "json"
    async with upstream(script) as engine:
        made = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(Rule(),), **settings)
        model = DummyModel(delay_s=0.005)
        proxy = await start_proxy(made, ThreadScorer({"base": lambda: model}, MemoryScoreCache(100), 1))
        try:
            async with client(proxy) as connection:
                head = f"POST {path} HTTP/1.1\r\nHost: p\r\nContent-Type: application/{kind}\r\n"
                await connection.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                answered, answer = await connection.response()
        finally:
            await proxy.close()
    fields = dict(line.split(b": ", 1) for line in answered.split(b"\r\n")[1:])
    return float(fields[b"X-Rerank-Ms"]), json.loads(answer)


@pytest.mark.parametrize("added", [True, False])
async def test_took_grows_by_what_the_header_says_unless_it_is_switched_off(added: bool) -> None:
    rerank_ms, answer = await asked("/shop/_search", SEARCH, took=added)
    assert rerank_ms >= 4 * 5  # four hits, one worker
    # the header is rounded once more
    assert answer["took"] - 1 == (pytest.approx(rerank_ms, abs=0.56) if added else 0)


@pytest.mark.parametrize("added", [True, False])
async def test_of_a_multi_search_it_grows_by_the_longest_wait(added: bool) -> None:
    lines = b"{}\n" + SEARCH + b"\n{}\n" + SEARCH.replace(b"red", b"warm") + b'\n{}\n{"size":0}\n'
    rerank_ms, answer = await asked("/shop/_msearch", lines, took=added)
    assert rerank_ms >= 8 * 5
    assert answer["took"] - 1 == (pytest.approx(rerank_ms, abs=0.56) if added else 0)
    items = [item["took"] - 1 for item in answer["responses"]]
    assert items[2] == 0
    assert max(items) == answer["took"] - 1
