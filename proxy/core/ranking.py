"""Orders a window by its logits and gives every hit a score that falls over all pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_LARGEST = 1e38
"""Larger values, such as infinity, count as this: the difference of two stays finite."""
HIGHEST = 2.0
"""No ranked hit scores higher."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """A window in its new order."""

    order: tuple[int, ...]
    """Position in the window -> the hit's position in the engine's order. A permutation."""
    scores: tuple[float, ...]
    """Score of each hit, in the new order; never rising."""


def sigmoid(logit: float) -> float:
    """Return ``1 / (1 + e^-x)`` without overflow."""
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1.0 + power)


def tail_score(engine_score: float) -> float:
    """Map an engine's score, 0 to infinity, below every reranked one: ``s / (1 + s)``, from 0 to 1, order kept."""
    if math.isinf(engine_score):
        return 1.0
    return engine_score / (1.0 + engine_score) if engine_score > 0 else 0.0


def _min_max(values: Sequence[float]) -> list[float]:
    """Scale to 0..1; equal values all become 1, as a window's best does, which the only hit of one is too."""
    finite = [max(-_LARGEST, min(_LARGEST, value)) for value in values]
    low, high = min(finite), max(finite)
    return [(value - low) / (high - low) if high > low else 1.0 for value in finite]


def _z_scores(values: Sequence[float]) -> list[float]:
    """Scale to mean 0 and standard deviation 1; equal values all become 0."""
    finite = [max(-_LARGEST, min(_LARGEST, value)) for value in values]
    mean = math.fsum(value / len(finite) for value in finite)
    largest = max(abs(value - mean) for value in finite)
    if not largest:
        return [0.0] * len(finite)
    # Squares of what is scaled by the largest cannot overflow.
    shares = [(value - mean) / largest for value in finite]
    deviation = math.sqrt(math.fsum(share * share for share in shares) / len(shares))
    return [share / deviation for share in shares]


def rank(
    logits: Sequence[float | None],
    stays: Sequence[bool],
    engine_scores: Sequence[float],
    blend: float = 0.0,
    blend_by: str = "min_max",
    rrf_k: int = 60,
) -> Ranking:
    """Rank a window.

    Hits with a logit come first, by logit (by a blend of logit and engine score where ``blend`` > 0), ties in the
    engine's order. A hit that stays keeps its place among them. Hits that were not scored follow in the engine's
    order. Ranked hits score ``1 + sigmoid(logit)``, or 1 and a value from 0 to 1 that falls with the blend; the others
    ``s / (1 + s)``, and a hit that stays among ranked ones what the hit above it has, or at the top the one below.

    Args:
        logits: one per hit of the window, in the engine's order; None: not scored.
        stays: whether the hit, which has no logit, keeps its place.
        engine_scores: the engine's scores, same order.
        blend: the engine's share in the order, 0..1.
        blend_by: ``min_max`` or ``z_score``: both scores scaled over the window, then their weighted mean; ``rrf``: the
            weighted sum of 1 / (k + rank) in either order (Cormack et al. 2009, reciprocal rank fusion).
        rrf_k: the k of ``rrf``; the larger, the less the first ranks stand out.
    """
    scored = [position for position, logit in enumerate(logits) if logit is not None]
    own = {position: logit for position in scored if (logit := logits[position]) is not None}
    if blend == 0.0 or not own:
        keys, values = own, {position: 1.0 + sigmoid(logit) for position, logit in own.items()}
    elif blend_by == "rrf":
        keys, values = _fused(own, blend, rrf_k)
    else:
        keys, values = _blended(own, [engine_scores[position] for position in own], blend, blend_by)
    ranked = iter(sorted(scored, key=lambda position: (-keys[position], position)))
    order: list[int] = []
    scores: list[float | None] = []
    left = len(scored)
    while left:
        here = len(order)
        if stays[here]:
            order.append(here)
            scores.append(None)
            continue
        position = next(ranked)
        order.append(position)
        scores.append(values[position])
        left -= 1
    placed = set(order)
    rest = [position for position in range(len(logits)) if position not in placed]
    filled = _fill_gaps(scores)
    return Ranking((*order, *rest), (*filled, *(tail_score(engine_scores[position]) for position in rest)))


_Keyed = tuple[dict[int, float], dict[int, float]]
"""By position: what to order by, and the score to show."""


def _blended(own: dict[int, float], engine_scores: Sequence[float], blend: float, blend_by: str) -> _Keyed:
    scale = _min_max if blend_by == "min_max" else _z_scores
    ours, theirs = scale(list(own.values())), scale(engine_scores)
    keys = {
        position: (1.0 - blend) * model + blend * engine
        for position, model, engine in zip(own, ours, theirs, strict=True)
    }
    if blend_by == "min_max":
        return keys, {position: 1.0 + key for position, key in keys.items()}
    return keys, {position: 1.0 + sigmoid(key) for position, key in keys.items()}


def _fused(own: dict[int, float], blend: float, rrf_k: int) -> _Keyed:
    """Fuse the ranks: the positions are in the engine's order already."""
    by_model = sorted(own, key=lambda position: (-own[position], position))
    model_rank = {position: rank for rank, position in enumerate(by_model, start=1)}
    keys = {
        position: (1.0 - blend) / (rrf_k + model_rank[position]) + blend / (rrf_k + engine_rank)
        for engine_rank, position in enumerate(own, start=1)
    }
    return keys, {position: 1.0 + (rrf_k + 1) * key for position, key in keys.items()}


def _fill_gaps(scores: list[float | None]) -> list[float]:
    """Give each None the value before it; those at the front get the first value."""
    last = next((score for score in scores if score is not None), 1.0)
    filled = []
    for score in scores:
        last = last if score is None else score
        filled.append(last)
    return filled
