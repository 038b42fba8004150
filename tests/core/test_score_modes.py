"""What a rule can do with scores beyond replacing them: details of each hit, and a least score."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.messages import NeedScores, Rewritten
from proxy.core.ranking import sigmoid, tail_score
from proxy.core.takeover import shown_score
from proxy.scorer.types import ScoreResult
from tests.core.fake_engine import make_search, raw_hits
from tests.core.one_search import RULE, SIX, ask, ids, make, scores, stored

# Window 4 of six hits a..f with engine scores 6..1 and logits -1, 2, 2, 5: the new order is d b c a e f.
RANKED = "dbcaef"


def details(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(hit["_rerank"]) for hit in raw_hits(body)]


@pytest.mark.parametrize("kept", ["replace", "keep"])
def test_each_hit_says_both_scores_and_both_ranks(kept: str) -> None:
    setup = make(rule=replace(RULE, hit_details=True, scores=kept))  # type: ignore[arg-type]
    body = ask(setup).body
    assert ids(body) == RANKED
    said = details(body)
    assert [one["rank"] for one in said] == [1, 2, 3, 4, 5, 6]
    assert ["abcdef"[one["original_rank"] - 1] for one in said] == list(RANKED)
    assert [one["original_score"] for one in said] == [3.0, 5.0, 4.0, 6.0, 2.0, 1.0]
    assert said[0]["score"] == pytest.approx(1 + sigmoid(5.0), abs=1e-6)
    assert said[4]["score"] == pytest.approx(tail_score(2.0), abs=1e-6)
    shown = [one["score"] for one in said] if kept == "replace" else [3.0, 5.0, 4.0, 6.0, 2.0, 1.0]
    assert scores(body) == pytest.approx(shown)


def test_ranks_count_over_all_pages() -> None:
    rule = replace(RULE, hit_details=True)
    for start, expected in ((2, [3, 4, 5]), (4, [5, 6])):
        said = details(ask(make(rule=rule), {"from": start, "size": 3}).body)
        assert [one["rank"] for one in said] == expected
        assert [one["rank"] == one["original_rank"] for one in said][-1]


def test_without_the_setting_no_hit_has_details() -> None:
    assert all("_rerank" not in hit for hit in raw_hits(ask(make()).body))


@pytest.mark.parametrize(
    ("least", "left"),
    [(0.0, RANKED), (0.6, RANKED[:5]), (1.0, RANKED[:4]), (1.3, "dbc"), (1.9, "d"), (2.0, "")],
)
def test_hits_under_the_least_score_leave_their_page_and_no_other_moves(least: float, left: str) -> None:
    rule = replace(RULE, min_score=least)
    whole = ask(make(rule=rule)).body
    assert ids(whole) == left
    pages = "".join(ids(ask(make(rule=rule), {"from": start, "size": 2}).body) for start in (0, 2, 4))
    assert pages == left
    assert json.loads(whole)["hits"]["total"] == json.loads(ask(make()).body)["hits"]["total"]


def test_a_least_score_also_holds_where_the_engines_scores_are_kept() -> None:
    body = ask(make(rule=replace(RULE, min_score=1.3, scores="keep"))).body
    assert ids(body) == "dbc"
    assert scores(body) == [3.0, 5.0, 4.0]


def test_where_nothing_is_reranked_a_least_score_leaves_nothing_out() -> None:
    setup = make(rule=replace(RULE, min_score=1.3, hit_details=True))
    setup.score = lambda need: ScoreResult([None] * len(need.documents), error="broken")
    body = ask(setup).body
    assert str(setup.outcome) == "fallback; reason=model"
    assert ids(body) == "abcdef"
    assert all("_rerank" not in hit for hit in raw_hits(body))


# --- a window of one hit ----------------------------------------------------------------------------------------

ALONE: list[tuple[dict[str, Any], dict[str, Any], float | None]] = [
    # what the rule says, what the search says, and the score without the model; None: it is asked
    ({"blend": 0.1}, {}, 2.0),
    ({"blend": 0.1, "min_score": 1.9, "hit_details": True}, {}, 2.0),
    ({"blend": 1.0, "blend_by": "rrf"}, {}, 2.0),
    ({"blend": 0.1, "blend_by": "z_score"}, {}, 1.5),
    ({"blend": 0.1}, {"explain": True}, None),
    ({"blend": 0.1, "scores": "keep"}, {"explain": True}, 6.0),
    ({"scores": "keep"}, {}, 6.0),
    ({"scores": "keep", "hit_details": True}, {}, None),
    ({"scores": "keep", "min_score": 0.5}, {}, None),
    ({}, {}, None),
]


@pytest.mark.parametrize(("options", "body", "score"), ALONE)
def test_the_only_hit_of_a_window_is_scored_where_its_logit_shows(
    options: dict[str, Any], body: dict[str, Any], score: float | None
) -> None:
    setup = make(SIX[:1], rule=replace(RULE, **options))
    result = ask(setup, body)
    assert str(result.outcome) == "full"
    assert any(isinstance(need, NeedScores) for need in setup.needs) is (score is None)
    assert ids(result.body) == "a"
    if score is not None:
        assert scores(result.body) == [score]
        assert json.loads(result.body)["hits"]["max_score"] == score


def test_a_page_of_one_hit_is_no_window_of_one_but_a_window_of_one_is() -> None:
    setup = make(rule=replace(RULE, blend=0.1))
    ask(setup, {"size": 1})
    assert [len(need.documents) for need in setup.needs if isinstance(need, NeedScores)] == [4]
    setup = make(rule=replace(RULE, blend=0.1, window=1))
    whole = ask(setup).body
    assert not any(isinstance(need, NeedScores) for need in setup.needs)
    assert ids(whole) == "abcdef"
    assert scores(whole) == pytest.approx([2.0, *(tail_score(score) for score in (5, 4, 3, 2, 1))])


def test_the_only_hit_without_a_text_is_left_to_the_engine() -> None:
    setup = make([stored("a", "6.0", None)], rule=replace(RULE, blend=0.1))
    assert str(ask(setup).outcome) == "skipped; reason=no-text"


def test_the_only_hit_of_a_clusters_reranker_is_scored_since_its_score_is_the_logits() -> None:
    child = {"standard": {"query": {"match": {"title": "red shoes"}}}}
    reranker = {"retriever": child, "field": "title", "inference_text": "red shoes"}
    setup = make(SIX[:1], rule=replace(RULE, takeover=True, blend=0.1))
    result = setup.run(make_search({"retriever": {"text_similarity_reranker": reranker}}))
    assert isinstance(result, Rewritten)
    assert scores(result.body) == pytest.approx([shown_score(-1.0)])
