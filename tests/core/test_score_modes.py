"""What a rule can do with scores beyond replacing them: details of each hit, and a least score."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.ranking import sigmoid, tail_score
from proxy.scorer.types import ScoreResult
from tests.core.fake_engine import raw_hits
from tests.core.one_search import RULE, ask, ids, make, scores

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
