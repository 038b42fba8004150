"""Reranking that the cluster is asked for, done in its place."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.messages import Forwarded, NeedScores, NeedSearch, Rewritten
from proxy.core.takeover import TakeoverError, elastic_score, elastic_scores, take_over
from proxy.settings import parse_template
from tests.core.fake_engine import make_search
from tests.core.one_search import LOGITS, RULE, ids, make, scores

CHILD = {"standard": {"query": {"match": {"title": "shoes"}}}}
TAKING = replace(RULE, takeover=True, text=None, window=50)


def reranker(child: Any = CHILD, **more: Any) -> dict[str, Any]:
    options = {"retriever": child, "field": "title", "inference_text": "red shoes", **more}
    return {"retriever": {"text_similarity_reranker": options}}


def pipeline(*processors: Any, **more: Any) -> dict[str, Any]:
    context = {"query_context": {"query_text": "red shoes"}}
    return {
        "query": {"match_all": {}},
        "ext": {"rerank": context},
        "search_pipeline": {"response_processors": list(processors), **more},
    }


RERANK = {"rerank": {"ml_opensearch": {"model_id": "x"}, "context": {"document_fields": ["title"]}}}


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize("logit", [-200.0, -3.0, -0.1, 0.0, 0.1, 5.0, 200.0])
def test_the_score_can_be_turned_back_as_its_reference_says(logit: float) -> None:
    score = elastic_score(logit)
    assert score >= 0
    if logit > -100:
        back = score - 1 if logit >= 0 else math.log(score)
        assert back == pytest.approx(logit)


def test_scores_never_rise_whatever_was_not_scored() -> None:
    shown = elastic_scores((2, 1, 0, 3, 4), (None, -3.0, 4.0, None, None), (1.9, 1.1, 1.1, 0.8, 0.2))
    assert shown == (5.0, math.exp(-3), math.exp(-3), math.exp(-3) * 0.8, math.exp(-3) * 0.2)
    assert list(shown) == sorted(shown, reverse=True)


def test_the_child_is_sent_up_to_the_rank_window_and_there_is_nothing_behind_it() -> None:
    setup = make(rule=TAKING)
    body = reranker(rank_window_size=4)
    for page, expected in ({}, "dbca"), ({"from": 2, "size": 2}, "ca"), ({"from": 3}, "a"), ({"from": 4}, ""):
        setup.needs.clear()
        result = setup.run(make_search({**body, "size": 4, **page}))
        assert isinstance(result, Rewritten)
        assert ids(result.body) == expected
        sent = next(need for need in setup.needs if isinstance(need, NeedSearch))
        asked = json.loads(sent.call.body)
        assert asked["retriever"] == CHILD
        assert asked["size"] == 4
    shown = setup.run(make_search({**body, "size": 4}))
    assert isinstance(shown, Rewritten)
    assert scores(shown.body) == pytest.approx([elastic_score(LOGITS[name] or 0.0) for name in "dbca"], rel=1e-6)
    need = next(need for need in setup.needs if isinstance(need, NeedScores))
    assert need.query == "red shoes"


def test_a_least_score_is_the_models_own() -> None:
    result = make(rule=TAKING).run(make_search({**reranker(rank_window_size=4, min_score=0), "size": 4}))
    assert isinstance(result, Rewritten)
    assert ids(result.body) == "dbc"


def test_off_it_passes_untouched() -> None:
    for body in (reranker(), pipeline(RERANK)):
        result = make(rule=replace(TAKING, takeover=False)).run(make_search(body))
        assert isinstance(result, Forwarded)
        assert result.call is None


def test_what_cannot_be_reranked_is_the_childs_search() -> None:
    setup = make(rule=TAKING)
    result = setup.run(replace(make_search(reranker()), asked_to_skip=True))
    assert isinstance(result, Forwarded)
    assert result.call is not None
    assert json.loads(result.call.body) == {"retriever": CHILD}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (reranker(chunk_rescorer={}), "without [chunk_rescorer]"),
        ({"retriever": {"rrf": {"retrievers": [reranker()["retriever"], CHILD]}}}, "inside of [rrf]"),
        ({"retriever": {"linear": {"retrievers": [{"retriever": reranker()["retriever"]}]}}}, "inside of [linear]"),
        ({"retriever": {"pinned": {"ids": ["1"], "retriever": reranker()["retriever"]}}}, "inside of [pinned]"),
        (reranker(reranker()["retriever"]), "once in a search"),
        ({**reranker(), "size": 11}, "[rank_window_size: 10] be greater than or equal to [size: 11]"),
        (reranker(rank_window_size=0), "[rank_window_size: 0]"),
        ({"retriever": {"text_similarity_reranker": {"field": "a"}}}, "Required [retriever]"),
        (reranker(min_score="x"), "a number for [min_score]"),
    ],
)
def test_what_we_cannot_do_is_said(body: dict[str, Any], says: str) -> None:
    with pytest.raises(TakeoverError) as caught:
        take_over(encoded(body))
    assert says in str(caught.value)
    result = make(rule=TAKING).run(make_search(body))
    assert isinstance(result, Rewritten)
    assert result.answer.status == 400
    error = json.loads(result.body)
    assert error["status"] == 400
    assert says in error["error"]["reason"]


@pytest.mark.parametrize(
    ("child", "given", "expected"),
    [
        ({"standard": {"query": {}}}, {"term": {"a": 1}}, [{"term": {"a": 1}}]),
        ({"standard": {"query": {}, "filter": {"term": {"b": 2}}}}, [{"term": {"a": 1}}], None),
        ({"knn": {"field": "v", "filter": [{"term": {"b": 2}}]}}, {"term": {"a": 1}}, None),
        ({"standard": {"filter": []}}, {"term": {"a": 1}}, [{"term": {"a": 1}}]),
    ],
)
def test_the_filter_becomes_the_childs(child: dict[str, Any], given: Any, expected: Any) -> None:
    taken = take_over(encoded({**reranker(child, filter=given), "aggs": {"n": 1.10}}))
    assert taken is not None
    made = json.loads(taken.body)
    assert made["aggs"] == {"n": 1.10}
    options = next(iter(made["retriever"].values()))
    assert options["filter"] == (expected or [{"term": {"b": 2}}, {"term": {"a": 1}}])


def test_an_inline_pipeline_loses_its_reranker_and_keeps_the_rest() -> None:
    first = {"filter_query": {"query": {"term": {"a": 1}}}}
    for more, left in ({}, "_none"), ({"request_processors": [first]}, {"request_processors": [first]}):
        taken = take_over(encoded(pipeline(RERANK, **more)))
        assert taken is not None
        assert json.loads(taken.body)["search_pipeline"] == left
        assert taken.text == parse_template("{title}")
        assert taken.query_text == "red shoes"


def test_a_pipelines_reranking_is_done_in_the_rules_window() -> None:
    setup = make(rule=TAKING)
    result = setup.run(make_search({**pipeline(RERANK), "size": 2}))
    assert isinstance(result, Rewritten)
    sent = next(need for need in setup.needs if isinstance(need, NeedSearch))
    asked = json.loads(sent.call.body)
    assert asked["size"] == 50
    assert asked["search_pipeline"] == "_none"
    assert "ext" not in asked


@pytest.mark.parametrize(
    "body",
    [
        {"query": {"match": {"rerank": "text_similarity_reranker"}}},
        pipeline(RERANK, {"truncate_hits": {"target_size": 5}}),
        pipeline({"rerank": {"by_field": {"target_field": "n"}}}),
        pipeline(RERANK, request_processors=[{"oversample": {"sample_factor": 2}}]),
        {**pipeline(RERANK), "ext": {}},
        {"search_pipeline": "rerank"},
        {"retriever": CHILD},
    ],
)
def test_all_else_is_not_ours(body: dict[str, Any]) -> None:
    assert take_over(encoded(body)) is None
