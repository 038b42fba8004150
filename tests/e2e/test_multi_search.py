"""Multi-searches: each item is reranked as it would be alone, all else is the engine's, byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.engines import Engine
from tests.support import Answer, ProxyThread, ask

pytestmark = pytest.mark.engine

NDJSON = {"Content-Type": "application/x-ndjson"}
WORDS = ["red", "blue", "warm", "light", "long", "small"]
MATCH = {"query": {"match": {"title": "red warm shoe"}}}
TITLE = {"query": {"match": {"title": "blue shoe"}}, "size": 3, "_source": ["title"]}
NARROW = {"query": {"match": {"title": "shoe"}}, "size": 3}
"""For the index that gives no more than 20 hits."""


def scorer() -> ThreadScorer:
    return ThreadScorer({"base": DummyModel}, MemoryScoreCache(1000), 2)


@pytest.fixture(scope="module", autouse=True)
def indices(engine: Engine) -> Iterator[None]:
    for name in ("multi-a", "multi-b", "multi-narrow", "other"):
        settings = {"number_of_shards": 2, "number_of_replicas": 0}
        if name == "multi-narrow":
            settings["max_result_window"] = 20
        send(engine.url, "PUT", f"/{name}", {"settings": settings})
        lines: list[Any] = []
        for number in range(40):
            words = [word for bit, word in enumerate(WORDS) if (number >> bit) & 1]
            lines += [{"index": {"_id": str(number)}}, {"title": " ".join([*words, "shoe"]), "n": number}]
        ask(engine.url, "POST", f"/{name}/_bulk?refresh=true", ndjson(*lines), NDJSON)
    yield
    for name in ("multi-a", "multi-b", "multi-narrow", "other"):
        ask(engine.url, "DELETE", f"/{name}")


def send(url: str, method: str, path: str, body: dict[str, Any]) -> Answer:
    answer = ask(url, method, path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    assert answer.status == 200, answer.body[:300]
    return answer


def ndjson(*lines: Any) -> bytes:
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


def proxy_for(engine: Engine, rule: Rule) -> ProxyThread:
    return ProxyThread(Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,)), scorer)


@pytest.fixture(scope="module")
def identity(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine, Rule(target="*", model="identity")) as running:
        yield running


@pytest.fixture(scope="module")
def reranking(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine, Rule(target="multi-*", budget_ms=600_000)) as running:
        yield running


def blanked(body: bytes) -> bytes:
    return re.sub(rb'("took"\s*:\s*)\d+', rb"\1N", body)


BODIES: dict[str, tuple[str, bytes, str]] = {
    # name: (path, body, what became of it; empty: passed on without a word)
    "two": ("/_msearch", ndjson({"index": "multi-a"}, MATCH, {"index": "multi-b"}, TITLE), "items=2; full=2"),
    "of the path": ("/multi-a/_msearch", ndjson({}, MATCH, {"index": "multi-b"}, TITLE), "items=2; full=2"),
    "list of names": ("/_msearch", ndjson({"index": ["multi-a", "multi-b"]}, MATCH), "items=1; full=1"),
    "names with commas": ("/_msearch", ndjson({"index": "multi-a,multi-b"}, MATCH), "items=1; full=1"),
    "all by an empty name": (
        "/multi-a/_msearch",
        ndjson({"index": ""}, MATCH),
        "items=1; full=1",
    ),  # multi-narrow is among them
    "blank header": ("/multi-a/_msearch", ndjson({}, MATCH, b" ", TITLE), "items=2; full=2"),
    "no last line's end": ("/multi-a/_msearch", ndjson({}, MATCH)[:-1], ""),
    "a blank last line": ("/multi-a/_msearch", ndjson({}, MATCH) + b"\n", "items=1; full=1"),
    "ends of lines with CR": (
        "/multi-a/_msearch",
        b'{}\r\n{"query":{"match":{"title":"shoe"}}}\r\n',
        "items=1; full=1",
    ),
    "as JSON type": ("/multi-a/_msearch", ndjson({}, MATCH), "items=1; full=1"),
    "missing index": ("/multi-a/_msearch", ndjson({}, MATCH, {"index": "gone"}, MATCH), "items=2; full=1; fallback=1"),
    "unknown query": ("/multi-a/_msearch", ndjson({}, MATCH, {}, {"query": {"nonsense": {}}}), ""),
    "unknown header key": ("/multi-a/_msearch", ndjson({"nonsense": 1}, MATCH), ""),
    "body of no JSON": ("/multi-a/_msearch", ndjson({}, MATCH, {}, b"{"), ""),
    "header of no object": ("/multi-a/_msearch", ndjson([1], MATCH), ""),
    "header of no UTF-8": ("/multi-a/_msearch", ndjson(b'{"preference":"\xe9"}', MATCH), ""),
    "header without a body": ("/multi-a/_msearch", ndjson({}, MATCH, {}), ""),
    "empty": ("/multi-a/_msearch", b"", ""),
    "skipped ones": (
        "/multi-a/_msearch",
        ndjson({}, {**MATCH, "sort": ["n"]}, {}, {**MATCH, "size": 0}, {}, {**MATCH, "from": 5, "size": 2}),
        "items=3; full=1; skipped=2",
    ),
    "past the window": ("/multi-a/_msearch", ndjson({}, {**NARROW, "from": 300}), "items=1; skipped=1"),
    "keys of a header": (
        "/_msearch",
        ndjson({"index": "multi-a", "preference": "x", "routing": "3", "search_type": "dfs_query_then_fetch"}, MATCH),
        "items=1; full=1",
    ),
    "typed keys": (
        "/multi-a/_msearch?typed_keys=true&rest_total_hits_as_int=true",
        ndjson({}, {**MATCH, "aggs": {"n": {"max": {"field": "n"}}}}),
        "items=1; full=1",
    ),
    "pretty": ("/multi-a/_msearch?pretty", ndjson({}, MATCH, {}, TITLE), "items=2; full=2"),
    "filter_path": ("/multi-a/_msearch?filter_path=responses.hits.total", ndjson({}, MATCH), ""),
    "size in the URL": ("/multi-a/_msearch?size=3", ndjson({}, MATCH), ""),
    "window too large for an index": ("/multi-narrow/_msearch", ndjson({}, NARROW, {}, NARROW), "items=2; full=2"),
    "one of two too large": (
        "/_msearch",
        ndjson({"index": "multi-a"}, MATCH, {"index": "multi-narrow"}, NARROW),
        "items=2; full=2",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_with_the_engines_order_the_answer_is_the_engines(engine: Engine, identity: ProxyThread, name: str) -> None:
    path, body, became = BODIES[name]
    headers = {"Content-Type": "application/json"} if name == "as JSON type" else NDJSON
    direct = ask(engine.url, "POST", path, body, headers)
    ours = ask(identity.url, "POST", path, body, headers)
    assert ours.status == direct.status
    assert blanked(ours.body) == blanked(direct.body)
    status = ours.header("X-Rerank-Status") or ""
    # What an engine refuses as a whole is sent again as it came.
    assert status == became or (direct.status == 400 and became == "" and "fallback" in status)


def responses(answer: Answer) -> list[bytes]:
    assert answer.status == 200, answer.body[:300]
    top = msgspec.json.decode(answer.body, type=dict[str, msgspec.Raw])
    return [blanked(bytes(raw)) for raw in msgspec.json.decode(top["responses"], type=list[msgspec.Raw])]


def alone(url: str, index: str, body: dict[str, Any]) -> bytes:
    found = blanked(send(url, "POST", f"/{index}/_search", body).body)
    return found.removesuffix(b"}") + b',"status":200}'


def test_each_item_is_what_the_search_alone_gives(engine: Engine, reranking: ProxyThread) -> None:
    deep = {**MATCH, "from": 4, "size": 6, "highlight": {"fields": {"title": {}}}}
    body = ndjson({"index": "multi-a"}, MATCH, {"index": "other"}, MATCH, {"index": "multi-b"}, deep, {}, MATCH)
    ours = ask(reranking.url, "POST", "/multi-b/_msearch", body, NDJSON)
    assert ours.header("X-Rerank-Status") == "items=4; full=3"
    items = responses(ours)
    assert items[0] == alone(reranking.url, "multi-a", MATCH) != alone(engine.url, "multi-a", MATCH)
    assert items[1] == alone(engine.url, "other", MATCH)
    assert items[2] == alone(reranking.url, "multi-b", deep) != alone(engine.url, "multi-b", deep)
    assert items[3] == alone(reranking.url, "multi-b", MATCH)


def test_a_client_may_ask_for_the_engines_order(engine: Engine, reranking: ProxyThread) -> None:
    body = ndjson({"index": "multi-a"}, MATCH)
    ours = ask(reranking.url, "POST", "/_msearch", body, {**NDJSON, "X-Rerank-Skip": "true"})
    assert ours.header("X-Rerank-Status") == "items=1; skipped=1"
    assert responses(ours) == responses(ask(engine.url, "POST", "/_msearch", body, NDJSON))


def test_what_is_meant_for_us_alone_does_not_reach_the_engine(reranking: ProxyThread) -> None:
    context = {"ext": {"rerank": {"query_context": {"query_text": "light warm"}}}}
    body = ndjson(
        {"index": "multi-a"}, {"query": {"match_all": {}}, **context}, {"index": "multi-a"}, {**NARROW, **context}
    )
    ours = ask(reranking.url, "POST", "/_msearch", body, NDJSON)
    assert ours.header("X-Rerank-Status") in ("items=2; full=2", "items=2; full=1; skipped=1")
    first = json.loads(ours.body)["responses"][1]["hits"]["hits"][0]
    assert {"light", "warm"} <= set(first["_source"]["title"].split())


def test_no_rule_no_word(engine: Engine, reranking: ProxyThread) -> None:
    body = ndjson({"index": "other"}, MATCH)
    ours = ask(reranking.url, "POST", "/_msearch", body, NDJSON)
    assert ours.header("X-Rerank-Status") is None
    assert blanked(ours.body) == blanked(ask(engine.url, "POST", "/_msearch", body, NDJSON).body)
