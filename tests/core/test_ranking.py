"""The order of a window, and scores that never rise."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.ranking import Ranking, rank, sigmoid, tail_score

FINITE = st.floats(allow_nan=False, allow_infinity=False)
LOGITS = st.sampled_from([-3.0, 0.0, 0.5, 2.0]) | FINITE
ENGINE_SCORES = st.floats(0, width=32, allow_nan=False)


@st.composite
def windows(draw: st.DrawFn) -> tuple[list[float | None], list[bool], list[float]]:
    size = draw(st.integers(0, 12))
    stays = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    logits = [None if stay else draw(st.none() | LOGITS) for stay in stays]
    scores = sorted(draw(st.lists(ENGINE_SCORES, min_size=size, max_size=size)), reverse=True)
    return logits, stays, scores


@given(windows(), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from(["min_max", "z_score", "rrf"]))
def test_laws(window: tuple[list[float | None], list[bool], list[float]], blend: float, blend_by: str) -> None:
    logits, stays, engine_scores = window
    ranking = rank(logits, stays, engine_scores, blend, blend_by)
    assert sorted(ranking.order) == list(range(len(logits)))
    assert all(before >= after for before, after in zip(ranking.scores, ranking.scores[1:], strict=False))
    assert all(math.isfinite(score) for score in ranking.scores)
    scored = [position for position in ranking.order if logits[position] is not None]
    assert all(1 <= score <= 2 for place, score in zip(ranking.order, ranking.scores, strict=True) if place in scored)
    if blend == 1.0:
        by_engine = sorted(scored, key=lambda position: (-engine_scores[position], position))
        assert blend_by != "rrf" or scored == sorted(scored)
        assert [engine_scores[place] for place in scored] == [engine_scores[place] for place in by_engine]
    by_score = dict(zip(ranking.order, ranking.scores, strict=True))
    if blend == 0.0:
        assert scored == sorted(scored, key=lambda position: (-(logits[position] or 0.0), position))
        assert all(by_score[position] == 1 + sigmoid(logits[position] or 0.0) for position in scored)
    unscored = [position for position in ranking.order if not stays[position] and logits[position] is None]
    assert unscored == sorted(unscored)
    assert all(by_score[position] == tail_score(engine_scores[position]) for position in unscored)
    if scored and unscored:
        assert ranking.order.index(scored[-1]) < ranking.order.index(unscored[0])
    if not unscored:
        assert all(ranking.order[place] == place for place, stay in enumerate(stays) if stay)


@pytest.mark.parametrize(
    ("logits", "stays", "order", "scores"),
    [
        ([], [], (), ()),
        ([0.0, 0.0, 0.0], [False] * 3, (0, 1, 2), (1.5, 1.5, 1.5)),
        ([-1.0, 1.0, 0.0], [False] * 3, (1, 2, 0), (1 + sigmoid(1), 1.5, 1 + sigmoid(-1))),
        # past the deadline: the scored part is ranked, the rest stays below in the engine's order
        ([0.0, 1.0, None, None], [False] * 4, (1, 0, 2, 3), (1 + sigmoid(1), 1.5, 2 / 3, 0.5)),
        ([None, None, 5.0, None], [False] * 4, (2, 0, 1, 3), (1 + sigmoid(5), 0.8, 0.75, 0.5)),
        ([None] * 4, [False] * 4, (0, 1, 2, 3), (0.8, 0.75, 2 / 3, 0.5)),
        # a hit that stays keeps its place and has the score of the hit above it
        (
            [-1.0, None, 1.0, 0.0],
            [False, True, False, False],
            (2, 1, 3, 0),
            (1 + sigmoid(1),) * 2 + (1.5, 1 + sigmoid(-1)),
        ),
        (
            [None, -1.0, 0.0, 1.0],
            [True, False, False, False],
            (0, 3, 2, 1),
            (1 + sigmoid(1),) * 2 + (1.5, 1 + sigmoid(-1)),
        ),
        ([0.0, 1.0, None, None], [False, False, True, True], (1, 0, 2, 3), (1 + sigmoid(1), 1.5, 2 / 3, 0.5)),
    ],
)
def test_orders(
    logits: list[float | None], stays: list[bool], order: tuple[int, ...], scores: tuple[float, ...]
) -> None:
    assert rank(logits, stays, [4.0, 3.0, 2.0, 1.0][: len(logits)]) == Ranking(order, scores)


def test_order_is_by_logit_where_the_scores_round_to_the_same() -> None:
    ranking = rank([40.0, 50.0, 45.0], [False] * 3, [3.0, 2.0, 1.0])
    assert ranking.order == (1, 2, 0)
    assert ranking.scores[0] == ranking.scores[2] == 2.0


def test_blend_mixes_both_min_max_scaled_over_the_window() -> None:
    logits, engine = [0.0, 2.0, 4.0], [30.0, 20.0, 10.0]
    assert rank(logits, [False] * 3, engine, 0.25).scores == (1.75, 1.5, 1.25)
    assert rank(logits, [False] * 3, engine, 1.0).order == (0, 1, 2)
    assert rank(logits, [False] * 3, engine, 0.5).order == (0, 1, 2)
    assert rank([1.0, 1.0], [False] * 2, [math.inf, 1.0], 0.5) == Ranking((0, 1), (2.0, 1.5))


@given(logit=LOGITS, engine_score=ENGINE_SCORES, blend=st.floats(0.01, 1.0))
@pytest.mark.parametrize(("blend_by", "score"), [("min_max", 2.0), ("rrf", 2.0), ("z_score", 1.5)])
def test_blended_the_only_hit_scores_the_same_whatever_its_logit(
    logit: float, engine_score: float, blend: float, blend_by: str, score: float
) -> None:
    ranking = rank([logit], [False], [engine_score], blend, blend_by)
    assert ranking == rank([0.0], [False], [engine_score], blend, blend_by)
    assert ranking.scores == pytest.approx((score,))


def test_blend_by_z_scores_gives_each_side_its_spread() -> None:
    # The logits' spread is a thousandth of the engine's: after scaling both count alike.
    ranking = rank([0.001, 0.002, 0.003], [False] * 3, [30.0, 20.0, 10.0], 0.4, "z_score")
    assert ranking.order == (2, 1, 0)
    assert ranking.scores[1] == 1.5
    assert rank([0.001, 0.002, 0.003], [False] * 3, [30.0, 20.0, 10.0], 0.6, "z_score").order == (0, 1, 2)
    assert rank([1.0, 1.0], [False] * 2, [2.0, 2.0], 0.5, "z_score") == Ranking((0, 1), (1.5, 1.5))


def test_reciprocal_rank_fusion_sums_both_ranks() -> None:
    ranking = rank([1.0, 9.0, 5.0], [False] * 3, [8.0, 7.0, 6.0], 0.5, "rrf", 10)
    fused = [0.5 / 13 + 0.5 / 11, 0.5 / 11 + 0.5 / 12, 0.5 / 12 + 0.5 / 13]
    assert ranking.order == (1, 0, 2)
    assert ranking.scores == pytest.approx([1 + 11 * fused[place] for place in (1, 0, 2)])
    # Only the order of the logits counts, not how far they lie apart.
    assert rank([1.0, 5.1, 5.0], [False] * 3, [8.0, 7.0, 6.0], 0.5, "rrf", 10) == ranking


@given(FINITE, FINITE)
def test_sigmoid_never_falls_nor_overflows(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert 0.0 <= sigmoid(low) <= sigmoid(high) <= 1.0


@pytest.mark.parametrize(
    ("score", "moved"),
    [(0.0, 0.0), (1.0, 0.5), (3.0, 0.75), (math.inf, 1.0), (-2.0, 0.0), (6.17e-9, 6.17e-9 / (1 + 6.17e-9))],
)
def test_tail_score(score: float, moved: float) -> None:
    assert tail_score(score) == moved


@given(ENGINE_SCORES, ENGINE_SCORES)
def test_tail_scores_keep_the_engines_order_below_one(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert 0.0 <= tail_score(low) <= tail_score(high) <= 1.0
