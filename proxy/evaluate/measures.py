"""nDCG, average precision and reciprocal rank of rankings, and the interval of a mean difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import ir_measures
import numpy as np

from proxy.evaluate.qrels import BadInput

CUTOFF = 10
"""nDCG looks at this many hits."""
MEASURES = (f"nDCG@{CUTOFF}", "MAP", "MRR")
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


def parse_gains(text: str) -> dict[int, Fraction]:
    """Read ``grade=gain`` pairs such as ``0=0,1=0.01,2=0.1,3=1``. Raises BadInput."""
    gains: dict[int, Fraction] = {}
    for item in text.split(","):
        grade, sign, gain = item.partition("=")
        try:
            if not sign:
                raise ValueError
            number, value = int(grade), Fraction(gain.strip())
        except (ValueError, ZeroDivisionError):
            raise BadInput(f"gains: expected grade=gain pairs such as 0=0,1=0.01,2=0.1,3=1, found {item!r}") from None
        if value < 0 or number < 0:
            raise BadInput(f"gains: neither a grade nor a gain can be negative, found {item!r}")
        if number in gains:
            raise BadInput(f"gains: grade {number} is there twice")
        gains[number] = value
    return gains


def whole_gains(gains: Mapping[int, Fraction]) -> dict[int, int]:
    """Scale gains to whole numbers, the only ones that the measure takes; nDCG is the same for any scale."""
    scale = math.lcm(*(gain.denominator for gain in gains.values()))
    return {grade: int(gain * scale) for grade, gain in gains.items()}


def measure(
    rankings: Mapping[str, Sequence[str]],
    grades: Mapping[str, Mapping[str, int]],
    gains: Mapping[int, Fraction],
    relevant_from: int,
) -> dict[str, dict[str, float]]:
    """Return measure -> query id -> value for each query of ``rankings``.

    ``rankings``: query id -> document ids, best first, without repeats. nDCG discounts the gain at rank r by
    log2(r + 1) and counts what is not judged as grade 0. MAP and MRR take the grades from ``relevant_from`` on as
    relevant, over the whole ranking. A query without hits or without relevant documents has the value 0.
    Raises BadInput where a grade has no gain.
    """
    judged = {qid: dict(grades[qid]) for qid in rankings}
    if missing := sorted({grade for row in judged.values() for grade in row.values()} - set(gains)):
        raise BadInput(f"gains: no gain for grade {', '.join(map(str, missing))}; add {missing[0]}=…")
    asked = (
        ir_measures.nDCG(gains=whole_gains(gains)) @ CUTOFF,
        ir_measures.AP(rel=relevant_from),
        ir_measures.RR(rel=relevant_from),
    )
    # Scores that fall by rank: the evaluator sorts by them, and ties would be broken by document id.
    run = {qid: {docid: float(-rank) for rank, docid in enumerate(ids)} for qid, ids in rankings.items() if ids}
    values = {name: dict.fromkeys(rankings, 0.0) for name in MEASURES}
    if run:
        for found in ir_measures.iter_calc(asked, judged, run):
            values[MEASURES[asked.index(found.measure)]][found.query_id] = float(found.value)
    return values


def interval_of_mean(differences: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> Interval | None:
    """95 % interval of the mean of paired differences: percentiles of ``resamples`` bootstrap means (Efron 1979).

    None for fewer than two differences, which say nothing about their spread.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2:
        return None
    random = np.random.default_rng(seed)
    at_once = max(1, 2_000_000 // len(values))  # bounds the memory of the drawn indices to some 16 MB
    means = np.concatenate(
        [
            values[random.integers(0, len(values), (min(at_once, resamples - start), len(values)))].mean(axis=1)
            for start in range(0, resamples, at_once)
        ]
    )
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(low), float(high))
