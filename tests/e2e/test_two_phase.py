"""The window bare and the page by a second search: the same answer as in one, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.settings import Field, Literal, Rule, Template
from tests.engines import Engine
from tests.support import Answer, ProxyThread, ask
from tests.support_shop import NDJSON, blanked, ids, proxy_for, send, title

pytestmark = pytest.mark.engine

INDEX = "phases"
OTHER = "phases-other"
QUERY = {"match": {"title": "red warm long shoe"}}
TEXT = Template((Field("title", None), Literal(" "), Field("note", None)))
NESTED = {"nested": {"path": "parts", "query": {"match": {"parts.name": "sole"}}, "inner_hits": {"size": 2}}}
BODIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "second page": {"from": 7, "size": 6},
    "straddling page": {"from": 15, "size": 10},
    "filtered source": {"_source": ["title", "parts.*"]},
    "no source": {"_source": False},
    "source and fields": {"_source": {"excludes": ["note"]}, "fields": ["title", "n", "parts.name"]},
    "stored and docvalue fields": {"stored_fields": ["title"], "docvalue_fields": ["n"]},
    "script fields": {"script_fields": {"double": {"script": "doc['n'].value * 2"}}},
    "highlight": {"highlight": {"fields": {"title": {}, "note": {"fragment_size": 40}}}},
    "inner hits": {"query": {"bool": {"must": [QUERY], "should": [NESTED]}}},
    "explain": {"explain": True},
    "versions": {"version": True, "seq_no_primary_term": True},
    "named queries": {"query": {"bool": {"should": [{"match": {"title": {"query": "red", "_name": "r"}}}, QUERY]}}},
    "aggregations": {"aggs": {"n": {"stats": {"field": "n"}}}},
    "suggest": {"suggest": {"s": {"text": "shoo", "term": {"field": "title"}}}},
    "post filter": {"post_filter": {"range": {"n": {"gte": 10}}}},
    "min score": {"min_score": 0.5},
    "track scores": {"track_scores": True, "track_total_hits": 5},
    "sort by score": {"sort": ["_score"]},
    "sort with a tiebreak": {"sort": [{"_score": "desc"}, {"n": "asc"}]},
    "rescore": {
        "rescore": {
            "window_size": 30,
            "query": {"rescore_query": {"match": {"title": "small"}}, "query_weight": 0.7, "rescore_query_weight": 1.2},
        }
    },
    "collapse": {"collapse": {"field": "group"}},
    "collapse with inner hits": {"collapse": {"field": "group", "inner_hits": {"name": "more", "size": 3}}},
    "function score": {"query": {"function_score": {"query": QUERY, "field_value_factor": {"field": "n"}}}},
    "indices boost": {"indices_boost": [{INDEX: 1.5}]},
    "terminate after": {"terminate_after": 10_000},
    "timeout": {"timeout": "30s"},
    "no hits": {"query": {"match": {"title": "nothing"}}},
    "one hit": {"query": {"bool": {"must": [QUERY], "filter": [{"term": {"n": 3}}]}}},
}
PARAMETERS = [
    "",
    "?pretty",
    "?size=3&from=2",
    "?_source_includes=title&rest_total_hits_as_int=true",
    "?_source=false&docvalue_fields=n",
    "?explain=true&search_type=dfs_query_then_fetch",
    "?q=red+warm+shoe&df=title",
    "?filter_path=hits.hits._id,hits.hits._source.title,took",
    "?filter_path=-hits.hits._source.note,-_shards",
    "?routing=a,b&typed_keys=true",
    "?stored_fields=title&version=true",
    "?terminate_after=1000&track_total_hits=true",
]
SKIPPED_ON_BARE_CORES = {"script fields"}


@pytest.fixture(scope="module", autouse=True)
def indices(engine: Engine) -> Iterator[None]:
    mapping = {
        "properties": {
            "title": {"type": "text", "store": True},
            "note": {"type": "text"},
            "n": {"type": "integer"},
            "group": {"type": "keyword"},
            "parts": {"type": "nested", "properties": {"name": {"type": "text"}}},
        }
    }
    for index in (INDEX, OTHER):
        settings = {"number_of_shards": 3, "number_of_replicas": 0}
        made = send(engine.url, "PUT", f"/{index}", {"settings": settings, "mappings": mapping})
        assert made.status == 200, made.body
        lines: list[dict[str, Any]] = []
        for number in range(60):
            action: dict[str, Any] = {"_id": str(number % 50)}  # ten ids twice, under two routings
            if number % 10 < 3:
                action["routing"] = "a" if number < 50 else "b"
            parts = [{"name": "rubber sole"}, {"name": "lace"}, {"name": "inner sole"}]
            group = f"g{number % 9}"
            text = f"{title(number)} of kind {number}"
            lines += [
                {"index": action},
                {"title": text, "note": "a long note " * 20, "n": number, "group": group, "parts": parts},
            ]
        encoded = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        bulk = ask(engine.url, "POST", f"/{index}/_bulk?refresh=true", encoded, NDJSON)
        assert json.loads(bulk.body)["errors"] is False
    yield
    for index in (INDEX, OTHER):
        ask(engine.url, "DELETE", f"/{index}")


def proxy_in(engine: Engine, least_bytes: int, **rule: Any) -> ProxyThread:
    options = {"target": "phases*", "window": 20, "budget_ms": 600_000, "text": TEXT, **rule}
    return proxy_for(engine.url, Rule(two_phase_bytes=least_bytes, **options))


@pytest.fixture(scope="module")
def pair(engine: Engine) -> Iterator[tuple[ProxyThread, ProxyThread]]:
    """A proxy that always takes two phases, and one that never does."""
    with proxy_in(engine, 0) as two, proxy_in(engine, 2**30) as one:
        yield two, one


@pytest.fixture(scope="module")
def keeping(engine: Engine) -> Iterator[ProxyThread]:
    """A proxy in two phases that changes nothing."""
    with proxy_in(engine, 0, model="identity", scores="keep", text=None) as running:
        yield running


def phases(proxy: ProxyThread, path: str, body: dict[str, Any]) -> int:
    """Ask the explain page in how many phases a search goes."""
    explain = path.replace("/_search", "").replace("/", "/_rerank/explain/", 1)
    told = json.loads(send(proxy.url, "POST", explain, body).body)
    count: int = told["phases"]
    return count


def both(pair: tuple[ProxyThread, ProxyThread], path: str, body: dict[str, Any]) -> tuple[Answer, Answer]:
    two, one = (send(proxy.url, "POST", path, body) for proxy in pair)
    assert two.status == one.status == 200, (two.body[:300], one.body[:300])
    assert two.header("X-Rerank-Status") == one.header("X-Rerank-Status") == "full"
    return two, one


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("target", [INDEX, f"{INDEX},{OTHER}"])
def test_bodies_are_answered_alike(
    engine: Engine, pair: tuple[ProxyThread, ProxyThread], keeping: ProxyThread, name: str, target: str
) -> None:
    if engine.is_elasticsearch and name in SKIPPED_ON_BARE_CORES:
        pytest.skip(f"{name} are not for {engine.name}: its core comes without scripts")
    body = {"query": QUERY, **BODIES[name]}
    path = f"/{target}/_search"
    # Fields of ours beside several of the client's change their order, and on Elasticsearch a filtered source's form.
    always = {
        "source and fields",
        "stored and docvalue fields",
        *(["filtered source"] if engine.is_elasticsearch else []),
    }
    otherwise = 2 if name in always else 1
    assert (phases(pair[0], path, body), phases(pair[1], path, body)) == (2, otherwise)
    two, one = both(pair, path, body)
    assert blanked(two.body) == blanked(one.body)
    direct, kept = (send(url, "POST", path, body) for url in (engine.url, keeping.url))
    assert blanked(kept.body) == blanked(direct.body)
    assert kept.header("X-Rerank-Status") == "full"


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_parameters_are_answered_alike(
    engine: Engine, pair: tuple[ProxyThread, ProxyThread], keeping: ProxyThread, parameters: str
) -> None:
    body = {"query": QUERY, "aggs": {"n": {"max": {"field": "n"}}}, "highlight": {"fields": {"title": {}}}}
    path = f"/{INDEX}/_search{parameters}"
    two, one = both(pair, path, body)
    assert blanked(two.body) == blanked(one.body)
    direct, kept = (send(url, "POST", path, body) for url in (engine.url, keeping.url))
    assert blanked(kept.body) == blanked(direct.body)


@pytest.mark.parametrize(
    "query",
    [
        {"function_score": {"query": QUERY, "random_score": {}}},
        {"knn": {"field": "v", "query_vector": [1.0], "k": 5, "num_candidates": 10}},
    ],
)
def test_what_has_other_hits_each_time_goes_in_one(
    pair: tuple[ProxyThread, ProxyThread], query: dict[str, Any]
) -> None:
    told = send(pair[0].url, "POST", f"/_rerank/explain/{INDEX}", {"query": query})
    assert json.loads(told.body).get("phases") in (1, None)


def test_a_search_learns_that_its_hits_are_large(engine: Engine) -> None:
    rule = Rule(target="phases*", window=20, budget_ms=600_000, text=TEXT, two_phase_bytes=9000)
    body = {"query": QUERY, "size": 5}
    with proxy_for(engine.url, rule) as proxy:
        path = f"/{INDEX}/_search"
        assert phases(proxy, path, {**body, "_source": False}) == 1
        assert phases(proxy, path, {**body, "_source": False}) == 1
        assert phases(proxy, path, body) == 1
        assert phases(proxy, path, body) == 2
        assert ids(send(proxy.url, "POST", path, body)) == ids(send(proxy.url, "POST", path, body))
