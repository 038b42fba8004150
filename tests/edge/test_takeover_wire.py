"""Rerankers that searches bring, seen on the wire: what passes does so byte for byte, what is taken over is sent once.

Not run on a real engine: none here has `rrf`, `linear`, `pinned`, `text_similarity_reranker` or the `rerank` processor.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.edge.server import start_proxy
from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.edge.wire import Client, Exchange, Upstream, client, json_answer, upstream

CHILD = {"standard": {"query": {"match": {"title": "shoe"}}}}
RERANKER = {"text_similarity_reranker": {"retriever": CHILD, "field": "title", "inference_text": "red shoe"}}
RRF = {"rrf": {"retrievers": [CHILD, {"knn": {"field": "v", "query_vector": [1], "k": 3, "num_candidates": 9}}]}}
PROCESSOR = {"rerank": {"ml_opensearch": {"model_id": "m"}, "context": {"document_fields": ["title"]}}}
PIPELINE = {
    "query": {"match": {"title": "shoe"}},
    "ext": {"rerank": {"query_context": {"query_text": "red shoe"}}},
    "search_pipeline": {"response_processors": [PROCESSOR]},
}
TITLES = ["blue dress", "red dress", "warm shoe", "red shoe"]
THEIRS = b'{"took":1,"hits":{"hits":[]}, "by":"the cluster" }'


def spaced(body: Any) -> bytes:
    """Return a body as no library would write it."""
    return b" \n" + json.dumps(body).replace('{"', '{  "').encode() + b"\n"


def engine_answer(body: dict[str, Any]) -> bytes:
    """Answer as an engine that knows all kinds of retrievers but the reranker."""
    if "text_similarity_reranker" in json.dumps(body) or "rerank" in json.dumps(body.get("search_pipeline", {})):
        return THEIRS
    hits = [
        {"_index": "shop", "_id": str(place), "_score": 9.0 - place, "fields": {"title": [title]}}
        for place, title in enumerate(TITLES)
    ]
    page = hits[body.get("from", 0) :][: body["size"]]
    total = {"value": 4, "relation": "eq"}
    return json.dumps({"took": 1, "hits": {"total": total, "max_score": 9.0, "hits": page}}).encode()


async def script(exchange: Exchange) -> None:
    body = await exchange.read_body()
    if "_msearch" in exchange.request_line:
        items = [json.loads(line) for line in body.splitlines()[1::2]]
        answer = b'{"took":1,"responses":[' + b",".join(map(engine_answer, items)) + b"]}"
    else:
        answer = engine_answer(json.loads(body)) if "_search " in exchange.request_line else b"{}"
    await exchange.send(json_answer(answer))


@asynccontextmanager
async def both_ends(takeover: bool) -> AsyncIterator[tuple[Upstream, Client]]:
    async with upstream(script) as engine:
        rule = Rule(target="shop", takeover=takeover, budget_ms=600_000)
        settings = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,))
        proxy = await start_proxy(settings, ThreadScorer({"base": DummyModel}, MemoryScoreCache(100), 1))
        try:
            async with client(proxy) as connection:
                yield engine, connection
        finally:
            await proxy.close()


async def post(connection: Client, body: bytes, api: str = "_search") -> tuple[bytes, bytes]:
    kind = "application/json" if api == "_search" else "application/x-ndjson"
    head = f"POST /shop/{api} HTTP/1.1\r\nHost: p\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    await connection.send(head.encode() + body)
    return await connection.response()


def searches(engine: Upstream) -> list[bytes]:
    return [exchange.body for exchange in engine.seen if "search " in exchange.request_line]


PASSING = {
    "text_similarity_reranker": {"retriever": RERANKER},
    "around rrf": {
        "retriever": {"text_similarity_reranker": {**RERANKER["text_similarity_reranker"], "retriever": RRF}}
    },
    "in rrf": {"retriever": {"rrf": {"retrievers": [RERANKER, CHILD]}}},
    "in linear": {"retriever": {"linear": {"retrievers": [{"retriever": RERANKER, "weight": 2}]}}},
    "in pinned": {"retriever": {"pinned": {"retriever": RERANKER, "ids": ["1"]}}},
    "inline pipeline": PIPELINE,
    "named pipeline": {**PIPELINE, "search_pipeline": "with-rerank"},
}


@pytest.mark.parametrize("name", PASSING)
async def test_with_takeover_off_bodies_and_answers_pass_byte_for_byte(name: str) -> None:
    """Not run on a real engine."""
    body = spaced(PASSING[name])
    async with both_ends(takeover=False) as (engine, connection):
        head, answer = await post(connection, body)
        assert searches(engine) == [body]
        assert b"X-Rerank-Status: skipped; reason=" in head
        assert answer == THEIRS


async def test_with_takeover_off_items_of_a_multi_search_pass_byte_for_byte() -> None:
    """Not run on a real engine."""
    lines = b"".join(b"{ }\n" + json.dumps(PASSING[name]).encode() + b"\n" for name in PASSING)
    async with both_ends(takeover=False) as (engine, connection):
        head, answer = await post(connection, lines, "_msearch")
        assert searches(engine) == [lines]
        assert b"X-Rerank-Status: items=7; skipped=7" in head
        assert answer.count(THEIRS) == 7


@pytest.mark.parametrize("name", ["text_similarity_reranker", "around rrf", "inline pipeline"])
async def test_taken_over_the_cluster_sees_no_reranker(name: str) -> None:
    """Not run on a real engine."""
    async with both_ends(takeover=True) as (engine, connection):
        head, answer = await post(connection, spaced(PASSING[name]))
        (sent,) = map(json.loads, searches(engine))
        assert b"X-Rerank-Status: full" in head
        assert next(hit["_id"] for hit in json.loads(answer)["hits"]["hits"]) == "3"
        if name == "inline pipeline":
            assert sent["search_pipeline"] == {"response_processors": []}
            assert "ext" not in sent
        else:
            assert sent["retriever"] == (RRF if name == "around rrf" else CHILD)
            assert sent["size"] == 10


async def test_taken_over_in_a_multi_search() -> None:
    """Not run on a real engine."""
    items = [PASSING["around rrf"], PIPELINE, {"query": {"match_all": {}}, "size": 2}]
    lines = b"".join(b"{}\n" + json.dumps(item).encode() + b"\n" for item in items)
    async with both_ends(takeover=True) as (engine, connection):
        head, answer = await post(connection, lines, "_msearch")
        responses = json.loads(answer)["responses"]
        assert len(searches(engine)) == 1
        assert b"X-Rerank-Status: items=3; full=2; skipped=1" in head
    assert [next(hit["_id"] for hit in one["hits"]["hits"]) for one in responses] == ["3", "3", "0"]


@pytest.mark.parametrize("name", ["in rrf", "in linear", "in pinned"])
async def test_what_cannot_be_taken_over_is_refused_and_never_sent(name: str) -> None:
    """Not run on a real engine."""
    async with both_ends(takeover=True) as (engine, connection):
        head, answer = await post(connection, spaced(PASSING[name]))
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"Content-Type: application/json" in head
        assert "outermost" in json.loads(answer)["error"]["reason"]
        head, again = await post(connection, b"{}\n" + json.dumps(PASSING[name]).encode() + b"\n", "_msearch")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert again == answer
        assert searches(engine) == []


async def test_a_named_pipeline_passes_with_takeover_on_too() -> None:
    """Not run on a real engine."""
    body = spaced(PASSING["named pipeline"])
    async with both_ends(takeover=True) as (engine, connection):
        head, _ = await post(connection, body)
        assert searches(engine) == [body]
        assert b"X-Rerank-Status: skipped; reason=search-pipeline" in head
