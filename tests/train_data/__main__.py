"""``python -m tests.train_data``: how near the estimators come to the truth, by the size of the log (simulated)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from tests.train_data.simulation import counts, mean_kendall, simulate
from training import click_models

SEEDS = range(101, 106)
SIZES = (500, 1_000, 3_000, 10_000, 30_000, 100_000)


def main() -> None:
    """Print a table of means over the seeds."""
    print("| skill | searches | clicks | pairs | tau: CTR | pbm | coec | propensities off by: pbm | coec |")
    print("|---|---|---|---|---|---|---|---|---|")
    for skill in (0.0, 0.4, 0.7):
        for searches in SIZES:
            values = np.mean([one(seed, searches, skill) for seed in SEEDS], axis=0)
            clicks, pairs, *figures = values
            shown = " | ".join(f"{figure:.2f}" for figure in figures[:3])
            off = " | ".join(f"{figure:.3f}" for figure in figures[3:])
            print(f"| {skill:g} | {searches:,} | {clicks:,.0f} | {pairs:.0f} | {shown} | {off} |", flush=True)


def one(seed: int, searches: int, skill: float) -> list[float]:
    """Return clicks, judged pairs, tau of click-through rate, pbm and coec, and the mean errors of the latter two."""
    shop = simulate(seed, searches, skill=skill)
    names, cells = counts(shop)
    shown, clicked = np.bincount(cells.pair, cells.shown), np.bincount(cells.pair, cells.clicked)
    models = [click_models.pbm(cells, least_clicks=0), click_models.coec(cells)]
    said = [clicked / shown, *(click_models.relevances(cells, model, prior=10)[0] for model in models)]
    kept = shown >= 10
    taus = [mean_kendall(shop, {names[i]: float(values[i]) for i in np.flatnonzero(kept)}) for values in said]
    errors = [float(np.abs(model.by_rank - shop.propensity).mean()) for model in models]
    return [float(clicked.sum()), float(kept.sum()), *taus, *errors]


if __name__ == "__main__":
    main()
