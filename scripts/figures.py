"""nDCG@10 from scores: of one ranking, of a blend of two, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from esci_data import ndcg

Array = npt.NDArray[np.float64]
RESAMPLES = 10_000


@dataclass(frozen=True)
class Ranked:
    """A query's documents with the scores of two rankers, in the first one's order."""

    query: str
    gains: list[float]
    ideal: list[float]
    """Gains of all documents that are judged for the query."""
    first: list[float]
    """The first stage's scores, falling."""
    second: list[float]
    """The model's logits."""

    def ndcg(self, blend: float) -> float:
        """Return nDCG@10 where the first stage has the share ``blend``, both scaled to 0..1 as the proxy does."""
        if not self.gains:
            return 0.0
        order = np.argsort(-self.keys(blend), kind="stable")  # equal keys stay in the first stage's order
        return ndcg([self.gains[place] for place in order], self.ideal)

    def keys(self, blend: float) -> Array:
        """Return what the documents are ordered by, shape [documents]."""
        return blend * _min_max(self.first) + (1 - blend) * _min_max(self.second)


def column(lists: Sequence[Ranked], blend: float) -> Array:
    """Return nDCG@10 of each query, shape [queries]; a blend of 1 is the first stage alone."""
    return np.array([entry.ndcg(blend) for entry in lists])


def interval(values: Array, seed: int = 20) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean over queries (Efron 1979)."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def with_interval(values: Array) -> str:
    """Write a mean and its interval: ``0.698 [0.63, 0.76]``."""
    low, high = interval(values)
    return f"{values.mean():.3f} [{low:.2f}, {high:.2f}]"


def gain_over(values: Array, baseline: Array) -> str:
    """Write the mean difference of each query to its baseline, and the interval: ``+0.044 [+0.01, +0.08]``."""
    low, high = interval(values - baseline)
    return f"{(values - baseline).mean():+.3f} [{low:+.2f}, {high:+.2f}]"


def _min_max(values: Sequence[float]) -> Array:
    array = np.array(values, dtype=np.float64)
    low, high = array.min(), array.max()
    return (array - low) / (high - low) if high > low else np.zeros_like(array)
