"""The same documents and queries on a real engine: same hits in the same order, same totals, nearly the same scores."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import proxy
from tests.embedded.conftest import Talk
from tests.engines import Engine

CATALOGUE = Path(proxy.__file__).parent / "demo" / "data" / "products.jsonl"
INDEX = "embedded-compared"
MAPPINGS = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "description": {"type": "text"},
        "bullets": {"type": "text"},
        "brand": {"type": "keyword"},
        "color": {"type": "keyword"},
        "price": {"type": "double"},
        "ratings": {"type": "integer"},
    }
}
BOTH = {"fields": ["title^2", "bullets", "description"]}
QUERIES: list[dict[str, Any]] = [
    {"match_all": {}},
    {"match_none": {}},
    {"match": {"title": "phone case"}},
    {"match": {"title": {"query": "128 GB phone", "operator": "and"}}},
    {"match": {"title": {"query": "phone case with card holder", "minimum_should_match": "60%"}}},
    {"match": {"title": {"query": "phone case with card holder", "minimum_should_match": -2}}},
    {"match": {"bullets": "6.1 inch display, no charger"}},
    {"match": {"brand": "Nuvo"}},
    {"match": {"ratings": 860}},
    {"match": {"no_such_field": "x"}},
    {"multi_match": {"query": "wireless charging phone", **BOTH}},
    {"multi_match": {"query": "wireless charging phone", "type": "most_fields", **BOTH}},
    {"multi_match": {"query": "wireless charging phone", "tie_breaker": 0.3, "operator": "and", **BOTH}},
    {"multi_match": {"query": "phone case", "type": "phrase", **BOTH}},
    {"multi_match": {"query": "black", "fields": ["t*", "color"]}},
    {"match_phrase": {"title": "phone case"}},
    {"match_phrase": {"description": {"query": "phone brighter", "slop": 10}}},
    {"term": {"brand": "Nuvo"}},
    {"term": {"title": "phone"}},
    {"term": {"price": 499}},
    {"terms": {"color": ["black", "blue"]}},
    {"range": {"price": {"gte": 20, "lt": 499}}},
    {"range": {"ratings": {"gt": 860.5}}},
    {"range": {"brand": {"gte": "M", "lt": "P"}}},
    {"exists": {"field": "color"}},
    {"ids": {"values": ["PH01", "PH03", "nothing"]}},
    {"prefix": {"brand": "N"}},
    {"prefix": {"title": {"value": "char", "boost": 2}}},
    {"bool": {"must": {"match": {"title": "phone"}}, "filter": [{"range": {"price": {"lte": 300}}}]}},
    {"bool": {"must": [{"match": {"title": "phone"}}], "should": [{"match": {"bullets": "wireless"}}]}},
    {"bool": {"should": [{"match": {"title": "case"}}, {"term": {"color": "black"}}, {"term": {"brand": "Nuvo"}}]}},
    {
        "bool": {
            "should": [{"match": {"title": "case"}}, {"term": {"color": "black"}}, {"term": {"brand": "Nuvo"}}],
            "minimum_should_match": 2,
        }
    },
    {"bool": {"must_not": [{"match": {"title": "phone"}}]}},
    {"bool": {"filter": {"term": {"color": "black"}}, "should": {"match": {"title": "case"}}}},
    {"bool": {}},
    {"dis_max": {"queries": [{"match": {"title": "case"}}, {"match": {"bullets": "case"}}], "tie_breaker": 0.5}},
    {"constant_score": {"filter": {"match": {"title": "phone"}}, "boost": 1.5}},
    {"query_string": {"query": "phone case", "default_field": "title"}},
    {
        "query_string": {
            "query": 'title:phone AND bullets:"wireless charging" OR nuvo',
            "fields": ["title^2", "bullets"],
        }
    },
    {"query_string": {"query": "+phone -case cover", "default_field": "title"}},
    {"query_string": {"query": "phone NOT case", "default_field": "title", "default_operator": "AND"}},
]


def _documents() -> list[dict[str, Any]]:
    lines = CATALOGUE.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:60]]


@pytest.fixture
async def real(engine: Engine) -> AsyncIterator[Talk]:
    """A real engine; the index is taken away again."""
    async with aiohttp.ClientSession() as session:
        talk = Talk(engine.url, session)
        await talk("DELETE", f"/{INDEX}")
        yield talk
        await talk("DELETE", f"/{INDEX}")


async def _load(talk: Talk) -> None:
    await talk.index(INDEX, {product.pop("id"): product for product in _documents()}, MAPPINGS)


@pytest.mark.engine
async def test_same_hits_order_totals_and_scores_as_a_real_engine(talk: Talk, real: Talk) -> None:
    for one in (talk, real):
        await _load(one)
    different = []
    for query in QUERIES:
        body = {"query": query, "size": 100}
        ours, theirs = [(await one.ok("POST", f"/{INDEX}/_search", body))["hits"] for one in (talk, real)]
        our_scores, their_scores = [{hit["_id"]: hit["_score"] for hit in hits["hits"]} for hits in (ours, theirs)]
        same = their_scores == pytest.approx(our_scores, rel=1e-4, abs=1e-6) and list(our_scores) == list(their_scores)
        if ours["total"] != theirs["total"] or not same:
            apart = {key: (our_scores.get(key), their_scores.get(key)) for key in our_scores.keys() | their_scores}
            different.append((query, ours["total"]["value"], theirs["total"]["value"], sorted(apart.items())[:5]))
    assert different == []
