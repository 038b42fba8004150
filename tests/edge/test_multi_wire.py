"""Multi-searches on the wire: what is not changed goes once, as it came."""

from __future__ import annotations

import pytest

from proxy.edge.server import start_proxy
from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.edge.wire import answering, client, upstream

LINES = b'{ }\n{"size":0, "query":{"match":{"title":"red"}}}\n{"index":"shop"}\n{"sort":["n"]}\n'
ANSWER = b"---\nno multi-search's answer that could be read\n"


@pytest.mark.parametrize(
    ("lines", "accept", "status"),
    [
        (LINES, "*/*", b"items=2; skipped=2"),
        (b'{}\n{"query":{"match":{"title":"red"}}}\n', "application/yaml", b"items=1; skipped=1"),
        (LINES.replace(b'"shop"', b'"other"'), "*/*", b"items=2; skipped=1"),
    ],
)
async def test_a_multi_search_without_anything_to_rerank_is_sent_once(lines: bytes, accept: str, status: bytes) -> None:
    """Its answer is streamed, however large it is and whatever it is."""
    response = b"HTTP/1.1 200 OK\r\nContent-Type: application/yaml\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
    async with upstream(answering(response)) as engine:
        rules = (Rule(target="shop", budget_ms=600_000),)
        settings = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=rules, max_response_bytes=10)
        proxy = await start_proxy(settings, ThreadScorer({"base": DummyModel}, MemoryScoreCache(100), 1))
        try:
            async with client(proxy) as connection:
                head = (
                    f"POST /shop/_msearch HTTP/1.1\r\nHost: p\r\nContent-Type: application/x-ndjson\r\nAccept: {accept}"
                )
                await connection.send(f"{head}\r\nContent-Length: {len(lines)}\r\n\r\n".encode() + lines)
                answered, body = await connection.response()
        finally:
            await proxy.close()
    assert body == ANSWER
    assert b"X-Rerank-Status: " + status in answered
    assert [exchange.body for exchange in engine.seen] == [lines]
