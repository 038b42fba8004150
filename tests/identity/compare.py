"""Compares an engine's answer with the proxy's: what may differ is blanked, the rest must be the same bytes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.e2e.test_differential import normalised
from tests.support import Answer

_PROFILE = re.compile(rb',\s*"profile"\s*:\s*\{\s*"shards"')
_SCORE = re.compile(rb'("(?:_score|max_score)"\s*:\s*)(?:-?[0-9.]+(?:E-?[0-9]+)?|"-?Infinity")')


def blanked(answer: Answer) -> bytes:
    """Return the body less ``took`` and the profile, which tells of the search that the engine really ran."""
    body = normalised(answer)
    found = _PROFILE.search(body)
    return body[: found.start()] if found else body


def profiled_shards(answer: Answer) -> list[str]:
    """Return which shards have a profile (their ids without the node's)."""
    if not _PROFILE.search(answer.body):
        return []
    decoded = json.loads(answer.body)
    return sorted(shard["id"].partition("][")[2] for shard in decoded["profile"]["shards"])


def difference(direct: Answer, through: Answer, scores_kept: bool) -> str | None:
    """Say what differs that must not; None: nothing.

    ``scores_kept``: the scores are the engine's too; else they only must not rise from hit to hit.
    """
    if direct.status != through.status:
        return f"status {direct.status} directly, {through.status} through the proxy"
    if (kind := direct.header("Content-Type")) != through.header("Content-Type"):
        return f"content type {kind} directly, {through.header('Content-Type')} through the proxy"
    if profiled_shards(direct) != profiled_shards(through):
        return "profiles of other shards"
    theirs, ours = blanked(direct), blanked(through)
    if scores_kept or through.status != 200:
        return _first_difference(theirs, ours)
    if b'"_explanation"' in theirs:
        # The engine's explanation stands inside ours.
        return _first_difference(*(json.dumps(_unscored(answer.body)).encode() for answer in (direct, through)))
    differs = _first_difference(_SCORE.sub(rb"\1S", theirs), _SCORE.sub(rb"\1S", ours))
    return differs or (_score_fault(through.body) if is_full(through) else None)


def is_full(through: Answer) -> bool:
    """Say whether the search was reranked."""
    return through.header("X-Rerank-Status") == "full"


def _first_difference(theirs: bytes, ours: bytes) -> str | None:
    if theirs == ours:
        return None
    at = next((place for place, (one, two) in enumerate(zip(theirs, ours, strict=False)) if one != two), None)
    at = min(len(theirs), len(ours)) if at is None else at
    return (
        f"from byte {at}: directly {theirs[max(0, at - 60) : at + 120]!r}, through {ours[max(0, at - 60) : at + 120]!r}"
    )


def _pairs(pairs: list[tuple[str, Any]]) -> list[Any]:
    return ["object", *([name, value] for name, value in pairs)]


def _unscored(body: bytes) -> Any:
    """Decode without scores, what was measured, and our part of explanations; numbers and order as they are written."""

    def read(pairs: list[tuple[str, Any]]) -> list[Any]:
        changed = []
        for name, value in pairs:
            if name in ("took", "profile"):
                continue
            blank = name in ("_score", "max_score") and value is not None
            kept = _engines_part(value) if name == "_explanation" else value
            changed.append((name, "S" if blank else kept))
        return _pairs(changed)

    return json.loads(body, object_pairs_hook=read, parse_float=str, parse_int=str)


def _engines_part(explanation: list[Any]) -> Any:
    members = dict(explanation[1:])
    ours = str(members["description"]).startswith(("reranked by model", "past the reranked", "not scored by"))
    return members["details"][0] if ours else explanation


def _score_fault(body: bytes) -> str | None:
    """Scores must not rise, and ``max_score`` is no less than any."""
    hits = json.loads(body).get("hits") or {}
    raw = [hit.get("_score") for hit in hits.get("hits", [])]
    scores = [float(score) for score in raw if score is not None]
    if scores != sorted(scores, reverse=True):
        return f"scores rise: {scores}"
    if scores and hits.get("max_score") is not None and float(hits["max_score"]) < scores[0]:
        return f"max_score {hits['max_score']} is below {scores[0]}"
    return None


@dataclass
class Tally:
    """What became of the searches of one run."""

    compared: int = 0
    distinct: int = 0
    answered: int = 0
    """The engine said 200."""
    refused: int = 0
    """It said something else."""
    reranked: int = 0
    """Answered, and ``full`` through the proxy."""
    unstable: int = 0
    """The engine gave two answers itself."""

    def __str__(self) -> str:
        share = 100 * self.reranked / max(1, self.answered)
        return (
            f"{self.compared} searches compared ({self.distinct} distinct): {self.answered} answered, {self.refused} "
            f"refused, {self.reranked} reranked ({share:.0f} % of those answered), {self.unstable} unstable"
        )
