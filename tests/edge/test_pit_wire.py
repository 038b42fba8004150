"""A point in time whose id changes with each answer, which no engine here does on demand."""

from __future__ import annotations

import json

from proxy.edge.server import start_proxy
from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.edge.wire import Exchange, client, json_answer, upstream

TITLES = ["blue dress", "red shoe"]


async def script(exchange: Exchange) -> None:
    body = await exchange.read_body()
    told: dict[str, object] = {}
    if "/_pit" in exchange.request_line:
        told = {"id": "first"}
    elif "_search " in exchange.request_line:
        asked = json.loads(body)["pit"]["id"]
        hits = [
            {"_index": "shop", "_id": str(place), "_score": 2.0 - place, "fields": {"title": [title]}}
            for place, title in enumerate(TITLES)
        ]
        told = {"pit_id": f"{asked}+", "took": 1, "hits": {"max_score": 2.0, "hits": hits}}
    answer = json_answer(json.dumps(told).encode())
    # In two pieces, cut within the body: an id is known only when the answer is whole.
    cut = answer.index(b"{") + 5
    await exchange.send(answer[:cut])
    await exchange.send(answer[cut:])


async def test_the_id_of_each_answer_stands_for_the_same_target() -> None:
    async with upstream(script) as engine:
        rule = Rule(target="shop", pit=True, budget_ms=600_000)
        settings = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,))
        proxy = await start_proxy(settings, ThreadScorer({"base": DummyModel}, MemoryScoreCache(100), 1))
        try:
            async with client(proxy) as connection:
                await connection.send(b"POST /shop/_pit?keep_alive=1m HTTP/1.1\r\nHost: p\r\nContent-Length: 0\r\n\r\n")
                _, opened = await connection.response()
                assert opened == b'{"id": "first"}'
                pit_id = "first"
                for _ in range(3):
                    body = json.dumps({"query": {"match": {"title": "red shoe"}}, "pit": {"id": pit_id}}).encode()
                    head = b"POST /_search HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\n"
                    await connection.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                    head, answer = await connection.response()
                    assert b"X-Rerank-Status: full" in head
                    pit_id = json.loads(answer)["pit_id"]
                assert pit_id == "first+++"
        finally:
            await proxy.close()
    lookups = [exchange.request_line for exchange in engine.seen if exchange.request_line.startswith("GET ")]
    assert all(line.startswith("GET /shop/") for line in lookups), lookups
