"""All pages of real searches: each hit once, its bytes the engine's, scores falling."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.settings import Listen, Rule, Settings
from tests.engines import Engine
from tests.engines.esci import esci_dir, load_esci
from tests.support import Answer, ProxyThread, ask

pytestmark = [pytest.mark.engine, pytest.mark.esci]

WINDOW = 60
DEEP = 150
QUERIES = 20


@dataclass(frozen=True)
class RawHit:
    """A hit's bytes without its score, and the score."""

    rest: bytes
    score: float


def dev_queries() -> list[str]:
    path: Path = esci_dir() / "judgments.dev.jsonl"
    return [json.loads(line)["query"] for line in path.read_text().splitlines()]


def hits_of(answer: Answer) -> list[RawHit]:
    """Take the hits apart without decoding them: all that is not ``_score`` is compared byte for byte."""
    body = msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw])
    inner = msgspec.json.decode(body["hits"], type=dict[str, msgspec.Raw])
    hits = []
    for raw in msgspec.json.decode(inner["hits"], type=list[msgspec.Raw]):
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        score = float(bytes(members.pop("_score")))
        text = bytes(raw)
        marker = b'"_score":'
        at = text.index(marker)
        end = min(position for position in (text.find(b",", at), text.find(b"}", at)) if position != -1)
        hits.append(RawHit(text[: at + len(marker)] + text[end:], score))
    return hits


def search(url: str, body: dict[str, Any], parameters: str = "") -> Answer:
    answer = ask(
        url, "POST", f"/esci/_search{parameters}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    assert answer.status == 200, answer.body[:500]
    return answer


@pytest.fixture(scope="module")
def proxy(engine: Engine) -> Iterator[ProxyThread]:
    load_esci(engine)
    rule = Rule(window=WINDOW, budget_ms=600_000)
    with ProxyThread(Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,))) as running:
        yield running


def walk(url: str, query: dict[str, Any], size: int) -> Iterator[tuple[int, Answer]]:
    for start in range(0, DEEP, size):
        yield start, search(url, {**query, "from": start, "size": min(size, DEEP - start)})


def test_every_hit_once_on_all_pages(engine: Engine, proxy: ProxyThread) -> None:
    moved = walked = 0
    for text in dev_queries():
        query = {"query": {"multi_match": {"query": text, "fields": ["title^2", "bullets", "description"]}}}
        engine_hits = hits_of(search(engine.url, {**query, "size": DEEP}))
        if len(engine_hits) <= WINDOW or walked == QUERIES:
            continue
        walked += 1
        for size in (7, 10, 33):
            pages: list[RawHit] = []
            for start, answer in walk(proxy.url, query, size):
                expected = "skipped; reason=past-window" if start >= WINDOW else "full"
                assert answer.header("X-Rerank-Status") == expected, (text, start)
                pages += hits_of(answer)
            assert sorted(hit.rest for hit in pages) == sorted(hit.rest for hit in engine_hits)
            assert [hit.rest for hit in pages[WINDOW:]] == [hit.rest for hit in engine_hits[WINDOW:]]
            assert {hit.rest for hit in pages[:WINDOW]} == {hit.rest for hit in engine_hits[:WINDOW]}
            scores = [hit.score for hit in pages]
            assert scores == sorted(scores, reverse=True)
            assert min(scores[:WINDOW]) >= 1 >= max(scores[WINDOW:])
            moved += [hit.rest for hit in pages] != [hit.rest for hit in engine_hits]
    assert walked == QUERIES
    assert moved > QUERIES  # the model does change the order


def test_all_but_the_order_is_the_engines(engine: Engine, proxy: ProxyThread) -> None:
    aggs = {"brands": {"terms": {"field": "brand.keyword"}}}
    body = {"query": {"match": {"title": "running shoes"}}, "aggs": aggs, "size": WINDOW, "track_total_hits": True}
    direct = json.loads(search(engine.url, body).body)
    ours = json.loads(search(proxy.url, body).body)
    assert ours["hits"]["total"] == direct["hits"]["total"]
    assert ours["aggregations"] == direct["aggregations"]
    assert ours["_shards"] == direct["_shards"]
    assert list(ours) == list(direct)
    assert all("fields" not in hit for hit in ours["hits"]["hits"])
    assert ours["hits"]["max_score"] == ours["hits"]["hits"][0]["_score"]


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        ({"_source": False}, ""),
        ({"_source": ["title"]}, ""),
        ({"fields": ["brand"], "_source": False}, ""),
        ({"fields": ["*"], "_source": ["asin"]}, ""),
        ({"highlight": {"fields": {"title": {}}}}, ""),
        ({"version": True, "seq_no_primary_term": True, "explain": False}, ""),
        ({"sort": ["_score", {"brand.keyword": "asc"}]}, ""),
        ({"stored_fields": []}, ""),
        ({"docvalue_fields": ["brand.keyword"]}, ""),
        ({"collapse": {"field": "brand.keyword"}}, ""),
        ({"post_filter": {"exists": {"field": "brand"}}}, ""),
        ({}, "?_source_includes=title,brand"),
        ({}, "?pretty"),
        ({}, "?typed_keys&rest_total_hits_as_int=true"),
    ],
)
def test_hits_are_the_engines_bytes(engine: Engine, proxy: ProxyThread, body: dict[str, Any], parameters: str) -> None:
    asked = {"query": {"match": {"title": "wireless headphones"}}, **body, "size": WINDOW}
    direct, ours = search(engine.url, asked, parameters), search(proxy.url, asked, parameters)
    assert ours.header("X-Rerank-Status") == "full"
    if parameters == "?pretty":
        assert _without_scores(ours.body) == _without_scores(direct.body)
        return
    assert sorted(hit.rest for hit in hits_of(ours)) == sorted(hit.rest for hit in hits_of(direct))


def test_a_filtered_source_keeps_its_content(engine: Engine, proxy: ProxyThread) -> None:
    """Elasticsearch writes a filtered ``_source`` in another order of keys when ``fields`` are asked for beside it."""
    asked = {"query": {"match": {"title": "wireless headphones"}}, "_source": {"excludes": ["title"]}, "size": WINDOW}
    direct, ours = (json.loads(search(url, asked).body)["hits"]["hits"] for url in (engine.url, proxy.url))
    for hit in (*direct, *ours):
        del hit["_score"]
    assert sorted(ours, key=lambda hit: hit["_id"]) == sorted(direct, key=lambda hit: hit["_id"])


def _without_scores(pretty: bytes) -> list[bytes]:
    """The lines of a pretty answer in sorted order, those with scores and times left out; commas move with the hits."""
    lines = [line.rstrip(b",") for line in pretty.splitlines()]
    return sorted(line for line in lines if b'_score"' not in line and b'"took"' not in line)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"sort": ["brand.keyword"]}, "sort"),
        ({"size": 0}, "size-zero"),
        ({"sort": ["_doc"], "search_after": [1]}, "search-after"),
        ({"query": {"match_all": {}}}, "no-query-text"),
        ({"query": {"bool": {"filter": {"match": {"title": "shoe"}}}}}, "no-query-text"),
    ],
)
def test_left_alone(engine: Engine, proxy: ProxyThread, body: dict[str, Any], reason: str) -> None:
    asked = {"query": {"match": {"title": "shoe"}}, **body}
    direct, ours = search(engine.url, asked), search(proxy.url, asked)
    assert ours.header("X-Rerank-Status") == f"skipped; reason={reason}"
    theirs = json.loads(direct.body)
    theirs["took"] = json.loads(ours.body)["took"]
    assert json.loads(ours.body) == theirs
