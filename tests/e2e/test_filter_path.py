"""`filter_path` through the proxy: reranked, and what is left is what the engine leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.engines import Engine
from tests.support import Answer, ProxyThread, ask

pytestmark = pytest.mark.engine

JSON = {"Content-Type": "application/json"}
INDEX = "filtered"
FILTERS = [
    "hits.hits._id",
    "hits.hits._source",
    "hits.hits._source.title",
    "hits.hits._source.parts.name,took",
    "hits.hits._source.even",
    "hits.hits._source.*.name",
    "hits.hits",
    "hits",
    "hits.*",
    "h*.h*.f*",
    "**.title",
    "**._score",
    "hits.**._id",
    "**",
    "*",
    "hits.hits._source.dotted.key",
    "hits.hits._source.dotted\\.key",
    "hits.hits.fields.title",
    "hits.hits.highlight",
    "hits.hits.inner_hits",
    "hits.total.value,hits.max_score,hits.hits._score",
    "-hits.hits._source",
    "-hits.hits._score",
    "-hits.hits._id,-hits.hits._index",
    "-**.title",
    "-took",
    "-**.weight",
    "-**.name,-**.weight",
    "-hits.hits._source.parts.name,-hits.hits._source.parts.weight",
    "hits.hits._source.list",
    "-**.list.x",
    "hits.hits._source.list.x",
    "-hits.*._index,-hits.hits._*,-hits.hits.fields,-hits.hits.highlight",
    "-_shards,-hits.max_score",
    "hits.hits,-hits.hits._source.title",
    "hits,-hits.hits.fields",
    "hits.hits._source.parts,-**.name",
    "aggregations.b.buckets.key,hits.hits._id",
    "took,hits.hits.nothing",
    "hits.hits.0",
    ",,hits.hits._id,",
    "hits.hits.?id",
    "hits.hits.[_]id",
    " hits.hits._id , took",
]
BODY: dict[str, Any] = {
    "query": {"match": {"title": "red warm shoe"}},
    "size": 4,
    "fields": ["title"],
    "highlight": {"fields": {"title": {}}},
    "aggs": {"b": {"terms": {"field": "even"}}},
}


def send(url: str, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
    return ask(url, method, path, None if body is None else json.dumps(body).encode(), JSON if body else {})


@pytest.fixture(scope="module", autouse=True)
def index(engine: Engine) -> Iterator[None]:
    mapping = {"properties": {"title": {"type": "text"}, "even": {"type": "boolean"}, "parts": {"type": "nested"}}}
    assert send(engine.url, "PUT", f"/{INDEX}", {"mappings": mapping}).status == 200
    words = ["red", "blue", "light", "warm", "long"]
    lines = b""
    for number in range(20):
        chosen = [word for bit, word in enumerate(words) if number >> bit & 1]
        source = (
            f'{{"title": "{" ".join(chosen)} shoe", "n": 1.10, "face": "\U0001f600", "dotted.key": {number}, '
            f'"none": {{}}, "list": [], "parts": [{{"name": "sole"}}, {{"weight": 2.50}}]'
            + (', "even": true}' if number % 2 == 0 else "}")
        )
        lines += f'{{"index":{{"_id":"{number}"}}}}\n{source}\n'.encode()
    bulk = ask(engine.url, "POST", f"/{INDEX}/_bulk?refresh=true", lines, {"Content-Type": "application/x-ndjson"})
    assert json.loads(bulk.body)["errors"] is False
    yield
    send(engine.url, "DELETE", f"/{INDEX}")


def proxy_for(engine: Engine, rule: Rule) -> ProxyThread:
    def scorer() -> ThreadScorer:
        return ThreadScorer({"base": DummyModel}, MemoryScoreCache(1000), 1)

    return ProxyThread(Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,)), scorer)


@pytest.fixture(scope="module")
def identity(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine, Rule(target=INDEX, model="identity", window=8)) as running:
        yield running


@pytest.fixture(scope="module")
def reranking(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine, Rule(target=INDEX, budget_ms=600_000, window=8)) as running:
        yield running


def blanked(body: bytes) -> bytes:
    return re.sub(rb'("took"\s*:\s*)\d+', rb"\1N", body)


def filtered(value: str) -> str:
    return f"/{INDEX}/_search?filter_path={quote(value, safe='')}"


@pytest.mark.parametrize("value", FILTERS)
@pytest.mark.parametrize("pretty", ["", "&pretty"])
def test_the_engines_own_order_comes_byte_for_byte(
    engine: Engine, identity: ProxyThread, value: str, pretty: str
) -> None:
    direct = send(engine.url, "POST", filtered(value) + pretty, BODY)
    through = send(identity.url, "POST", filtered(value) + pretty, BODY)
    assert blanked(through.body) == blanked(direct.body)
    assert through.status == direct.status == 200
    assert through.header("X-Rerank-Status") == "full"


@pytest.mark.parametrize("value", FILTERS)
def test_reranked_and_filtered_is_filtered_of_reranked(engine: Engine, reranking: ProxyThread, value: str) -> None:
    """The engine's filter over the reranked answer cannot be run; a get of each hit's part through it can."""
    whole = json.loads(send(reranking.url, "POST", f"/{INDEX}/_search", BODY).body)
    part = send(reranking.url, "POST", filtered(value), BODY)
    assert part.header("X-Rerank-Status") == "full"
    direct = json.loads(send(engine.url, "POST", filtered(value), BODY).body)
    read = json.loads(part.body)
    assert read.keys() == direct.keys()
    own = json.loads(send(engine.url, "POST", f"/{INDEX}/_search", BODY).body)
    assert [hit["_id"] for hit in whole["hits"]["hits"]] != [hit["_id"] for hit in own["hits"]["hits"]]
    for place, hit in enumerate(read.get("hits", {}).get("hits", [])):
        if "_id" in hit:
            assert hit["_id"] == whole["hits"]["hits"][place]["_id"]
        if "_score" in hit:
            assert hit["_score"] == whole["hits"]["hits"][place]["_score"]


@pytest.mark.parametrize("value", ["-", "hits.hits,-"])
def test_a_dash_alone_is_the_engines_to_judge(engine: Engine, identity: ProxyThread, value: str) -> None:
    """OpenSearch refuses it."""
    direct, through = (send(url, "POST", filtered(value), BODY) for url in (engine.url, identity.url))
    assert (through.status, blanked(through.body)) == (direct.status, blanked(direct.body))
    assert direct.status == (200 if engine.is_elasticsearch else 400)


def test_what_shows_no_hits_and_no_such_index_are_the_engines(engine: Engine, reranking: ProxyThread) -> None:
    for path in (filtered("took"), filtered("hits.total"), "/filtered-not/_search?filter_path=hits.hits"):
        direct, through = send(engine.url, "POST", path, BODY), send(reranking.url, "POST", path, BODY)
        assert (direct.status, blanked(direct.body)) == (through.status, blanked(through.body))


def test_no_hit_at_all(engine: Engine, reranking: ProxyThread) -> None:
    nothing = {"query": {"match": {"title": "nothing"}}}
    for value in ("hits.hits._id", "hits.hits", "took,hits.hits._id", "-hits.total"):
        direct, through = (send(url, "POST", filtered(value), nothing) for url in (engine.url, reranking.url))
        assert blanked(direct.body) == blanked(through.body)
        assert through.header("X-Rerank-Status") == "full"


def test_pages_behind_the_window(engine: Engine, reranking: ProxyThread) -> None:
    body = {**BODY, "from": 10}
    read = send(reranking.url, "POST", filtered("hits.hits._id"), body)
    assert blanked(read.body) == blanked(send(engine.url, "POST", filtered("hits.hits._id"), body).body)
    assert read.header("X-Rerank-Status") == "skipped; reason=past-window"
    scores = msgspec.json.decode(send(reranking.url, "POST", filtered("hits.hits._score"), body).body)
    assert all(0 < hit["_score"] < 1 for hit in scores["hits"]["hits"])


MULTI_BODY = b"".join(
    json.dumps(line).encode() + b"\n"
    for line in (
        {},
        BODY,
        {"index": "filtered-not"},
        BODY,
        {},
        {"query": {"match": {"title": "nothing"}}},
        {"index": INDEX},
        {"size": 0, "query": BODY["query"]},
        {},
        {"query": {"match": {"title": "long"}}, "size": 3, "from": 2},
    )
)


def of_items(value: str) -> str:
    """Return a filter of an answer as one of a multi-search's items."""
    paths = [path.strip() for path in value.split(",")]
    return ",".join(f"-responses.{path[1:]}" if path.startswith("-") else f"responses.{path}" for path in paths if path)


MULTI_FILTERS = [
    *map(of_items, FILTERS),
    *(
        "**",
        "*",
        "r*",
        "**._id",
        "-**.title",
        "-took",
        "-**.took,-**._shards",
        "took,responses.status",
        "**.error.type",
    ),
    *("responses.hits.hits._id,responses.status", "-responses.status", "-**.hits._source,-**.aggregations"),
]


def multi(url: str, value: str, more: str = "") -> Answer:
    path = f"/{INDEX}/_msearch?filter_path={quote(value, safe='')}{more}"
    return ask(url, "POST", path, MULTI_BODY, {"Content-Type": "application/x-ndjson"})


@pytest.mark.parametrize("value", MULTI_FILTERS)
@pytest.mark.parametrize("pretty", ["", "&pretty"])
def test_a_multi_search_in_the_engines_own_order_comes_byte_for_byte(
    engine: Engine, identity: ProxyThread, value: str, pretty: str
) -> None:
    direct, through = multi(engine.url, value, pretty), multi(identity.url, value, pretty)
    assert blanked(through.body) == blanked(direct.body)
    assert through.status == direct.status == 200
    if b"_id" in direct.body:
        assert through.header("X-Rerank-Status") == "items=5; full=3; skipped=1"


def test_a_reranked_multi_search_is_filtered(engine: Engine, reranking: ProxyThread) -> None:
    shown = multi(reranking.url, "responses.hits.hits._id,responses.hits.hits._score")
    assert shown.header("X-Rerank-Status") == "items=5; full=3; skipped=1"
    alone = [json.loads(send(reranking.url, "POST", f"/{INDEX}/_search", BODY).body)["hits"]["hits"]]
    (first, last) = json.loads(shown.body)["responses"]
    assert first == {"hits": {"hits": [{"_id": hit["_id"], "_score": hit["_score"]} for hit in alone[0]]}}
    assert len(last["hits"]["hits"]) == 2
    own = json.loads(multi(engine.url, "responses.hits.hits._id").body)["responses"][0]["hits"]["hits"]
    assert [hit["_id"] for hit in first["hits"]["hits"]] != [hit["_id"] for hit in own]


def test_a_multi_search_of_which_no_hits_are_shown_is_the_engines(engine: Engine, reranking: ProxyThread) -> None:
    for value in ("took", "responses.hits.total", "responses.status", "-responses.hits", "hits.hits._id"):
        direct, through = multi(engine.url, value), multi(reranking.url, value)
        assert blanked(through.body) == blanked(direct.body)
        assert through.header("X-Rerank-Status") is None
