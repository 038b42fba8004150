"""Estimates what ranks hide: how likely a hit at a rank is looked at, and how good a document is if it is.

Both methods follow the examination hypothesis (Richardson, Dominowska and Ragno, "Predicting clicks: estimating the
click-through rate for new ads", WWW 2007; Craswell, Zoeter, Taylor and Ramsey, "An experimental comparison of click
position-bias models", WSDM 2008): a click happens where a hit is looked at, which its rank decides, and attracts, which
query and document decide. They differ in how they find each rank's propensity to be looked at.

- `pbm`: the position-based model, fitted by expectation maximisation (Chuklin, Markov and de Rijke, "Click Models for
  Web Search", 2015; for propensities Wang, Golbandi, Bendersky, Metzler and Najork, "Position bias estimation for
  unbiased learning to rank in personal search", WSDM 2018). It needs documents that the same query showed at several
  ranks, as only they tell a good rank from a good document (Agarwal, Zaitsev, Wang, Li, Najork and Joachims,
  "Estimating position bias without intrusive interventions", WSDM 2019).
- `coec`: clicks over expected clicks (Zhang and Jones, "Comparing click logs and editorial labels for training query
  rewriting", WWW 2007 workshop on query log analysis): the propensity is the rank's click-through rate over all
  queries. It works on any log, but takes for position bias that good documents stand high.

The relevance of a document for a query is then its clicks divided by the propensities of the ranks it was shown at,
summed: the self-normalised form of inverse propensity weighting (Joachims, Swaminathan and Schnabel, "Unbiased
learning-to-rank with biased feedback", WSDM 2017). Where a pair was seldom looked at, it is shrunk towards what hits at
the same ranks are worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BUCKET_CLICKS = 50
"""Ranks with fewer clicks are looked at together with those behind them."""
PBM_CLICKS = 300
"""Clicks on documents that their query showed at several ranks, from which on the position-based model is fitted."""
_ITERATIONS = 2000
_CONVERGED = 1e-5
_PRIOR = 1.0
"""Shows of mean attraction that are added to each pair's own while propensities are fitted. Without any, pairs that
were shown a few times and not clicked are believed never to attract, which bends the propensities of their ranks."""


class TooLittle(ValueError):
    """The log does not decide the propensities; the text says what it lacks."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts by pair (a query with a document) and rank; all arrays have the shape [cells]."""

    pair: Ints
    """Number of the pair, from 0."""
    rank: Ints
    """From 1."""
    shown: Floats
    """How often the pair was shown at the rank; above 0."""
    clicked: Floats
    """How often it was clicked, or more, there."""
    value: Floats
    """Sum of what the actions were worth, each show 0 to 1."""

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return int(self.pair.max()) + 1 if len(self.pair) else 0

    def of_pairs(self, numbers: npt.NDArray[np.bool_]) -> Cells:
        """Return the cells of some pairs; ``numbers``: shape [pairs]."""
        keep = numbers[self.pair]
        return Cells(self.pair[keep], self.rank[keep], self.shown[keep], self.clicked[keep], self.value[keep])


@dataclass(frozen=True, slots=True)
class Propensities:
    """How likely a hit is looked at."""

    method: str
    by_rank: Floats
    """Of rank 1, 2, ...; the highest is 1."""
    clicks: int
    """From which they were estimated."""


def coec(cells: Cells) -> Propensities:
    """Take each rank's click-through rate for its propensity.

    Raises:
        TooLittle: no clicks.
    """
    clicks = cells.clicked.sum()
    if not clicks:
        raise TooLittle("there is no click")
    bucket = _buckets(cells)
    of = bucket[cells.rank - 1]
    rates = _sums(of, cells.clicked, bucket[-1] + 1) / _sums(of, cells.shown, bucket[-1] + 1)
    return Propensities("coec", (rates / rates.max())[bucket], int(clicks))


def pbm(cells: Cells, least_clicks: int = PBM_CLICKS) -> Propensities:
    """Fit the position-based model.

    Args:
        cells: the counts.
        least_clicks: on pairs that were shown at several ranks.

    Raises:
        TooLittle: too few such clicks, or groups of ranks that no pair was shown in both of.
    """
    ranks = int(cells.rank.max()) if len(cells.rank) else 1
    varied = cells.of_pairs(np.bincount(cells.pair, minlength=cells.pairs) > 1)
    clicks = int(varied.clicked.sum())
    if clicks < least_clicks:
        raise TooLittle(
            f"{clicks} clicks are on documents that their query showed at several ranks; "
            f"the position-based model needs {least_clicks}"
        )
    bucket = _buckets(varied, ranks)
    of = bucket[varied.rank - 1]
    apart = _unlinked(varied.pair, of, bucket)
    if apart is not None:
        raise TooLittle(
            f"rank {apart} shares no document of a query with rank 1, not even over other ranks: "
            "how they compare is unknown"
        )
    _, pair = np.unique(varied.pair, return_inverse=True)
    theta = _fit(pair.astype(np.int64), of, varied.shown, varied.clicked, bucket[-1] + 1)
    return Propensities("pbm", theta[bucket], clicks)


def relevances(cells: Cells, propensities: Propensities, prior: float) -> tuple[Floats, Floats]:
    """Return (relevance, looks) of each pair; both of the shape [pairs].

    Args:
        cells: the counts.
        propensities: of the ranks.
        prior: so many looks are added to each pair's own, worth what those at its ranks are worth on the whole. An
            engine that ranks well so speaks for what it put on top, where little else is known of it.

    Returns:
        The mean worth of a look, 0 to 1 if the model holds, and the expected number of looks.
    """
    looked = cells.shown * propensities.by_rank[cells.rank - 1]
    looks, worth = _sums(cells.pair, looked, cells.pairs), _sums(cells.pair, cells.value, cells.pairs)
    _, group = np.unique(propensities.by_rank, return_inverse=True)
    of, groups = group[cells.rank - 1].astype(np.int64), int(group.max()) + 1
    usual = _sums(of, cells.value, groups) / np.maximum(_sums(of, looked, groups), 1e-12)
    usual = np.minimum(usual, 1.0)
    expected = _sums(cells.pair, cells.shown * usual[of], cells.pairs) / _sums(cells.pair, cells.shown, cells.pairs)
    return (worth + prior * expected) / np.maximum(looks + prior, 1e-12), looks


def _fit(pair: Ints, of: Ints, shown: Floats, clicked: Floats, buckets: int) -> Floats:
    """Expectation maximisation: each round gives misses to the rank or to the document, by what is now believed."""
    pairs = int(pair.max()) + 1
    missed = shown - clicked
    shown_of, shown_pair = _sums(of, shown, buckets), _sums(pair, shown, pairs)
    rates = _sums(of, clicked, buckets) / shown_of
    theta: Floats = rates / rates.max()
    attraction = (_sums(pair, clicked, pairs) + _PRIOR * clicked.sum() / shown.sum()) / (shown_pair + _PRIOR)
    for _ in range(_ITERATIONS):
        looked, liked = theta[of], attraction[pair]
        unclicked = np.maximum(1 - looked * liked, 1e-12)
        new = _sums(of, clicked + missed * looked * (1 - liked) / unclicked, buckets) / shown_of
        likes = _sums(pair, clicked + missed * liked * (1 - looked) / unclicked, pairs)
        attraction = (likes + _PRIOR * likes.sum() / shown_pair.sum()) / (shown_pair + _PRIOR)
        # Only products count: what the highest propensity lacks to 1 belongs to the attractions.
        highest = new.max()
        new, attraction = new / highest, np.minimum(attraction * highest, 1.0)
        moved = np.abs(new - theta).max()
        theta = new
        if moved < _CONVERGED:
            break
    return theta


def _buckets(cells: Cells, ranks: int = 0) -> Ints:
    """Group the ranks from the top so that each group has clicks enough; shape [ranks], numbers from 0, rising."""
    ranks = ranks or int(cells.rank.max())
    clicks = _sums(cells.rank - 1, cells.clicked, ranks)
    shown = _sums(cells.rank - 1, cells.shown, ranks)
    numbers, number, gathered = np.zeros(ranks, dtype=np.int64), 0, 0.0
    for rank in range(ranks):
        numbers[rank] = number
        gathered += clicks[rank]
        if gathered >= BUCKET_CLICKS and shown[rank + 1 :].any():
            number, gathered = number + 1, 0.0
    return numbers


def _unlinked(pair: Ints, of: Ints, bucket: Ints) -> int | None:
    """Return the first rank that no chain of pairs links to rank 1; None: all are linked."""
    order = np.argsort(pair, kind="stable")
    same = pair[order][1:] == pair[order][:-1]
    links = np.unique(np.stack([of[order][:-1][same], of[order][1:][same]]), axis=1)
    group = np.arange(bucket[-1] + 1)
    for one, other in links.T:
        low, high = sorted((group[one], group[other]))
        group[group == high] = low
    apart = np.flatnonzero(group != group[0])
    return int(np.flatnonzero(bucket == apart[0])[0]) + 1 if len(apart) else None


def _sums(where: Ints, values: Floats, size: int) -> Floats:
    return np.bincount(where, weights=values, minlength=int(size)).astype(np.float64)
