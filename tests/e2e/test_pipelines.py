"""Search pipelines of OpenSearch: kept and reranked behind where they leave the order to us, else passed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.scorer.types import Segment
from proxy.settings import Listen, Rule, Settings, parse_template
from tests.engines import Engine
from tests.support import Answer, ProxyThread, ask

pytestmark = pytest.mark.engine

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
WORDS = ["red", "blue", "warm", "light", "long", "small"]
TEXT = "small red warm shoe"
COUNT = 60
WINDOW = 25
SEARCH: dict[str, Any] = {"query": {"match": {"title": TEXT}}, "size": 5}
RULE = Rule(target="piped*", window=WINDOW, text=parse_template("{title}"), budget_ms=600_000, blend=0.0)
SKIPPED = "skipped; reason=search-pipeline"

FEW = {"filter_query": {"query": {"range": {"n": {"lt": 40}}}}}
PIPELINES: dict[str, dict[str, Any]] = {
    "few": {"request_processors": [FEW]},
    "twice": {
        "request_processors": [{"oversample": {"sample_factor": 2}}],
        "response_processors": [{"truncate_hits": {}}],
    },
    "renamed": {"response_processors": [{"rename_field": {"field": "tags", "target_field": "labels"}}]},
    "sorted": {"response_processors": [{"sort": {"field": "tags"}}]},
    "collapsed": {"response_processors": [{"collapse": {"field": "n"}}]},
    "doubled": {"request_processors": [{"oversample": {"sample_factor": 2}}]},
    "cut": {"response_processors": [{"truncate_hits": {"target_size": 3}}]},
    "split": {"response_processors": [{"split": {"field": "title", "separator": " "}}]},
}
KEPT = ("few", "twice", "renamed", "sorted")
PLACED = {"where": "/shop/shoes", "when": "2026-01-02T10:00:00Z"}
ROUTINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"acl_routing_search": {"acl_field": "tags"}}, {"term": {"tags": "a"}}),
    ({"hierarchical_routing_search": {"path_field": "where.keyword"}}, {"prefix": {"where.keyword": "/shop/shoes"}}),
    (
        {"temporal_routing_search": {"timestamp_field": "when", "granularity": "day"}},
        {"range": {"when": {"gte": "2026-01-02T00:00:00Z", "lt": "2026-01-02T20:00:00Z"}}},
    ),
]
"""Processors of OpenSearch 3, and a filter that each makes a routing of."""


@pytest.fixture(scope="module", autouse=True)
def engine(opensearch_pipelines: Engine) -> Iterator[Engine]:
    url = opensearch_pipelines.url
    for name in ("piped", "piped-other"):
        assert (
            send(url, "PUT", f"/{name}", {"settings": {"number_of_shards": 2, "number_of_replicas": 0}}).status == 200
        )
        lines: list[Any] = []
        for number in range(COUNT):
            title = " ".join([*(word for bit, word in enumerate(WORDS) if (number >> bit) & 1), "shoe"])
            lines += [{"index": {"_id": str(number)}}, {"title": title, "n": number, "tags": ["b", "a"], **PLACED}]
        assert ask(url, "POST", f"/{name}/_bulk?refresh=true", ndjson(*lines), NDJSON).status == 200
    for name, definition in PIPELINES.items():
        assert send(url, "PUT", f"/_search/pipeline/{name}", definition).status == 200
    yield opensearch_pipelines
    for name in ("piped", "piped-other"):
        ask(url, "DELETE", f"/{name}")
    for name in PIPELINES:
        ask(url, "DELETE", f"/_search/pipeline/{name}")


def send(url: str, method: str, path: str, body: Any) -> Answer:
    return ask(url, method, path, json.dumps(body).encode(), JSON)


def ndjson(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def proxy_for(engine: Engine, rule: Rule = RULE) -> ProxyThread:
    settings = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,))
    return ProxyThread(settings, lambda: ThreadScorer({"base": DummyModel}, MemoryScoreCache(1000), 2))


def hits(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body[:500]
    found: list[dict[str, Any]] = json.loads(answer.body)["hits"]["hits"]
    return found


def unscored(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**hit, "_score": None} for hit in found]


def logit(hit: dict[str, Any]) -> float:
    return DummyModel().score(TEXT, (Segment(hit["_source"]["title"]),), 128)


@pytest.mark.parametrize("name", KEPT)
def test_pages_of_a_pipeline_that_leaves_the_order_to_us_are_those_of_its_own_hits_reranked(
    engine: Engine, name: str
) -> None:
    """What the engine gives of the whole window through the pipeline, in our order, is what the pages show."""
    path = f"/piped/_search?search_pipeline={name}"
    window = hits(send(engine.url, "POST", path, {**SEARCH, "size": WINDOW}))
    assert len(window) == WINDOW
    wanted = unscored(sorted(window, key=lambda hit: -logit(hit)))
    with proxy_for(engine) as running:
        answers = [send(running.url, "POST", path, {**SEARCH, "from": start}) for start in range(0, WINDOW, 5)]
        named = send(running.url, "POST", "/piped/_search", {**SEARCH, "search_pipeline": name})
        inline = send(running.url, "POST", "/piped/_search", {**SEARCH, "search_pipeline": PIPELINES[name]})
        items = ndjson({}, {**SEARCH, "search_pipeline": name}, {}, SEARCH)
        multi = ask(running.url, "POST", "/piped/_msearch", items, NDJSON)
    assert {answer.header("X-Rerank-Status") for answer in (*answers, named, inline)} == {"full"}
    assert multi.header("X-Rerank-Status") == "items=2; full=2"
    assert unscored([hit for answer in answers for hit in hits(answer)]) == wanted
    for other in (hits(named), hits(inline), json.loads(multi.body)["responses"][0]["hits"]["hits"]):
        assert other == hits(answers[0])


@pytest.mark.parametrize(("processor", "allowed"), ROUTINGS)
def test_pages_of_one_that_routes_are_those_of_its_shards(
    engine: Engine, processor: dict[str, Any], allowed: dict[str, Any]
) -> None:
    if engine.name != "os3":
        pytest.skip("routings are not for pipelines of OpenSearch 2")
    pipeline = {"request_processors": [processor]}
    body = {"query": {"bool": {"must": SEARCH["query"], "filter": allowed}}, "size": 5, "search_pipeline": pipeline}
    whole = send(engine.url, "POST", "/piped/_search", {**body, "size": COUNT})
    assert json.loads(whole.body)["_shards"]["total"] == 1, "of the index's two"
    with proxy_for(engine) as running:
        answers = [send(running.url, "POST", "/piped/_search", {**body, "from": start}) for start in range(0, COUNT, 5)]
        # Beside several fields the texts are fetched by a search of their own.
        apart = send(running.url, "POST", "/piped/_search", {**body, "fields": ["tags", "n"]})
    window, rest = hits(whole)[:WINDOW], hits(whole)[WINDOW:]
    assert {answer.header("X-Rerank-Status") for answer in (*answers[: WINDOW // 5], apart)} == {"full"}
    assert unscored([hit for answer in answers for hit in hits(answer)]) == unscored(
        sorted(window, key=lambda hit: -logit(hit)) + rest
    )
    assert "texts;" in (apart.header("Server-Timing") or "")
    assert [hit["_id"] for hit in hits(apart)] == [hit["_id"] for hit in hits(answers[0])]


@pytest.mark.parametrize("name", [name for name in PIPELINES if name not in KEPT])
def test_any_other_gives_the_engines_own_answer(engine: Engine, name: str) -> None:
    with proxy_for(engine) as running:
        for path, body in (
            (f"/piped/_search?search_pipeline={name}", SEARCH),
            ("/piped/_search", {**SEARCH, "search_pipeline": name}),
            ("/piped/_search", {**SEARCH, "search_pipeline": PIPELINES[name]}),
        ):
            answer, own = (send(url, "POST", path, body) for url in (running.url, engine.url))
            assert answer.header("X-Rerank-Status") == SKIPPED
            assert json.loads(answer.body)["hits"] == json.loads(own.body)["hits"]


def test_an_unknown_pipeline_is_the_engines_own_error(engine: Engine) -> None:
    with proxy_for(engine) as running:
        answer, own = (
            send(url, "POST", "/piped/_search?search_pipeline=nowhere", SEARCH) for url in (running.url, engine.url)
        )
    assert (answer.status, answer.body) == (own.status, own.body)
    assert (answer.status, answer.header("X-Rerank-Status")) == (400, SKIPPED)


@pytest.fixture
def defaults(engine: Engine) -> Iterator[dict[str, str]]:
    """What is put here, by index, is its default pipeline, once `apply` has been called."""
    chosen: dict[str, str] = {}
    yield chosen
    apply(engine, dict.fromkeys(chosen, "_none"))


def apply(engine: Engine, chosen: dict[str, str]) -> None:
    for index, name in chosen.items():
        setting = {"index.search.default_pipeline": name}
        assert send(engine.url, "PUT", f"/{index}/_settings", setting).status == 200


@pytest.mark.parametrize("name", PIPELINES)
def test_an_indexs_default_pipeline_counts_as_a_named_one(engine: Engine, defaults: dict[str, str], name: str) -> None:
    defaults["piped"] = name
    apply(engine, defaults)
    with proxy_for(engine) as running:
        answer, again = (send(running.url, "POST", "/piped/_search", SEARCH) for _ in range(2))
        none = send(running.url, "POST", "/piped/_search?search_pipeline=_none", SEARCH)
        both = send(running.url, "POST", "/piped*/_search", SEARCH)
    assert answer.header("X-Rerank-Status") == again.header("X-Rerank-Status") == ("full" if name in KEPT else SKIPPED)
    assert none.header("X-Rerank-Status") == "full"
    assert both.header("X-Rerank-Status") == answer.header("X-Rerank-Status")
    if name in KEPT:
        window = hits(send(engine.url, "POST", "/piped/_search", {**SEARCH, "size": WINDOW}))
        assert unscored(hits(answer)) == unscored(sorted(window, key=lambda hit: -logit(hit)))[:5]
    else:
        assert hits(answer) == hits(send(engine.url, "POST", "/piped/_search", SEARCH))


def test_explain_names_the_pipelines(engine: Engine, defaults: dict[str, str]) -> None:
    defaults["piped"] = "collapsed"
    apply(engine, defaults)
    shown = []
    with proxy_for(engine) as running:
        for more in ({}, {"search_pipeline": "few"}, {"search_pipeline": {}}, {"search_pipeline": "_none"}):
            answer = send(running.url, "POST", "/_rerank/explain/piped", {**SEARCH, **more})
            shown.append(json.loads(answer.body).get("search_pipelines"))
    assert shown == [["collapsed"], ["few"], ["inline"], ["_none"]]


def test_of_several_indices_default_pipelines_each_must_leave_the_order_to_us(
    engine: Engine, defaults: dict[str, str]
) -> None:
    defaults |= {"piped": "few", "piped-other": "sorted"}
    apply(engine, defaults)
    with proxy_for(engine) as running:
        assert send(running.url, "POST", "/piped*/_search", SEARCH).header("X-Rerank-Status") == "full"
    defaults |= {"piped-other": "collapsed"}
    apply(engine, defaults)
    with proxy_for(engine) as running:
        assert send(running.url, "POST", "/piped*/_search", SEARCH).header("X-Rerank-Status") == SKIPPED
        assert send(running.url, "POST", "/piped/_search", SEARCH).header("X-Rerank-Status") == "full"


def test_large_hits_come_in_one_phase_where_a_pipeline_applies(engine: Engine) -> None:
    """A page that is asked for by its ids would be another search to the pipeline's processors."""
    body = {**SEARCH, "highlight": {"fields": {"title": {}}}}
    rule = Rule(target="piped", window=WINDOW, budget_ms=600_000, two_phase_bytes=0)
    with proxy_for(engine, rule) as running:
        answers = [send(running.url, "POST", "/piped/_search?search_pipeline=renamed", body) for _ in range(2)]
        plain = [send(running.url, "POST", "/piped/_search", body) for _ in range(2)]
    assert ["page;" in (answer.header("Server-Timing") or "") for answer in (*answers, *plain)] == [False] * 2 + [
        True
    ] * 2
    assert all("labels" in hit["_source"] and "highlight" in hit for hit in hits(answers[1]))


def test_taken_over_a_pipeline_of_the_search_stands_for_the_indexs_own(
    engine: Engine, defaults: dict[str, str]
) -> None:
    defaults["piped"] = "collapsed"
    apply(engine, defaults)
    reranker = {"rerank": {"ml_opensearch": {"model_id": "m"}, "context": {"document_fields": ["title"]}}}
    context = {"rerank": {"query_context": {"query_text": TEXT}}}
    body = {**SEARCH, "search_pipeline": {"response_processors": [reranker]}, "ext": context}
    with proxy_for(engine, Rule(target="piped", takeover=True, budget_ms=600_000)) as running:
        answer = send(running.url, "POST", "/piped/_search", body)
    assert answer.header("X-Rerank-Status") == "full"
    assert len({hit["_source"]["n"] for hit in hits(answer)}) == 5
