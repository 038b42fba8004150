"""Rerankers that no engine here can run, answered by the proxy over real engines: what comes is worked out anew here.

The engines refuse `text_similarity_reranker` and the `rerank` processor, since the one needs a licence and the other a
plugin: that what comes is what those would give was not run on a real engine. It follows their references and source.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.scorer.types import Segment
from proxy.settings import Listen, Rule, Settings
from tests.engines import Engine
from tests.support import Answer, ProxyThread, ask
from tests.support_shop import blanked

pytestmark = pytest.mark.engine

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
WORDS = ["red", "blue", "warm", "light", "long", "small"]
TEXT = "small red warm shoe"
COUNT = 60
WINDOW = 25
NAME = "takeover"
STANDARD: dict[str, Any] = {"standard": {"query": {"match": {"title": "shoe long light"}}}}
CHILDREN: dict[str, dict[str, Any]] = {
    "standard": STANDARD,
    "standard with a filter": {"standard": {**STANDARD["standard"], "filter": {"range": {"n": {"lt": 50}}}}},
    "knn": {"knn": {"field": "v", "query_vector": [0.5, 0.1], "k": 40, "num_candidates": 60}},
    "rescorer": {
        "rescorer": {
            "retriever": STANDARD,
            "rescore": {"window_size": 30, "query": {"rescore_query": {"match": {"title": "blue"}}}},
        }
    },
}


def send(url: str, method: str, path: str, body: Any) -> Answer:
    return ask(url, method, path, json.dumps(body).encode(), JSON)


def ndjson(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def fill(engine: Engine) -> None:
    properties: dict[str, Any] = {"n": {"type": "integer"}, "title": {"type": "text"}}
    if engine.is_elasticsearch:
        properties["v"] = {"type": "dense_vector", "dims": 2, "similarity": "l2_norm"}
    settings = {"number_of_shards": 2, "number_of_replicas": 0}
    made = send(engine.url, "PUT", f"/{NAME}", {"settings": settings, "mappings": {"properties": properties}})
    assert made.status == 200, made.body
    lines: list[Any] = []
    for number in range(COUNT):
        title = " ".join([*(word for bit, word in enumerate(WORDS) if (number >> bit) & 1), "shoe"])
        document = {"title": title, "n": number, "tags": ["b", "a"], "v": [number / COUNT, 0.1]}
        lines += [{"index": {"_id": str(number)}}, document]
    assert ask(engine.url, "POST", f"/{NAME}/_bulk?refresh=true", ndjson(*lines), NDJSON).status == 200


def proxy_for(engine: Engine, rule: Rule) -> ProxyThread:
    settings = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,))
    return ProxyThread(settings, lambda: ThreadScorer({"base": DummyModel}, MemoryScoreCache(1000), 2))


@pytest.fixture(scope="module", params=["es8", "es9"])
def elastic(request: pytest.FixtureRequest) -> Iterator[Engine]:
    running: Engine = request.getfixturevalue(request.param)
    fill(running)
    yield running
    ask(running.url, "DELETE", f"/{NAME}")


@pytest.fixture(scope="module")
def taking(elastic: Engine) -> Iterator[ProxyThread]:
    with proxy_for(elastic, Rule(target=NAME, takeover=True, budget_ms=600_000)) as running:
        yield running


@pytest.fixture(scope="module")
def leaving(elastic: Engine) -> Iterator[ProxyThread]:
    with proxy_for(elastic, Rule(target=NAME, budget_ms=600_000)) as running:
        yield running


@pytest.fixture(scope="module")
def pipelines(opensearch_pipelines: Engine) -> Iterator[Engine]:
    fill(opensearch_pipelines)
    yield opensearch_pipelines
    ask(opensearch_pipelines.url, "DELETE", f"/{NAME}")


def reranker(child: dict[str, Any] = STANDARD, **options: Any) -> dict[str, Any]:
    given = {"retriever": child, "field": "title", "inference_text": TEXT, "rank_window_size": WINDOW, **options}
    return {"text_similarity_reranker": given}


def read(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body[:500]
    body: dict[str, Any] = json.loads(answer.body)
    return body


def logit(hit: dict[str, Any]) -> float:
    return DummyModel().score(TEXT, (Segment(hit["_source"]["title"]),), 128)


def expected(engine: Engine, child: dict[str, Any], **more: Any) -> list[tuple[str, float, float]]:
    """Return (id, raw score, score) of the window in its new order, from the engine's own hits."""
    hits = read(send(engine.url, "POST", f"/{NAME}/_search", {"retriever": child, "size": WINDOW, **more}))["hits"][
        "hits"
    ]
    raw = sorted(((hit["_id"], logit(hit)) for hit in hits), key=lambda entry: -entry[1])
    return [(name, value, max(value, 0.0) + min(math.exp(value), 1.0)) for name, value in raw]


def shown(body: dict[str, Any]) -> list[tuple[str, float]]:
    return [(hit["_id"], hit["_score"]) for hit in body["hits"]["hits"]]


def approximately(entries: list[tuple[str, float, float]]) -> list[tuple[str, Any]]:
    return [(name, pytest.approx(score, rel=1e-6)) for name, _, score in entries]


@pytest.mark.parametrize("child", CHILDREN)
def test_the_window_is_the_childs_ranked_by_the_model(elastic: Engine, taking: ProxyThread, child: str) -> None:
    wanted = expected(elastic, CHILDREN[child])
    answer = send(taking.url, "POST", f"/{NAME}/_search", {"retriever": reranker(CHILDREN[child])})
    body = read(answer)
    assert answer.header("X-Rerank-Status") == "full"
    assert len(wanted) == WINDOW
    assert shown(body) == approximately(wanted)
    assert body["hits"]["max_score"] == body["hits"]["hits"][0]["_score"]
    own = read(send(elastic.url, "POST", f"/{NAME}/_search", {"retriever": CHILDREN[child], "size": WINDOW}))
    assert body["hits"]["total"] == own["hits"]["total"]
    assert [name for name, _ in shown(own)] != [name for name, _, _ in wanted], "the engine's order is another one"
    by_id = {hit["_id"]: hit for hit in own["hits"]["hits"]}
    for hit in body["hits"]["hits"]:
        assert {**hit, "_score": 0} == {**by_id[hit["_id"]], "_score": 0}


def test_pages_cut_the_window(elastic: Engine, taking: ProxyThread) -> None:
    """As seen with a rescorer of that window: nothing comes past it, the total stays."""
    wanted = approximately(expected(elastic, STANDARD))
    found = []
    for start in range(0, 35, 7):
        body = read(send(taking.url, "POST", f"/{NAME}/_search", {"retriever": reranker(), "from": start, "size": 7}))
        assert body["hits"]["total"] == {"value": COUNT, "relation": "eq"}
        assert len(body["hits"]["hits"]) == max(0, min(7, WINDOW - start))
        found += shown(body)
    assert found == wanted
    url_page = ask(
        taking.url, "POST", f"/{NAME}/_search?from=3&size=2", json.dumps({"retriever": reranker()}).encode(), JSON
    )
    assert shown(read(url_page)) == wanted[3:5]


def in_url(url: str, body: Any, sent: bytes | None = None, more: str = "") -> Answer:
    source = urlencode({"source": json.dumps(body), "source_content_type": "application/json"})
    return ask(url, "GET", f"/{NAME}/_search?{source}{more}", sent, {} if sent is None else JSON)


@pytest.mark.parametrize("page", [{}, {"from": 4, "size": 6}])
def test_a_body_in_the_url_is_taken_over_as_one_in_its_place(taking: ProxyThread, page: dict[str, int]) -> None:
    body = {"retriever": reranker(), **page}
    answer = in_url(taking.url, body)
    assert answer.header("X-Rerank-Status") == "full"
    assert shown(read(answer)) == shown(read(send(taking.url, "POST", f"/{NAME}/_search", body)))
    assert shown(read(in_url(taking.url, body, more="&from=1&size=2"))) == shown(
        read(send(taking.url, "POST", f"/{NAME}/_search?from=1&size=2", body))
    )


def test_a_body_in_the_url_beside_another_or_without_its_type_is_the_engines_error(
    elastic: Engine, taking: ProxyThread
) -> None:
    body = {"retriever": reranker()}
    for ours, theirs in (
        (in_url(taking.url, body, b"{}"), in_url(elastic.url, body, b"{}")),
        *[
            tuple(ask(url, "GET", f"/{NAME}/_search?{urlencode(params)}") for url in (taking.url, elastic.url))
            for params in ({"source": json.dumps(body)}, {"source_content_type": "application/json"})
        ],
    ):
        assert (ours.status, blanked(ours.body)) == (theirs.status, blanked(theirs.body))


def test_a_rescorers_pages_end_as_ours_do(elastic: Engine) -> None:
    """What the rules of compound retrievers were read from: size and window, pages past it, a child's min_score."""
    inner: dict[str, Any] = {"retriever": STANDARD, "rescore": {"window_size": 15, "query": {"rescore_query": {}}}}
    inner["rescore"]["query"]["rescore_query"] = {"match": {"title": "blue"}}

    def ask_for(**more: Any) -> Answer:
        return send(elastic.url, "POST", f"/{NAME}/_search", {"retriever": {"rescorer": inner}, **more})

    assert len(shown(read(ask_for()))) == 15
    assert len(shown(read(ask_for(**{"from": 12}, size=10)))) == 3
    past = read(ask_for(**{"from": 20}))["hits"]
    assert (past["hits"], past["max_score"], past["total"]["value"]) == ([], None, COUNT)
    assert ask_for(size=16).status == 400
    inner["retriever"] = {"standard": {**STANDARD["standard"], "min_score": 0.0001}}
    assert read(ask_for())["hits"]["total"]["value"] == 15


def test_filters_of_both_retrievers_hold(elastic: Engine, taking: ProxyThread) -> None:
    few = {"range": {"n": {"gte": 10}}}
    both = {"standard": {**STANDARD["standard"], "filter": [{"range": {"n": {"lt": 30}}}, few]}}
    child = {"standard": {**STANDARD["standard"], "filter": {"range": {"n": {"lt": 30}}}}}
    wanted = expected(elastic, both)
    assert len(wanted) == 20
    for given in (few, [few]):
        body = read(send(taking.url, "POST", f"/{NAME}/_search", {"retriever": reranker(child, filter=given)}))
        assert shown(body) == approximately(wanted)
        assert body["hits"]["total"]["value"] == 20
    body = read(send(taking.url, "POST", f"/{NAME}/_search", {"retriever": reranker(CHILDREN["knn"], filter=few)}))
    filtered = {"knn": {**CHILDREN["knn"]["knn"], "filter": few}}
    assert shown(body) == approximately(expected(elastic, filtered))


@pytest.mark.parametrize("form", ["object", "whole number", "none"])
def test_min_score_leaves_out_and_counts(elastic: Engine, taking: ProxyThread, form: str) -> None:
    wanted = expected(elastic, STANDARD)
    least = wanted[9][1]
    kept = [entry for entry in wanted if entry[1] >= least]
    assert least > 0
    assert 0 < len(kept) < WINDOW
    more = {"track_total_hits": False} if form == "none" else {}
    query_string = "?rest_total_hits_as_int=true" if form == "whole number" else ""
    body = {"retriever": reranker(min_score=least - 1e-4), "size": 5, **more}
    total: Any = {"object": {"value": len(kept), "relation": "eq"}, "whole number": len(kept), "none": None}[form]
    for start in (0, 5, 10, 40):
        got = read(send(taking.url, "POST", f"/{NAME}/_search{query_string}", {**body, "from": start}))["hits"]
        assert [(hit["_id"], hit["_score"]) for hit in got["hits"]] == approximately(kept[start : start + 5])
        assert got.get("total") == total


def test_all_else_in_the_body_works(elastic: Engine, taking: ProxyThread) -> None:
    more = {
        "_source": ["n"],
        "fields": ["n"],
        "highlight": {"fields": {"title": {}}},
        "aggs": {"n": {"avg": {"field": "n"}}},
        "explain": True,
        "version": True,
    }
    own = read(send(elastic.url, "POST", f"/{NAME}/_search", {"retriever": STANDARD, "size": WINDOW, **more}))
    body = read(send(taking.url, "POST", f"/{NAME}/_search", {"retriever": reranker(), "size": 5, **more}))
    assert body["aggregations"] == own["aggregations"]
    by_id = {hit["_id"]: hit for hit in own["hits"]["hits"]}
    assert len(body["hits"]["hits"]) == 5
    for hit in body["hits"]["hits"]:
        theirs = by_id[hit["_id"]]
        assert hit["_explanation"]["value"] == pytest.approx(hit["_score"])
        assert hit["_explanation"]["details"] == [theirs["_explanation"]]
        changed = {"_score": 0, "_explanation": None}
        assert {**hit, **changed} == {**theirs, **changed}


def test_items_of_a_multi_search(elastic: Engine, taking: ProxyThread) -> None:
    wanted = approximately(expected(elastic, STANDARD))
    match = {"query": {"match": {"title": TEXT}}, "size": 3}
    item = {"retriever": reranker(), "from": 2, "size": 3}
    answer = ask(taking.url, "POST", f"/{NAME}/_msearch", ndjson({}, item, {}, match, {}, {**item, "size": 0}), NDJSON)
    responses = read(answer)["responses"]
    assert shown(responses[0]) == wanted[2:5]
    alone = read(send(taking.url, "POST", f"/{NAME}/_search", match))
    assert shown(responses[1]) == shown(alone)
    assert (shown(responses[2]), responses[2]["hits"]["total"]["value"]) == ([], COUNT)
    assert answer.header("X-Rerank-Status") == "items=3; full=2; skipped=1"


def test_a_refused_item_is_the_whole_multi_searchs_error(elastic: Engine, taking: ProxyThread) -> None:
    """As an engine does with a size that its own retriever's window forbids."""
    fine = {"query": {"match_all": {}}}
    rescorer = {**CHILDREN["rescorer"]["rescorer"]}
    theirs = ask(
        elastic.url,
        "POST",
        f"/{NAME}/_msearch",
        ndjson({}, fine, {}, {"retriever": {"rescorer": rescorer}, "size": 31}),
        NDJSON,
    )
    ours = ask(
        taking.url, "POST", f"/{NAME}/_msearch", ndjson({}, fine, {}, {"retriever": reranker(), "size": 31}), NDJSON
    )
    assert theirs.status == ours.status == 400
    assert json.loads(ours.body).keys() == json.loads(theirs.body).keys()
    error = json.loads(ours.body)["error"]
    assert error["type"] == json.loads(theirs.body)["error"]["type"] == "action_request_validation_exception"
    assert "[rank_window_size] of [25]" in error["reason"]


@pytest.mark.parametrize(
    "retriever",
    [reranker(chunk_rescorer={"size": 2}), {"rescorer": {"retriever": reranker(), "rescore": {"query": {}}}}],
    ids=["chunk_rescorer", "inside a rescorer"],
)
def test_what_cannot_be_honoured_is_a_clear_400(taking: ProxyThread, retriever: dict[str, Any]) -> None:
    answer = send(taking.url, "POST", f"/{NAME}/_search", {"retriever": retriever})
    error = json.loads(answer.body)["error"]
    assert (answer.status, answer.header("X-Rerank-Status")) == (400, "skipped; reason=takeover")
    assert error["root_cause"] == [{"type": error["type"], "reason": error["reason"]}]
    assert "takeover" in error["reason"]


def test_what_the_engine_refuses_in_the_child_is_its_error(elastic: Engine, taking: ProxyThread) -> None:
    child = {"standard": {"query": {"no_such_query": {}}}}
    theirs = json.loads(send(elastic.url, "POST", f"/{NAME}/_search", {"retriever": child}).body)
    answer = send(taking.url, "POST", f"/{NAME}/_search", {"retriever": reranker(child)})
    assert answer.status == theirs["status"] == 400
    assert json.loads(answer.body)["error"]["reason"] == theirs["error"]["reason"]
    beside = send(taking.url, "POST", f"/{NAME}/_search", {"retriever": reranker(), "query": {"match_all": {}}})
    assert (beside.status, b"cannot specify [retriever] and [query]" in beside.body) == (400, True)


@pytest.mark.parametrize("retriever", [reranker(), {"rescorer": {"retriever": reranker(), "rescore": {"query": {}}}}])
def test_off_the_engines_own_answer_comes_byte_for_byte(
    elastic: Engine, leaving: ProxyThread, retriever: dict[str, Any]
) -> None:
    body = {"retriever": retriever, "size": 3}
    answer = send(leaving.url, "POST", f"/{NAME}/_search", body)
    assert answer.header("X-Rerank-Status") == "skipped; reason=retriever"
    assert (answer.status, answer.body) == (400, send(elastic.url, "POST", f"/{NAME}/_search", body).body)


def test_the_explain_page_tells_of_it(taking: ProxyThread) -> None:
    page = read(send(taking.url, "POST", f"/_rerank/explain/{NAME}", {"retriever": reranker()}))
    assert page["takeover"] == {
        "of": "text_similarity_reranker",
        "field": "{title}",
        "window": WINDOW,
        "min_score": None,
    }
    assert len(page["hits"]) == WINDOW
    refused = read(send(taking.url, "POST", f"/_rerank/explain/{NAME}", {"retriever": reranker(no_such=1)}))
    assert "[no_such]" in refused["answer"]["error"]["reason"]


def pipeline(*others: dict[str, Any], **more: Any) -> dict[str, Any]:
    processor = {"ml_opensearch": {"model_id": "m"}, "context": {"document_fields": ["title"]}}
    return {"response_processors": [{"rerank": processor}, *others], **more}


def pipeline_search(**more: Any) -> dict[str, Any]:
    context = {"query_context": {"query_text": TEXT}}
    return {"query": {"match": {"title": "shoe long light"}}, "ext": {"rerank": context}, **more}


def test_on_opensearch_the_processor_is_done_by_us_and_others_by_the_cluster(pipelines: Engine) -> None:
    """The `rerank` processor itself was not run: its plugin is not to be had. The other processors were."""
    rule = Rule(target=NAME, takeover=True, budget_ms=600_000, window=30, blend=0.0)
    kept = {"sort": {"field": "tags"}}
    few = {"filter_query": {"query": {"range": {"n": {"lt": 40}}}}}
    others = pipeline(kept, {"truncate_hits": {}}, request_processors=[few, {"oversample": {"sample_factor": 1.5}}])
    own: Any = {"query": {"match": {"title": "shoe long light"}}, "size": 30}
    own["search_pipeline"] = {"request_processors": [few], "response_processors": [kept]}
    theirs = read(send(pipelines.url, "POST", f"/{NAME}/_search", own))["hits"]
    assert theirs["hits"][0]["_source"]["tags"] == ["a", "b"], "the other processors ran"
    wanted = sorted(theirs["hits"], key=lambda hit: -logit(hit))
    with proxy_for(pipelines, rule) as taking:
        found = []
        for start in (0, 6, 12, 18, 24):
            body = pipeline_search(search_pipeline=others, **{"from": start}, size=6)
            answer = send(taking.url, "POST", f"/{NAME}/_search", body)
            page = read(answer)["hits"]
            assert (answer.header("X-Rerank-Status"), page["total"]["value"]) == ("full", 40)
            found += page["hits"]
        item = pipeline_search(search_pipeline=pipeline(), size=2)
        multi = ask(taking.url, "POST", f"/{NAME}/_msearch", ndjson({}, item, {}, item), NDJSON)
        alone = read(send(taking.url, "POST", f"/{NAME}/_search", item))
        from_url = in_url(taking.url, item)
    assert [{**hit, "_score": 0} for hit in found] == [{**hit, "_score": 0} for hit in wanted]
    assert [hit["_score"] for hit in found] == sorted((hit["_score"] for hit in found), reverse=True)
    assert (from_url.header("X-Rerank-Status"), shown(read(from_url))) == ("full", shown(alone))
    assert multi.header("X-Rerank-Status") == "items=2; full=2"
    assert [shown(response) for response in read(multi)["responses"]] == [shown(alone), shown(alone)]


def test_on_opensearch_what_is_not_taken_over_passes_byte_for_byte(pipelines: Engine) -> None:
    """With the processor the engine refuses all of these: that is the answer, whoever asks."""
    bodies = {
        True: [
            pipeline_search(search_pipeline=pipeline({"truncate_hits": {"target_size": 2}})),
            pipeline_search(search_pipeline={"response_processors": [{"rerank": {"by_field": {"target_field": "n"}}}]}),
        ],
        False: [pipeline_search(search_pipeline=pipeline()), pipeline_search(search_pipeline="named")],
    }
    for takeover, listed in bodies.items():
        with proxy_for(pipelines, Rule(target=NAME, takeover=takeover, budget_ms=600_000)) as running:
            for body in listed:
                answer = send(running.url, "POST", f"/{NAME}/_search", body)
                own = send(pipelines.url, "POST", f"/{NAME}/_search", body)
                reason = "takeover" if takeover else "search-pipeline"
                assert answer.header("X-Rerank-Status") == f"skipped; reason={reason}"
                assert (answer.status, answer.body) == (own.status, own.body) != (200, b"")
