"""What ``rerank-proxy evaluate`` says at the end: a table for people, a JSON file for programs."""

from __future__ import annotations

import json
import os
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from proxy.evaluate.measures import CUTOFF, MEASURES, Interval, interval_of_mean
from proxy.evaluate.qrels import BadInput
from proxy.evaluate.searches import Answer

SHOWN_QUERIES = 5
"""So many of the queries that gained most, and of those that lost most, are shown."""
OUTCOMES = ("full", "partial", "fallback", "skipped")
NO_STATUS = "no status"


@dataclass(frozen=True, slots=True)
class Measured:
    """One query, searched on both sides."""

    qid: str
    query: str
    engine: Answer
    proxy: Answer
    judged: frozenset[str]
    """Documents that are judged for it."""


@dataclass(frozen=True, slots=True)
class Line:
    """A measure's mean over all queries on both sides."""

    measure: str
    engine: float
    proxy: float
    difference: float
    interval: Interval | None
    """95 % of the difference; None where the queries are too few."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seen by the client, in milliseconds."""

    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found."""

    settings: Mapping[str, Any]
    """What was measured and how, as the user gave it, without credentials."""
    notes: Sequence[str]
    """Sentences that a reader of the numbers must know."""
    failures: Mapping[str, str]
    """Query id -> why it is left out."""
    lines: Sequence[Line]
    outcomes: Mapping[str, int]
    """full, partial, fallback, skipped, and ``no status``: number of the proxy's answers."""
    reasons: Mapping[str, int]
    """The same with the reason, for those that have one."""
    unjudged: Mapping[str, float]
    """Share of hits without a judgement among the first 10 hits, on each side."""
    latency: Mapping[str, Latency]
    queries: Sequence[Mapping[str, Any]]
    """Each query with its values, statuses and latencies."""


def outcome_of(status: str | None) -> tuple[str, str | None]:
    """Split ``partial; reason=budget; scored=37/100`` into the outcome and its reason."""
    if status is None:
        return NO_STATUS, None
    outcome, *details = (part.strip() for part in status.split(";"))
    reason = next((part.removeprefix("reason=") for part in details if part.startswith("reason=")), None)
    return outcome, reason


def build(
    measured: Sequence[Measured],
    values: Mapping[str, Mapping[str, Mapping[str, float]]],
    settings: Mapping[str, Any],
    notes: Sequence[str],
    failures: Mapping[str, str],
) -> Report:
    """Put the report together; ``values``: side ("engine", "proxy") -> measure -> query id -> value."""
    outcomes = [outcome_of(one.proxy.status) for one in measured]
    return Report(
        settings=settings,
        notes=notes,
        failures=failures,
        lines=[_line(name, [one.qid for one in measured], values) for name in MEASURES],
        outcomes=dict(Counter(outcome for outcome, _ in outcomes)),
        reasons=dict(Counter(f"{outcome} ({reason})" for outcome, reason in outcomes if reason)),
        unjudged={
            "engine": _unjudged([(one.engine, one.judged) for one in measured]),
            "proxy": _unjudged([(one.proxy, one.judged) for one in measured]),
        },
        latency={
            "engine": _latency([one.engine.seconds for one in measured]),
            "proxy": _latency([one.proxy.seconds for one in measured]),
        },
        queries=[_query(one, values) for one in measured],
    )


def _line(name: str, qids: Sequence[str], values: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Line:
    engine, proxy = ([values[side][name][qid] for qid in qids] for side in ("engine", "proxy"))
    differences = [ours - theirs for ours, theirs in zip(proxy, engine, strict=True)]
    return Line(name, fmean(engine), fmean(proxy), fmean(differences), interval_of_mean(differences))


def _unjudged(answers: Sequence[tuple[Answer, frozenset[str]]]) -> float:
    shown = [docid not in judged for answer, judged in answers for docid in answer.ids[:CUTOFF]]
    return fmean(shown) if shown else 0.0


def _latency(seconds: Sequence[float]) -> Latency:
    median, p95 = np.percentile(np.asarray(seconds) * 1000, [50, 95])
    return Latency(float(median), float(p95))


def _query(one: Measured, values: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    sides = {"engine": one.engine, "proxy": one.proxy}
    return {"id": one.qid, "query": one.query, "status": one.proxy.status} | {
        side: {name: values[side][name][one.qid] for name in MEASURES}
        | {"hits": len(answer.ids), "latency_ms": round(answer.seconds * 1000, 3), "first": answer.ids[:CUTOFF]}
        for side, answer in sides.items()
    }


def write_json(report: Report, path: Path) -> None:
    """Write the report whole or not at all. Raises BadInput where the file cannot be written."""
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        unfinished.write_text(json.dumps(asdict(report), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def as_text(report: Report) -> str:
    """Return the table with what belongs to it, ready to print."""
    blocks = [
        [_wrapped("; ".join(f"{name}: {value}" for name, value in report.settings.items())), *report.notes],
        _measure_table(report.lines),
        _facts(report),
        _changed("gained most", report.queries, sign=1),
        _changed("lost most", report.queries, sign=-1),
        _failed(report.failures),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _measure_table(lines: Sequence[Line]) -> list[str]:
    rows = [f"{'':<9}{'engine':>9}{'proxy':>9}{'difference':>12}   95 % interval (paired bootstrap)"]
    for line in lines:
        around = f"{line.interval.low:+.4f} .. {line.interval.high:+.4f}" if line.interval else "too few queries"
        rows.append(f"{line.measure:<9}{line.engine:>9.4f}{line.proxy:>9.4f}{line.difference:>+12.4f}   {around}")
    return rows


def _facts(report: Report) -> list[str]:
    named = {name: report.outcomes.get(name, 0) for name in OUTCOMES}
    others = {name: count for name, count in report.outcomes.items() if name not in named}
    counts = ", ".join(f"{name} {count}" for name, count in (named | others).items())
    reasons = ", ".join(f"{name} {count}" for name, count in sorted(report.reasons.items()))
    engine, proxy = report.latency["engine"], report.latency["proxy"]
    return [
        f"proxy's answers       {counts}" + (f"   reasons: {reasons}" if reasons else ""),
        f"unjudged in first {CUTOFF}  engine {report.unjudged['engine']:.1%}, proxy {report.unjudged['proxy']:.1%}"
        " (counted as grade 0)",
        f"latency, ms           engine median {engine.median_ms:.1f}, p95 {engine.p95_ms:.1f};"
        f" proxy median {proxy.median_ms:.1f}, p95 {proxy.p95_ms:.1f} (one search at a time, seen by this client)",
    ]


def _changed(title: str, queries: Sequence[Mapping[str, Any]], sign: int) -> list[str]:
    name = MEASURES[0]
    changes = [(sign * (row["proxy"][name] - row["engine"][name]), row) for row in queries]
    best = sorted((change for change in changes if change[0] > 0), key=lambda change: -change[0])[:SHOWN_QUERIES]
    if not best:
        return []
    rows = [f"{title}, {name}"]
    for change, row in best:
        values = f"{row['engine'][name]:.3f} -> {row['proxy'][name]:.3f}"
        rows.append(f"  {sign * change:+.3f}  {values}  {row['query']}  [{row['id']}]")
    return rows


def _failed(failures: Mapping[str, str]) -> list[str]:
    if not failures:
        return []
    shown = [f"  [{qid}] {reason}" for qid, reason in list(failures.items())[:SHOWN_QUERIES]]
    more = [f"  and {len(failures) - len(shown)} more"] if len(failures) > len(shown) else []
    return [f"queries that failed, left out on both sides: {len(failures)}", *shown, *more]
