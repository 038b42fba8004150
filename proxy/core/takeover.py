"""Answers in the cluster's stead where a search brings a reranker of its own and the rule says so.

The search's own reranker is taken out, what is left goes the usual way (`proxy.core.search`), and the page is given the
scores that the reranker would have given. With the rule's ``takeover`` off nothing here is done.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any

from proxy.core.context import Context
from proxy.core.messages import (
    Forwarded,
    Need,
    Outcome,
    Reason,
    Refused,
    RerankGenerator,
    Result,
    Rewritten,
    Search,
    SearchCall,
    Status,
    Trace,
)
from proxy.core.page import rerank_details
from proxy.core.ranking import Ranking, tail_score
from proxy.core.rawjson import Edit, JsonError, apply_edits, object_members, strip_span
from proxy.core.request import is_json_type, with_body_moved
from proxy.core.response import Hit, HitPatch, SearchAnswer, error_body
from proxy.core.search import WindowTrace
from proxy.core.search import rerank as rerank_plain
from proxy.core.takeover_pipeline import NotTaken, PipelineTakeover, take_pipeline
from proxy.core.takeover_retriever import NAME, VALIDATION, Refusal, RetrieverTakeover, read_body, take_retriever
from proxy.settings import Rule

_HARMLESS = frozenset({Reason.ASKED, Reason.SIZE_ZERO, Reason.BUSY, Reason.NO_TEXT, Reason.TEXT_UNAVAILABLE})
"""Reasons for not reranking under which the child retriever's own hits are a right answer."""


def rerank(search: Search, rule: Rule, context: Context, trace: Trace) -> RerankGenerator:
    """Handle a search for which ``rule`` has matched; see `proxy.core.search.rerank`.

    Returns `Refused` where the rule takes rerankers over and this search's cannot be.
    """
    try:
        taken = _take(search, rule) if rule.takeover else None
    except Refusal as refusal:
        return _refused(refusal)
    except NotTaken:
        return Forwarded(Outcome(Status.SKIPPED, Reason.TAKEOVER))
    except (JsonError, RecursionError):
        return Forwarded(Outcome(Status.SKIPPED, Reason.BODY))
    if taken is None:
        return (yield from rerank_plain(search, rule, context, trace))
    trace.decisions["takeover"] = taken.decision
    return (yield from _rerank_taken(taken, rule, context, trace))


def _take(search: Search, rule: Rule) -> RetrieverTakeover | PipelineTakeover | None:
    moved = with_body_moved(search)
    if isinstance(moved, Reason) or b"rerank" not in moved.body or not is_json_type(moved.content_type):
        return None
    body = read_body(moved)
    if body is None:
        return None
    return take_retriever(moved, rule, body) or take_pipeline(moved, rule, body)


def _refused(refusal: Refusal) -> Refused:
    reason = f"rerank proxy: {refusal.reason}"
    return Refused(error_body(400, refusal.kind, reason), Outcome(Status.SKIPPED, Reason.TAKEOVER))


def _rerank_taken(
    taken: RetrieverTakeover | PipelineTakeover, rule: Rule, context: Context, trace: Trace
) -> Generator[Need, Any, Result]:
    search = taken.search
    result: Result = yield from rerank_plain(search, taken.rule, context, trace)
    if isinstance(result, Forwarded):
        reason = result.outcome.reason
        skipped = result.outcome.status is Status.SKIPPED
        if isinstance(taken, RetrieverTakeover) and skipped and reason not in _HARMLESS:
            return _refused(
                Refusal(VALIDATION, f"[{NAME}] is not taken over in such a search ({reason}; see docs/status.md)")
            )
        # The client's own bytes still hold the reranker: without it the cluster can answer.
        call = result.call or SearchCall(search.params, search.body, search.content_type)
        return Forwarded(result.outcome, call)
    if isinstance(taken, RetrieverTakeover) and isinstance(result, Rewritten):
        window = trace.decisions.get("window")
        return _with_scores(taken, rule, result, window if isinstance(window, WindowTrace) else WindowTrace())
    return result


def shown_score(logit: float) -> float:
    """Return ``max(s, 0) + min(e^s, 1)``: Elasticsearch's score of a raw score ``s``, never negative, order kept."""
    return logit + 1.0 if logit >= 0 else math.exp(logit)


def _with_scores(taken: RetrieverTakeover, rule: Rule, result: Rewritten, seen: WindowTrace) -> Rewritten:
    """Give the page the retriever's scores, leave out what is below its ``min_score``, and count the total anew."""
    read = SearchAnswer(result.body)
    hits = [] if taken.no_hits else read.hits
    ranking = seen.ranking
    if ranking is None:
        body = read.with_page([(hit, HitPatch()) for hit in hits]) if taken.no_hits else result.body
        total = len(seen.hits) if taken.counts_window else None
        return Rewritten(result.answer, _with_total(body, total), result.outcome)
    logits = _filled([seen.logits[position] for position in ranking.order])
    scores = _scores(logits, [seen.hits[position].score for position in ranking.order])
    seen.ranking = Ranking(ranking.order, tuple(scores))
    kept = len(scores)
    if taken.min_score is not None:
        kept = sum(logit is not None and logit >= taken.min_score for logit in logits)
    page = []
    for place, hit in enumerate(hits, start=taken.page_from):
        if place < kept:
            page.append((hit, _patch(hit, rule, logits[place], scores[place], place, ranking.order[place])))
    body = read.with_page(page, scores[0] if kept else None)
    if not kept or taken.no_hits:
        body = _without_max_score(body)
    cuts = taken.min_score is not None and taken.min_score > 0
    return Rewritten(result.answer, _with_total(body, kept if cuts or taken.counts_window else None), result.outcome)


def _filled(logits: Sequence[float | None]) -> list[float | None]:
    """Give a hit without text the logit of the one above it; None is left for those behind the last that has one."""
    last = max((place for place, logit in enumerate(logits) if logit is not None), default=-1)
    current = next((logit for logit in logits if logit is not None), None)
    filled: list[float | None] = []
    for place, logit in enumerate(logits):
        current = current if logit is None else logit
        filled.append(current if place <= last else None)
    return filled


def _scores(logits: Sequence[float | None], engine_scores: Sequence[float]) -> list[float]:
    """Return the score of each place; what was not scored stays below what was, in the engine's order."""
    ranked = [shown_score(logit) for logit in logits if logit is not None]
    floor = ranked[-1] if ranked else 1.0
    return ranked + [floor * tail_score(score) for score in engine_scores[len(ranked) :]]


def _patch(hit: Hit, rule: Rule, logit: float | None, score: float, place: int, engine_place: int) -> HitPatch:
    how = "not scored by the reranking model in time"
    if logit is not None:
        how = f"reranked by model {rule.model}, logit {logit:.6g}: max(logit, 0) + min(e^logit, 1)"
    details = rerank_details(hit, score, place, engine_place) if rule.hit_details else None
    return HitPatch(score, how, details=details)


def _without_max_score(body: bytes) -> bytes:
    members = object_members(body, object_members(body, strip_span(body))["hits"].value)
    return apply_edits(body, [Edit(members["max_score"].value, b"null")] if "max_score" in members else [])


def _with_total(body: bytes, total: int | None) -> bytes:
    """Set ``hits.total``, an object or a whole number; where the engine counts less of it, it stays as it is."""
    members = object_members(body, object_members(body, strip_span(body))["hits"].value)
    if total is None or "total" not in members:
        return body
    span = members["total"].value
    if not body.startswith(b"{", span.start):
        return apply_edits(body, [Edit(span, str(total).encode())] if _number(body[slice(*span)]) >= total else [])
    inner = object_members(body, span)
    if _number(body[slice(*inner["value"].value)]) < total:
        return body
    return apply_edits(body, [Edit(inner["value"].value, str(total).encode()), Edit(inner["relation"].value, b'"eq"')])


def _number(raw: bytes) -> int:
    return int(raw) if raw.isdigit() else -1
