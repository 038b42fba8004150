"""Takeover on the engines: none of them has the reranker, so that without it each refuses these searches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.settings import Rule
from tests.engines import Engine
from tests.support import ProxyThread, ask
from tests.support_shop import NDJSON, ids, proxy_for, send, shop

pytestmark = pytest.mark.engine

INDEX = "taken"
TEXT = "red warm long shoe"
CHILD = {"standard": {"query": {"match": {"title": TEXT}}}}


@pytest.fixture(scope="module", autouse=True)
def index(engine: Engine) -> Iterator[None]:
    with shop(engine.url, INDEX):
        yield


@pytest.fixture(scope="module")
def taking(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine.url, Rule(target="*", budget_ms=600_000, window=20, takeover=True, blend=0.0)) as running:
        yield running


@pytest.fixture(scope="module")
def passing(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine.url, Rule(target="*", budget_ms=600_000, window=20)) as running:
        yield running


@pytest.fixture
def elasticsearch(engine: Engine) -> None:
    if engine.name == "os":
        pytest.skip("retrievers are not for OpenSearch")


@pytest.fixture
def opensearch_only(engine: Engine) -> None:
    if engine.name != "os":
        pytest.skip("search pipelines are not for Elasticsearch")


def reranker(window: int = 20, **more: Any) -> dict[str, Any]:
    options = {"retriever": CHILD, "field": "title", "inference_text": TEXT, "rank_window_size": window, **more}
    return {"retriever": {"text_similarity_reranker": options}}


def pipeline(**more: Any) -> dict[str, Any]:
    processor = {"rerank": {"ml_opensearch": {"model_id": "m"}, "context": {"document_fields": ["title"]}}}
    return {
        "query": {"match": {"title": TEXT}},
        "ext": {"rerank": {"query_context": {"query_text": TEXT}}},
        "search_pipeline": {"response_processors": [processor]},
        **more,
    }


def plain_ids(proxy: ProxyThread, size: int) -> list[str]:
    return ids(send(proxy.url, "POST", f"/{INDEX}/_search", {"query": {"match": {"title": TEXT}}, "size": size}))


@pytest.mark.usefixtures("elasticsearch")
def test_off_the_clusters_refusal_is_passed_on(engine: Engine, passing: ProxyThread) -> None:
    direct, through = (send(url, "POST", f"/{INDEX}/_search", reranker()) for url in (engine.url, passing.url))
    assert direct.status == through.status == 400
    assert direct.body == through.body
    assert through.header("X-Rerank-Status") == "skipped; reason=retriever"


@pytest.mark.usefixtures("elasticsearch")
def test_a_reranker_is_answered_page_by_page_and_ends_at_its_window(engine: Engine, taking: ProxyThread) -> None:
    expected = plain_ids(taking, 20)
    assert expected != plain_ids_of(engine, 20)
    seen: list[str] = []
    scores: list[float] = []
    for start in range(0, 28, 7):
        page = send(taking.url, "POST", f"/{INDEX}/_search", {**reranker(), "from": start, "size": 7})
        assert page.header("X-Rerank-Status") == "full"
        hits = json.loads(page.body)["hits"]
        seen += [hit["_id"] for hit in hits["hits"]]
        scores += [hit["_score"] for hit in hits["hits"]]
        assert hits["total"]["value"] == 60
        assert "fields" not in str(hits["hits"])
    assert seen == expected
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 2  # 1 and the logit, which a sigmoid does not reach
    assert min(scores) > 0


def plain_ids_of(engine: Engine, size: int) -> list[str]:
    return ids(send(engine.url, "POST", f"/{INDEX}/_search", {"query": {"match": {"title": TEXT}}, "size": size}))


@pytest.mark.usefixtures("elasticsearch")
def test_filters_aggregations_and_items_of_a_multi_search(taking: ProxyThread) -> None:
    body = {**reranker(filter={"range": {"n": {"lt": 10}}}), "aggs": {"n": {"max": {"field": "n"}}}, "size": 5}
    answer = json.loads(send(taking.url, "POST", f"/{INDEX}/_search", body).body)
    assert answer["hits"]["total"]["value"] == 10
    assert answer["aggregations"]["n"]["value"] == 9.0
    lines = json.dumps({"index": INDEX}).encode() + b"\n" + json.dumps(body).encode() + b"\n"
    multi = ask(taking.url, "POST", "/_msearch", lines, NDJSON)
    assert multi.header("X-Rerank-Status") == "items=1; full=1"
    found = json.loads(multi.body)["responses"][0]
    assert found["hits"] == answer["hits"]


@pytest.mark.usefixtures("elasticsearch")
def test_what_cannot_be_taken_over_is_a_clear_error(taking: ProxyThread) -> None:
    body = {"retriever": {"rrf": {"retrievers": [reranker()["retriever"], CHILD]}}}
    answer = send(taking.url, "POST", f"/{INDEX}/_search", body)
    assert answer.status == 400
    error = json.loads(answer.body)["error"]
    assert error["type"] == "illegal_argument_exception"
    assert "outermost retriever" in error["root_cause"][0]["reason"]


@pytest.mark.usefixtures("opensearch_only")
def test_an_inline_pipelines_reranker_is_answered(engine: Engine, taking: ProxyThread, passing: ProxyThread) -> None:
    answer = send(taking.url, "POST", f"/{INDEX}/_search", pipeline(size=20))
    assert answer.header("X-Rerank-Status") == "full"
    assert ids(answer) == plain_ids(taking, 20) != plain_ids_of(engine, 20)
    direct, through = (send(url, "POST", f"/{INDEX}/_search", pipeline()) for url in (engine.url, passing.url))
    assert direct.status == through.status == 400
    assert direct.body == through.body
