"""The measures against values worked out by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.evaluate.measures import interval_of_mean, measure, parse_gains, whole_gains
from proxy.evaluate.qrels import BadInput

GAINS = parse_gains("0=0,1=0.01,2=0.1,3=1")


def test_by_hand() -> None:
    grades = {"q": {"s": 2, "e": 3, "c": 1, "i": 0, "unfound": 2}}
    found = measure({"q": ["s", "e", "unjudged", "c"]}, grades, GAINS, relevant_from=2)
    # DCG   0.1 / log2 2 + 1 / log2 3 + 0 + 0.01 / log2 5    = 0.1 + 0.630930 + 0.004307 = 0.735237
    # ideal 1 / log2 2 + (0.1) / log2 3 + 0.1 / log2 4 + 0.01 / log2 5 = 1 + 0.063093 + 0.05 + 0.004307 = 1.117400
    assert found["nDCG@10"]["q"] == pytest.approx(0.735237 / 1.117400, abs=1e-6)
    # Three documents have grade 2 and up; those at ranks 1 and 2 are found: (1/1 + 2/2) / 3.
    assert found["MAP"]["q"] == pytest.approx(2 / 3)
    assert found["MRR"]["q"] == 1.0


def test_reciprocal_rank_needs_the_relevant_grade() -> None:
    grades = {"q": {"a": 1, "b": 2, "c": 3}}
    assert measure({"q": ["a", "b", "c"]}, grades, GAINS, relevant_from=2)["MRR"]["q"] == 0.5
    assert measure({"q": ["a", "b", "c"]}, grades, GAINS, relevant_from=3)["MRR"]["q"] == pytest.approx(1 / 3)


def test_ndcg_sees_ten_hits_and_map_sees_all() -> None:
    ranking = [f"d{rank}" for rank in range(11)]
    found = measure({"q": ranking}, {"q": {"d10": 3}}, GAINS, relevant_from=2)
    assert found["nDCG@10"]["q"] == 0.0
    assert found["MAP"]["q"] == pytest.approx(1 / 11)


def test_the_order_given_counts_and_not_the_ids() -> None:
    grades = {"q": {"a": 3, "z": 0}}
    for ranking, expected in ((["a", "z"], 1.0), (["z", "a"], 0.630930)):
        assert measure({"q": ranking}, grades, GAINS, 2)["nDCG@10"]["q"] == pytest.approx(expected, abs=1e-6)


def test_no_hits_and_nothing_relevant_are_zero() -> None:
    found = measure({"empty": [], "none": ["a"]}, {"empty": {"a": 3}, "none": {"a": 0}}, GAINS, 2)
    assert found == {name: {"empty": 0.0, "none": 0.0} for name in ("nDCG@10", "MAP", "MRR")}


def test_a_grade_without_gain_is_named() -> None:
    with pytest.raises(BadInput, match="no gain for grade 4, 5"):
        measure({"q": ["a"]}, {"q": {"a": 5, "b": 4}}, GAINS, 2)


def test_gains_keep_their_proportions() -> None:
    assert whole_gains(parse_gains("0=0,1=0.01,2=0.1,3=1")) == {0: 0, 1: 1, 2: 10, 3: 100}
    assert whole_gains({0: Fraction(0), 1: Fraction(1, 3), 2: Fraction(1, 2)}) == {0: 0, 1: 2, 2: 3}


@pytest.mark.parametrize("text", ["", "1", "1=", "a=1", "1=-1", "-1=1", "1=1,1=2", "1=nan", "1=1/0"])
def test_wrong_gains(text: str) -> None:
    with pytest.raises(BadInput, match="gains"):
        parse_gains(text)


def test_interval_of_equal_differences_is_that_difference() -> None:
    interval = interval_of_mean([0.25] * 20)
    assert interval is not None
    assert (interval.low, interval.high) == (0.25, 0.25)


def test_interval_agrees_with_the_normal_one() -> None:
    differences = np.random.default_rng(7).normal(0.05, 0.2, 400)
    half = 1.96 * differences.std() / 20
    interval = interval_of_mean(differences.tolist())
    assert interval is not None
    assert interval.low == pytest.approx(differences.mean() - half, abs=0.002)
    assert interval.high == pytest.approx(differences.mean() + half, abs=0.002)


def test_interval_needs_two_differences() -> None:
    assert interval_of_mean([]) is None
    assert interval_of_mean([0.5]) is None


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30))
def test_interval_lies_within_the_differences_and_repeats(differences: list[float]) -> None:
    interval = interval_of_mean(differences, resamples=200)
    assert interval is not None
    assert min(differences) - 1e-12 <= interval.low <= interval.high <= max(differences) + 1e-12
    assert interval == interval_of_mean(differences, resamples=200)
