"""The estimators find what a simulation hid; where the log cannot tell, they say so."""

from __future__ import annotations

import numpy as np
import pytest

from tests.train_data.simulation import Shop, counts, kendall, mean_kendall, simulate
from training import click_models
from training.click_models import Cells, Propensities, TooLittle


def agreement(shop: Shop, names: list[tuple[str, str]], values: click_models.Floats) -> float:
    return mean_kendall(shop, dict(zip(names, values.tolist(), strict=True)))


def click_rates(cells: Cells) -> click_models.Floats:
    rates: click_models.Floats = (np.bincount(cells.pair, cells.clicked) / np.bincount(cells.pair, cells.shown)).astype(
        np.float64
    )
    return rates


@pytest.mark.parametrize(("skill", "margin"), [(0.0, 0.15), (0.4, 0.05)])
def test_pbm_recovers_order_and_propensities(skill: float, margin: float) -> None:
    shop = simulate(seed=41, searches=30_000, skill=skill)
    names, cells = counts(shop)
    found = click_models.pbm(cells)
    assert found.by_rank.shape == (10,)
    assert np.abs(found.by_rank - shop.propensity).max() < 0.05
    assert np.abs(found.by_rank - shop.propensity).mean() < 0.02
    relevance, _ = click_models.relevances(cells, found, prior=10)
    raw, corrected = agreement(shop, names, click_rates(cells)), agreement(shop, names, relevance)
    assert corrected > 0.75
    assert raw < 0.72
    assert corrected > raw + margin


def test_the_relevance_is_the_attraction() -> None:
    """Not only its order: a look at a good pair is a click as often as the simulation has it."""
    shop = simulate(seed=42, searches=60_000)
    names, cells = counts(shop)
    relevance, looks = click_models.relevances(cells, click_models.pbm(cells), prior=10)
    true = np.array([shop.attraction[int(query[6:]), int(document[1:])] for query, document in names])
    seen = looks > 200
    assert seen.sum() > 150
    assert np.abs(relevance - true)[seen].mean() < 0.03


def test_coec_corrects_where_the_order_has_nothing_to_do_with_relevance() -> None:
    shop = simulate(seed=43, searches=10_000)
    names, cells = counts(shop)
    found = click_models.coec(cells)
    assert np.abs(found.by_rank - shop.propensity).max() < 0.1
    relevance, _ = click_models.relevances(cells, found, prior=10)
    assert agreement(shop, names, relevance) > agreement(shop, names, click_rates(cells)) + 0.1


def test_pbm_is_needed_where_the_engine_ranks_well() -> None:
    """Good documents stand high: their clicks make COEC think that the first ranks are looked at more than they are."""
    shop = simulate(seed=44, searches=30_000, skill=0.7)
    names, cells = counts(shop)
    by_pbm, by_coec = click_models.pbm(cells), click_models.coec(cells)
    errors = [np.abs(found.by_rank - shop.propensity).mean() for found in (by_pbm, by_coec)]
    assert errors[0] < 0.02
    assert errors[1] > 0.05
    taus = [agreement(shop, names, click_models.relevances(cells, found, 10)[0]) for found in (by_pbm, by_coec)]
    assert taus[0] > taus[1] + 0.1


def test_too_little_is_said() -> None:
    _, cells = counts(simulate(seed=45, searches=200))
    with pytest.raises(TooLittle, match=r"\d+ clicks are on documents that .* needs 300"):
        click_models.pbm(cells)
    nothing = Cells(cells.pair, cells.rank, cells.shown, 0 * cells.clicked, 0 * cells.value)
    with pytest.raises(TooLittle, match="there is no click"):
        click_models.coec(nothing)


def cell_table(rows: list[tuple[int, int, float, float]]) -> Cells:
    pair, rank, shown, clicked = (np.array(column) for column in zip(*rows, strict=True))
    return Cells(pair, rank, shown.astype(float), clicked.astype(float), clicked.astype(float))


def test_ranks_that_nothing_links_are_said() -> None:
    """Pairs move between ranks 1 and 2, and between 3 and 4, but never across."""
    rows = [(0, 1, 1000.0, 300.0), (0, 2, 1000.0, 150.0), (1, 3, 1000.0, 100.0), (1, 4, 1000.0, 60.0)]
    with pytest.raises(TooLittle, match="rank 3 shares no document of a query with rank 1"):
        click_models.pbm(cell_table(rows))
    linked = click_models.pbm(cell_table([*rows, (2, 2, 1000.0, 200.0), (2, 3, 1000.0, 100.0)]))
    assert linked.by_rank == pytest.approx([1, 0.5, 0.25, 0.15], abs=0.01)


def test_ranks_with_few_clicks_are_put_together() -> None:
    rows = [(0, 1, 500.0, 250.0), (0, 2, 500.0, 20.0), (0, 3, 500.0, 20.0), (0, 4, 500.0, 20.0), (0, 5, 500.0, 0.0)]
    rates = click_models.coec(cell_table(rows)).by_rank
    assert rates == pytest.approx([1, 0.08, 0.08, 0.08, 0])


def test_pairs_that_were_seldom_looked_at_are_shrunk_to_what_is_usual_at_their_rank() -> None:
    rows = [(0, 1, 1000.0, 500.0), (1, 1, 1.0, 1.0), (2, 1, 1.0, 0.0), (3, 2, 1000.0, 50.0), (4, 2, 2.0, 0.0)]
    relevance, looks = click_models.relevances(cell_table(rows), Propensities("pbm", np.array([1.0, 0.5]), 0), 10)
    assert looks == pytest.approx([1000, 1, 1, 500, 1])
    assert relevance[0] == pytest.approx(0.5, abs=0.001)
    assert relevance[1] == pytest.approx((1 + 10 * 0.5) / 11, abs=0.01)
    assert relevance[2] == pytest.approx((0 + 10 * 0.5) / 11, abs=0.01)
    assert relevance[3] == pytest.approx(0.1, abs=0.001)
    assert relevance[4] == pytest.approx((0 + 10 * 0.1) / 11, abs=0.01)


def test_kendall() -> None:
    assert kendall([1, 2, 3], [2, 4, 9]) == 1
    assert kendall([1, 2, 3], [3, 2, 1]) == -1
    assert kendall([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)
