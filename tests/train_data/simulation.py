"""A made-up shop whose relevances and position bias are known; clicks follow the position-based model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from training.click_models import Cells

Floats = npt.NDArray[np.float64]
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Shop:
    """What is true and what was seen."""

    attraction: Floats
    """Probability of a click if looked at; shape [queries, documents]."""
    propensity: Floats
    """Of ranks 1, 2, ...; shape [ranks]."""
    shown: npt.NDArray[np.int64]
    """Documents by rank; shape [searches, ranks]."""
    query: npt.NDArray[np.int64]
    """Shape [searches]."""
    clicked: npt.NDArray[np.bool_]
    """Shape [searches, ranks]."""

    def records(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the records of ``ubi_queries`` and ``ubi_events``; each search is of another client."""
        queries, events = [], []
        for number, (query, shown, clicked) in enumerate(zip(self.query, self.shown, self.clicked, strict=True)):
            at = (START + timedelta(seconds=number)).isoformat()
            ids = {"query_id": f"s{number}", "client_id": f"c{number}", "timestamp": at}
            hits = [f"d{document}" for document in shown]
            queries.append({**ids, "user_query": f"query {query}", "query_response_hit_ids": hits})
            for rank in np.flatnonzero(clicked):
                attributes = {"object": {"object_id": hits[rank]}, "position": {"ordinal": int(rank) + 1}}
                events.append({**ids, "action_name": "click", "event_attributes": attributes})
        return queries, events


def simulate(
    seed: int, searches: int, queries: int = 30, documents: int = 15, ranks: int = 10, skill: float = 0.0
) -> Shop:
    """Simulate searches.

    Args:
        seed: of all chance.
        searches: their number, over the queries evenly.
        queries: number of queries.
        documents: number of documents of each query.
        ranks: how many of them a search shows.
        skill: correlation of the engine's order with what attracts, 0 to 1. The order is the same for all searches of
            a query but for some chance, as when an index changes or an experiment runs.
    """
    rng = np.random.default_rng(seed)
    attraction = rng.beta(1.2, 4.0, (queries, documents))
    standing = (attraction - attraction.mean(1, keepdims=True)) / attraction.std(1, keepdims=True)
    standing = skill * standing + np.sqrt(1 - skill**2) * rng.normal(size=standing.shape)
    propensity = (1.0 / np.arange(1, ranks + 1) ** 0.9).astype(np.float64)
    query = rng.integers(0, queries, searches)
    shown = np.argsort(-(standing[query] + 0.6 * rng.normal(size=(searches, documents))), axis=1)[:, :ranks]
    clicked = rng.random((searches, ranks)) < propensity * attraction[query[:, None], shown]
    return Shop(attraction, propensity, shown, query, clicked)


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Kendall's tau-a of two lists of values: the share of pairs in the same order less that in the other."""
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    agreement = np.sign(first[:, None] - first) * np.sign(second[:, None] - second)
    return float(agreement.sum() / (len(first) * (len(first) - 1)))


def mean_kendall(shop: Shop, said: Mapping[tuple[str, str], float]) -> float:
    """Return the mean over the queries of Kendall's tau between what is said of the pairs and what is true."""
    values = []
    for query, true in enumerate(shop.attraction):
        known = [d for d in range(len(true)) if (f"query {query}", f"d{d}") in said]
        if len(known) > 1:
            values.append(kendall([true[d] for d in known], [said[f"query {query}", f"d{d}"] for d in known]))
    return float(np.mean(values))


def counts(shop: Shop) -> tuple[list[tuple[str, str]], Cells]:
    """Count shows and clicks by pair and rank; a pair's name is (query, document) as in `Shop.records`."""
    documents, ranks = shop.attraction.shape[1], len(shop.propensity)
    key = (shop.query[:, None] * documents + shop.shown) * ranks + np.arange(ranks)
    cells, index, shown = np.unique(key, return_inverse=True, return_counts=True)
    clicked = np.bincount(index.ravel(), weights=shop.clicked.ravel().astype(np.float64)).astype(np.float64)
    pairs, pair = np.unique(cells // ranks, return_inverse=True)
    names = [(f"query {number // documents}", f"d{number % documents}") for number in pairs]
    return names, Cells(pair, cells % ranks + 1, shown.astype(np.float64), clicked, clicked)
