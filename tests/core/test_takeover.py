"""A reranker that a search brings is answered in the cluster's stead, or left wholly alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.core.messages import Forwarded, NeedScores, NeedSearch, Reason, Refused, Rewritten, Search
from proxy.core.params import Params
from proxy.core.search import WindowTrace
from proxy.core.takeover import shown_score
from proxy.settings import Rule
from tests.core.fake_engine import FakeEngine, Setup, StoredHit, error, make_search, plain, raw_hits, scores_by_text
from tests.core.one_search import LOGITS, SIX, ids, make, scores, stored

RULE = Rule(takeover=True, window=50, blend=0.0)
CHILD: dict[str, Any] = {"standard": {"query": {"match": {"title": "cheap"}}}}
RANKED = "efdbca"
"""All six by logit, equal ones in the engine's order."""


def reranker(**options: Any) -> dict[str, Any]:
    given = {"retriever": CHILD, "field": "title", "inference_text": "red shoes", **options}
    return {"text_similarity_reranker": {key: value for key, value in given.items() if value is not None}}


def search_of(body: dict[str, Any] | None = None, query_string: str = "", **options: Any) -> Any:
    return make_search({"retriever": reranker(**options), **(body or {})}, query_string)


def rewritten(setup: Setup, body: dict[str, Any] | None = None, query_string: str = "", **options: Any) -> Rewritten:
    result = setup.run(search_of(body, query_string, **options))
    assert isinstance(result, Rewritten), result
    return result


def refused(body: Any, rule: Rule = RULE, query_string: str = "") -> dict[str, Any]:
    setup = make(rule=rule)
    result = setup.run(make_search(body, query_string))
    assert isinstance(result, Refused), result
    assert (setup.needs, result.outcome.reason) == ([], Reason.TAKEOVER)
    answer: dict[str, Any] = json.loads(result.body)
    assert answer["status"] == 400
    return answer["error"]  # type: ignore[no-any-return]


def total(result: Rewritten) -> Any:
    return json.loads(result.body)["hits"].get("total")


def sent(setup: Setup) -> list[dict[str, Any]]:
    return [json.loads(call.body) for call in setup.engine.calls]


@pytest.mark.parametrize("name", ["text_similarity_reranker", "rrf", "rank", "pipeline"])
def test_off_by_default_everything_passes_byte_for_byte(name: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "text_similarity_reranker": {"retriever": reranker()},
        "rrf": {"retriever": {"rrf": {"retrievers": [reranker(), CHILD]}}},
        "rank": {"query": CHILD["standard"]["query"], "rank": reranker()},
        "pipeline": pipeline_body(),
    }
    reasons = {"pipeline": Reason.PIPELINE, "rank": Reason.RANK}
    setup = make(rule=Rule())
    result = setup.run(make_search(bodies[name]))
    assert isinstance(result, Forwarded)
    assert result.call is None
    assert not any(isinstance(need, NeedSearch) for need in setup.needs)
    assert result.outcome.reason is reasons.get(name, Reason.RETRIEVER)


def test_other_searches_are_reranked_by_the_rule_as_ever() -> None:
    body = {"query": {"match": {"title": "red rerank shoes"}}, "size": 3}
    rule = replace(make().rule, takeover=True)
    taken, usual = make(rule=rule).run(make_search(body)), make().run(make_search(body))
    assert isinstance(taken, Rewritten)
    assert isinstance(usual, Rewritten)
    assert taken.body == usual.body
    assert ids(taken.body) == "dbc"


def test_the_child_is_sent_and_its_hits_are_ranked() -> None:
    setup = make(rule=RULE)
    result = rewritten(setup)
    assert ids(result.body) == RANKED
    assert str(result.outcome) == "full"
    assert sent(setup) == [{"retriever": CHILD, "size": 10, "fields": ["title"]}]
    assert scores(result.body) == pytest.approx([shown_score(LOGITS[name] or 0.0) for name in RANKED], rel=1e-6)
    assert json.loads(result.body)["hits"]["max_score"] == scores(result.body)[0]
    assert total(result) == {"value": 6, "relation": "eq"}
    assert all("title" not in json.loads(hit.get("fields", b"{}")) for hit in raw_hits(result.body))
    need = next(need for need in setup.needs if isinstance(need, NeedScores))
    assert (need.query, [plain(document) for document in need.documents]) == ("red shoes", list("abcdef"))


@pytest.mark.parametrize("page", [{}, {"from": 2, "size": 2}])
def test_a_vector_search_without_k_finds_as_many_as_the_window(page: dict[str, int]) -> None:
    """It goes by the size that it is asked with, and that is the same on every page."""
    child = {"knn": {"field": "v", "query_vector": [1.0], "num_candidates": 20}}
    setup = make(rule=RULE)
    result = rewritten(setup, page, retriever=child)
    assert ids(result.body) == (RANKED if not page else RANKED[2:4])
    assert sent(setup) == [{"retriever": child, "size": 10, "fields": ["title"]}]


def test_the_score_is_elasticsearchs() -> None:
    assert shown_score(2.5) == 3.5
    assert shown_score(0.0) == 1.0
    assert shown_score(-2.0) == math.exp(-2.0)
    assert shown_score(-800.0) == 0.0
    assert sorted([3.0, -4.0, 0.0, -0.1], key=shown_score) == [-4.0, -0.1, 0.0, 3.0]


def test_the_headers_text_wins_over_the_inference_text() -> None:
    setup = make(rule=RULE)
    setup.run(replace(search_of(), query_text="blue dress"))
    need = next(need for need in setup.needs if isinstance(need, NeedScores))
    assert need.query == "blue dress"


def test_no_byte_of_the_child_changes() -> None:
    child = b'{ "standard" : {"query":{"match":{"title":"caf\\u00e9 1.10"}},  "boost_":1.10 } }'
    head = b'{"retriever":{"text_similarity_reranker":{"field":"title","retriever":'
    body = head + child + b',"inference_text":"x"}},"_source":["a"]}'
    setup = make(rule=RULE)
    setup.run(make_search(body))
    assert child in setup.engine.calls[0].body
    assert b'"_source":["a"]' in setup.engine.calls[0].body


LESS = {"term": {"color": "red"}}
MORE = {"range": {"n": {"lt": 5}}}


@pytest.mark.parametrize(
    ("own", "given", "both"),
    [
        (None, LESS, LESS),
        (None, [LESS, MORE], [LESS, MORE]),
        (MORE, LESS, [MORE, LESS]),
        ([MORE], LESS, [MORE, LESS]),
        ([], LESS, [LESS]),
        ([MORE, MORE], [LESS], [MORE, MORE, LESS]),
        (MORE, [], [MORE]),
    ],
)
def test_filters_of_both_retrievers_hold(own: Any, given: Any, both: Any) -> None:
    options = dict(CHILD["standard"]) | ({} if own is None else {"filter": own})
    setup = make(rule=RULE)
    rewritten(setup, retriever={"standard": options}, filter=given)
    assert sent(setup)[0]["retriever"]["standard"]["filter"] == both


@pytest.mark.parametrize("in_url", [False, True])
@pytest.mark.parametrize(
    ("start", "size", "shown"),
    [(0, 2, "db"), (2, 2, "ca"), (3, 2, "a"), (3, 4, "a"), (4, 2, ""), (9, 1, ""), (0, 4, "dbca")],
)
def test_pages_end_with_the_window(in_url: bool, start: int, size: int, shown: str) -> None:
    """`rank_window_size` of 4: four of six hits exist, on whichever pages."""
    page = {"from": start, "size": size}
    setup = make(rule=RULE)
    search = search_of(
        {"from": 77, "size": 3} if in_url else page, f"from={start}&size={size}" if in_url else "", rank_window_size=4
    )
    body = setup.answer(search)
    assert ids(body) == shown
    assert json.loads(body)["hits"]["total"]["value"] == 6
    widest = max(call["size"] for call in sent(setup))
    assert widest == (4 if shown else 0)


def test_without_a_size_the_page_is_the_window() -> None:
    assert ids(rewritten(make(rule=RULE), rank_window_size=3).body) == "bca"


@pytest.mark.parametrize(
    ("min_score", "shown", "count"),
    [
        (5.0, "efd", 3),
        (5.1, "ef", 2),
        (0.5, "efdbc", 5),
        (-1.0, RANKED, 6),
        (10.0, "", 0),
        (-0.5, "efdbc", 6),
        (0, "efdbc", 6),
    ],
)
def test_min_score_is_of_the_raw_score_and_counts(min_score: float, shown: str, count: int) -> None:
    """The total counts what is left; from 0 down Elasticsearch counts unranked matches too, which score 0."""
    result = rewritten(make(rule=RULE), min_score=min_score)
    assert ids(result.body) == shown
    assert total(result) == {"value": count, "relation": "eq"}
    top = json.loads(result.body)["hits"]["max_score"]
    assert top == (scores(result.body)[0] if shown else None)


@pytest.mark.parametrize("page", [{"from": 1, "size": 1}, {"from": 5, "size": 1}, {"from": 20}, {"size": 0}])
def test_min_score_tells_one_total_on_all_pages(page: dict[str, int]) -> None:
    result = rewritten(make(rule=RULE), page, min_score=5.0)
    assert total(result) == {"value": 3, "relation": "eq"}
    assert ids(result.body) == ("f" if page == {"from": 1, "size": 1} else "")


def test_a_childs_own_min_score_makes_the_total_the_window() -> None:
    """Seen with a rescorer around a standard retriever on Elasticsearch 8.19 and 9.5."""
    child = {"standard": {**CHILD["standard"], "min_score": 0.1}}
    assert total(
        rewritten(
            make(rule=RULE),
            retriever=child,
            rank_window_size=4,
        )
    ) == {"value": 4, "relation": "eq"}


@pytest.mark.parametrize(
    ("engine_total", "expected"),
    [
        (b'{ "value" : 6, "relation" : "gte" }', b'{ "value" : 3, "relation" : "eq" }'),
        (b'{"value":2,"relation":"gte"}', b'{"value":2,"relation":"gte"}'),
        (b"6", b"3"),
        (b"-1", b"-1"),
    ],
)
def test_each_form_of_the_total(engine_total: bytes, expected: bytes) -> None:
    setup = make(rule=RULE)

    def search(need: Any) -> Any:
        answer = setup.engine.search(need.call)
        return replace(answer, body=answer.body.replace(b'{"value":6,"relation":"eq"}', engine_total))

    setup.search = search
    assert b'"total":' + expected + b"," in rewritten(setup, min_score=5.0).body


def test_what_was_not_scored_stays_below_and_does_not_pass_a_min_score() -> None:
    late: dict[str, float | None] = {"d": None, "e": None, "b": -9.0, "c": -9.0, "a": -9.5, "f": -9.9}
    result = rewritten(make(rule=RULE, logits=late))
    assert ids(result.body) == "bcafde"
    assert str(result.outcome) == "partial; reason=budget; scored=4/6"
    assert scores(result.body) == sorted(scores(result.body), reverse=True)
    assert 0 < scores(result.body)[4] < scores(result.body)[3] == pytest.approx(math.exp(-9.9))
    assert ids(rewritten(make(rule=RULE, logits=late), min_score=-9.2).body) == "bc"


def test_a_hit_without_text_has_the_score_of_the_one_above() -> None:
    hits = [*SIX[:2], stored("c", "4.0", None), *SIX[3:]]
    result = rewritten(make(hits, rule=RULE))
    assert ids(result.body) == "efcdba"
    assert scores(result.body)[1] == scores(result.body)[2]


def test_explanations_and_details_tell_both_scores() -> None:
    hits = [
        stored(name, f"{6 - place}.0", own={"_explanation": b'{"value":1,"description":"bm25","details":[]}'})
        for place, name in enumerate("abcdef")
    ]
    setup = make(hits, rule=replace(RULE, hit_details=True))
    result = rewritten(setup, {"explain": True, "from": 2, "size": 1})
    (hit,) = json.loads(result.body)["hits"]["hits"]
    assert hit["_rerank"] == {"score": 6.0, "rank": 3, "original_score": 3.0, "original_rank": 4}
    assert hit["_explanation"]["value"] == 6.0
    assert hit["_explanation"]["details"][0]["description"] == "bm25"
    assert "logit 5" in hit["_explanation"]["description"]


def test_pages_of_a_search_that_was_cut_off_agree() -> None:
    setup = make(rule=RULE, logits={"e": None})
    pages = rewritten(setup, {"size": 3}).body
    setup.score = scores_by_text(LOGITS)
    rest = rewritten(setup, {"from": 3, "size": 3}).body
    assert sorted(ids(pages) + ids(rest)) == list("abcdef")
    other_window = rewritten(setup, {"from": 3, "size": 2}, rank_window_size=5).body
    assert ids(other_window) == "ca"
    assert str(setup.outcome) == "full"


def test_where_the_model_fails_the_childs_hits_come_in_the_window() -> None:
    setup = make(rule=RULE)
    score = setup.score
    setup.score = lambda need: replace(score(need), logits=[None] * 6, error="broken")
    result = rewritten(setup, {"from": 1}, rank_window_size=4)
    assert (ids(result.body), str(result.outcome)) == ("bcd", "fallback; reason=model")


def test_where_the_engine_fails_it_is_asked_for_the_child() -> None:
    setup = make(rule=RULE)
    setup.search = lambda need: error(400)
    result = setup.run(search_of({"size": 3}))
    assert isinstance(result, Forwarded)
    assert result.call is not None
    assert json.loads(result.call.body) == {"retriever": CHILD, "from": 0, "size": 3}


def test_a_client_that_asks_to_skip_gets_the_childs_hits() -> None:
    setup = make(rule=RULE)
    result = setup.run(replace(search_of({"size": 3}), asked_to_skip=True))
    assert isinstance(result, Forwarded)
    assert result.call is not None
    assert "text_similarity_reranker" not in result.call.body.decode()


def test_the_identity_model_keeps_the_childs_order() -> None:
    result = rewritten(make(rule=replace(RULE, model="identity")), rank_window_size=4)
    assert ids(result.body) == "abcd"


def test_the_explain_page_learns_of_it() -> None:
    setup = make(rule=RULE)
    rewritten(setup)
    assert setup.trace.decisions["takeover"]["of"] == "text_similarity_reranker"
    window = setup.trace.decisions["window"]
    assert isinstance(window, WindowTrace)
    assert window.ranking is not None
    assert window.ranking.scores[0] == 10.0


@pytest.mark.parametrize("child", ["rrf", "linear", "pinned", "rescorer"])
def test_fusing_retrievers_inside_are_sent(child: str) -> None:
    """`rrf`, `linear` and `pinned` not run on a real engine: they need a licence."""
    inner: dict[str, Any] = {
        "rrf": {"retrievers": [CHILD, CHILD], "rank_window_size": 20},
        "linear": {"retrievers": [{"retriever": CHILD, "weight": 2}], "rank_window_size": 20},
        "pinned": {"retriever": CHILD, "ids": ["7"], "rank_window_size": 20},
        "rescorer": {"retriever": CHILD, "rescore": {"window_size": 20, "query": {}}},
    }
    setup = make(rule=RULE)
    assert ids(rewritten(setup, retriever={child: inner[child]}, rank_window_size=20).body) == RANKED
    assert sent(setup)[0]["retriever"] == {child: inner[child]}
    assert sent(setup)[0]["size"] == 20


@pytest.mark.parametrize(
    ("outer", "options"),
    [
        ("rrf", {"retrievers": [CHILD, reranker()]}),
        ("linear", {"retrievers": [{"retriever": reranker(), "weight": 1}]}),
        ("pinned", {"retriever": reranker(), "ids": ["1"]}),
        ("rescorer", {"retriever": reranker(), "rescore": {"query": {}}}),
        ("rule", {"retriever": {"rrf": {"retrievers": [reranker()]}}}),
    ],
)
def test_inside_another_retriever_it_is_refused_with_what_to_do(outer: str, options: dict[str, Any]) -> None:
    found = refused({"retriever": {outer: options}})
    assert f"inside [{outer}]" in found["reason"]
    assert "outermost" in found["reason"]
    assert found["root_cause"] == [{"type": found["type"], "reason": found["reason"]}]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chunk_rescorer": {"size": 2}}, "[chunk_rescorer]"),
        ({"_name": "x"}, "[_name]"),
        ({"no_such": 1}, "[no_such]"),
        ({"field": None}, "needs [field]"),
        ({"field": 7}, "needs [field]"),
        ({"inference_text": " "}, "needs [inference_text]"),
        ({"retriever": None}, "needs [retriever]"),
        ({"retriever": {"standard": {}, "knn": {}}}, "needs [retriever]"),
        ({"retriever": {"standard": []}}, "needs [retriever]"),
        ({"retriever": reranker()}, "rank once"),
        ({"retriever": {"standard": {"sort": ["n"]}}}, "[sort]"),
        ({"rank_window_size": 0}, "at least 1"),
        ({"rank_window_size": "many"}, "[rank_window_size]"),
        ({"min_score": "high"}, "[min_score]"),
        ({"rank_window_size": 11, "retriever": {"rrf": {"retrievers": [CHILD]}}}, "[10] hits of the [rrf]"),
    ],
)
def test_what_cannot_be_honoured_in_it_is_refused(options: dict[str, Any], said: str) -> None:
    assert said in refused({"retriever": reranker(**options)})["reason"]


@pytest.mark.parametrize(
    ("beside", "query_string", "said"),
    [
        ({"collapse": {"field": "color"}}, "", "[collapse]"),
        ({"post_filter": LESS}, "", "[post_filter]"),
        ({"min_score": 1}, "", "[min_score]"),
        ({"pit": {"id": "x"}}, "", "[pit]"),
        ({"search_after": [1]}, "", "[search_after]"),
        ({"sort": ["n"]}, "", "sort"),
        ({"size": 11}, "", "[rank_window_size] of [10]"),
        ({}, "size=11", "[rank_window_size] of [10]"),
        ({"from": -1}, "", "negative"),
        ({"size": "many"}, "", "`from` or `size`"),
        ({}, "scroll=1m", "[scroll]"),
        ({}, "filter_path=hits", "filter_path"),
        ({}, "format=yaml", "format"),
    ],
)
def test_what_cannot_be_honoured_beside_it_is_refused(beside: dict[str, Any], query_string: str, said: str) -> None:
    assert said in refused({"retriever": reranker(), **beside}, query_string=query_string)["reason"]


def test_aggregations_are_the_childs_unless_a_min_score_would_cut_them() -> None:
    aggs = {"aggs": {"a": {"avg": {"field": "n"}}}}
    assert b'"aggregations":{"a":{"value":1.50}}' in rewritten(make(rule=RULE), aggs).body
    assert "aggregations" in refused({"retriever": reranker(min_score=1), **aggs})["reason"]


def pipeline_body(*others: dict[str, Any], **options: Any) -> dict[str, Any]:
    rerank = {"ml_opensearch": {"model_id": "m"}, "context": {"document_fields": ["title"]}, **options}
    return {
        "query": {"match": {"title": "cheap"}},
        "search_pipeline": {"response_processors": [{"rerank": rerank}, *others]},
        "ext": {"rerank": {"query_context": {"query_text": "red shoes"}}},
    }


def with_request_processor(processor: dict[str, Any]) -> dict[str, Any]:
    body = pipeline_body()
    body["search_pipeline"]["request_processors"] = [processor]
    return body


def test_a_pipelines_rerank_processor_is_taken_out_and_done_by_us() -> None:
    """Not run on a real engine with the processor: the plugin is not to be had; see also the tests on OpenSearch."""
    setup = make(rule=RULE)
    result = setup.run(make_search(pipeline_body()))
    assert isinstance(result, Rewritten)
    assert ids(result.body) == RANKED
    assert sent(setup) == [
        {
            "query": {"match": {"title": "cheap"}},
            "search_pipeline": {"response_processors": []},
            "size": 50,
            "fields": ["title"],
        }
    ]
    need = next(need for need in setup.needs if isinstance(need, NeedScores))
    assert need.query == "red shoes"
    assert scores(result.body)[0] > 1.9, "the rule's scores"


def test_the_query_can_be_named_by_a_path() -> None:
    body = pipeline_body()
    body["ext"] = {"rerank": {"query_context": {"query_text_path": "query.match.title"}}}
    setup = make(rule=RULE)
    setup.run(make_search(body))
    need = next(need for need in setup.needs if isinstance(need, NeedScores))
    assert need.query == "cheap"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_other_processors_stay(place: int) -> None:
    others = [{"truncate_hits": {}}, {"rename_field": {"field": "color", "target_field": "colour"}}]
    body = pipeline_body()
    processors = others[:place] + body["search_pipeline"]["response_processors"] + others[place:]
    requests = [{"filter_query": {"query": LESS}}, {"oversample": {"sample_factor": 2}}]
    body["search_pipeline"] = {"request_processors": requests, "response_processors": processors}
    setup = make(rule=RULE)
    assert isinstance(setup.run(make_search(body)), Rewritten)
    assert sent(setup)[0]["search_pipeline"] == {"request_processors": requests, "response_processors": others}


@pytest.mark.parametrize(
    "body",
    [
        pipeline_body({"truncate_hits": {"target_size": 3}}),
        pipeline_body({"truncate_hits": {}}),
        pipeline_body({"collapse": {"field": "color"}}),
        pipeline_body({"rename_field": {"field": "title", "target_field": "t"}}),
        pipeline_body({"sort": {"field": "x", "target_field": "title"}}),
        pipeline_body({"some_other": {}}),
        pipeline_body({"rerank": {"by_field": {"target_field": "n"}}}),
        pipeline_body(context={}),
        pipeline_body(context={"document_fields": []}),
        pipeline_body(context={"document_fields": ["title"], "inner_hits": True}),
        pipeline_body(context={"document_fields": "title"}),
        pipeline_body(ml_opensearch=None),
        pipeline_body(by_field={"target_field": "n"}),
        {"search_pipeline": {"response_processors": [{"rerank": {"by_field": {"target_field": "n"}}}]}},
        with_request_processor({"oversample": {"sample_factor": 2}}),
        with_request_processor({"script": {"source": "1"}}),
    ],
)
def test_a_pipeline_that_a_wider_search_would_disturb_passes(body: dict[str, Any]) -> None:
    setup = make(rule=RULE)
    result = setup.run(make_search(body))
    assert isinstance(result, Forwarded)
    assert result.call is None
    assert setup.needs == []
    assert result.outcome.reason is Reason.TAKEOVER


@pytest.mark.parametrize(
    ("pipeline", "query_string"),
    [
        ("named", ""),
        (None, "search_pipeline=named"),
    ],
)
def test_a_named_pipeline_is_not_taken_over(pipeline: Any, query_string: str) -> None:
    body = {**pipeline_body(), "search_pipeline": pipeline}
    if pipeline is None:
        del body["search_pipeline"]
    setup = make(rule=RULE)
    result = setup.run(make_search(body, query_string))
    assert isinstance(result, Forwarded)
    assert result.call is None
    assert result.outcome.reason is Reason.PIPELINE


def test_a_name_in_the_url_beside_an_inline_pipeline_is_the_engines_to_refuse() -> None:
    result = make(rule=RULE).run(make_search(pipeline_body(), "search_pipeline=named"))
    assert isinstance(result, Forwarded)
    assert result.call is None


def test_where_a_taken_pipeline_fails_the_cluster_is_asked_without_the_processor() -> None:
    engine = FakeEngine([StoredHit("a", b"1.0", fields={"title": ["a"]})])
    setup = Setup(engine, scores_by_text(LOGITS), RULE, search=lambda need: error(500, ()))
    result = setup.run(make_search(pipeline_body()))
    assert isinstance(result, Forwarded)
    assert result.call is not None
    sent_on = json.loads(result.call.body)
    assert "ext" not in sent_on
    assert sent_on["search_pipeline"] == {"response_processors": []}


def in_url(body: Any, **more: str) -> Search:
    """Return the search whose body stands in the URL."""
    params = {"routing": "a", "source": json.dumps(body), "source_content_type": "application/json", **more}
    return Search("products", Params(urlencode(params)), b"")


@pytest.mark.parametrize("body", [{"retriever": reranker(), "from": 1, "size": 3}, pipeline_body()])
@pytest.mark.parametrize("failing", [False, True])
def test_a_body_in_the_url_is_taken_over_as_one_in_its_place(body: Any, failing: bool) -> None:
    results = []
    for search in (in_url(body), make_search(body, "routing=a")):
        setup = make(rule=RULE)
        if failing:
            setup = Setup(setup.engine, setup.score, RULE, search=lambda need: error(500, ()))
        result = setup.run(search)
        assert isinstance(result, Forwarded if failing else Rewritten), result
        call = result.call if isinstance(result, Forwarded) else setup.engine.calls[0]
        assert call is not None
        assert b"rerank" not in call.body
        results.append((call, result.outcome, result.body if isinstance(result, Rewritten) else b""))
    assert results[0] == results[1]
    assert results[0][0].params == Params("routing=a")


def test_a_body_in_the_url_that_cannot_be_taken_over_is_refused() -> None:
    result = make(rule=RULE).run(in_url({"retriever": {"pinned": {"retriever": reranker(), "ids": ["1"]}}}))
    assert isinstance(result, Refused)
    result = make(rule=RULE).run(in_url(pipeline_body(), search_pipeline="named"))
    assert isinstance(result, Forwarded)
    assert (result.call, result.outcome.reason) == (None, Reason.TAKEOVER)


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        (replace(in_url({"retriever": reranker()}), body=b'{"size":1}'), Reason.PARAMETER),
        (make_search(b"", urlencode({"source": json.dumps({"retriever": reranker()})})), Reason.PARAMETER),
        (in_url({"retriever": reranker()}, source_content_type="application/yaml"), Reason.FORMAT),
    ],
)
def test_a_body_in_the_url_that_the_engine_refuses_is_its_to_judge(search: Search, reason: Reason) -> None:
    setup = make(rule=RULE)
    result = setup.run(search)
    assert isinstance(result, Forwarded)
    assert (result.call, result.outcome.reason, setup.needs) == (None, reason, [])


def test_two_retrievers_in_one_object_are_the_engines_to_refuse() -> None:
    result = make(rule=RULE).run(make_search({"retriever": {**reranker(), **CHILD}}))
    assert isinstance(result, Forwarded)
    assert (result.call, result.outcome.reason) == (None, Reason.RETRIEVER)


@pytest.mark.parametrize("body", [b'{"retriever": rerank', b'{"rerank":1,"rerank":2}', b"[1, rerank", b'["rerank"]'])
def test_what_cannot_be_read_is_left_to_the_engine(body: bytes) -> None:
    result = make(rule=RULE).run(make_search(body))
    assert isinstance(result, Forwarded)
    assert result.call is None
    assert result.outcome.reason is Reason.BODY
