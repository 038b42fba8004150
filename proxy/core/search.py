"""One search from the client's bytes to its answer: a generator that yields what it needs and gets it sent in.

The steps, each in its own function: read the search, find the query text and the fields, ask for the window, render the
documents, have them scored, rank, write the answer. It knows neither sockets nor clocks; whoever drives it does the
I/O, so that a plain search, an item of a multi-search or an explained one take the same way.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from proxy.core.doc_fields import choose_template
from proxy.core.document import field_paths, render
from proxy.core.facts import FactsMemory
from proxy.core.mapping import MappingFacts
from proxy.core.messages import (
    Forwarded,
    Need,
    NeedScores,
    NeedSearch,
    Outcome,
    Reason,
    Relayed,
    RerankGenerator,
    Result,
    Rewritten,
    Search,
    SearchCall,
    Status,
    Trace,
    UpstreamAnswer,
    UpstreamFailure,
)
from proxy.core.outcomes import OutcomeMemory, Remembered
from proxy.core.query_text import find_query_text
from proxy.core.ranking import Ranking, rank, tail_score
from proxy.core.rawjson import JsonError
from proxy.core.request import Plan, is_json_type, read_search
from proxy.core.response import Hit, HitPatch, SearchAnswer, hits_digest
from proxy.scorer.types import Document, ScoreResult
from proxy.settings import Rule, Template

_Item = TypeVar("_Item")

IDENTITY = "identity"
"""The model that keeps the engine's order: everything is done but the scoring."""

_NOT_OURS = frozenset({401, 403, 404, 429, 502, 503, 504})
"""Errors that no change of ours can have caused: they are passed on without asking a second time."""


@dataclass(slots=True)
class Context:
    """What outlives a search."""

    outcomes: OutcomeMemory
    facts: FactsMemory
    add_took: bool = True
    """Whether the time for reranking is added to ``took``."""


@dataclass(slots=True)
class WindowTrace:
    """The window of a search, for the explain page."""

    hits: list[Hit] = field(default_factory=list)
    documents: list[Document | None] = field(default_factory=list)
    logits: list[float | None] = field(default_factory=list)
    ranking: Ranking | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What to rank by, and what to read for it."""

    query: str
    template: Template | None
    added_fields: tuple[str, ...]
    """Fields that only we ask for."""


def rerank(search: Search, rule: Rule, context: Context, trace: Trace) -> RerankGenerator:
    """Handle a search for which ``rule`` has matched.

    Yields `NeedSearch`, `NeedLookup` and `NeedScores` and is sent their replies; returns what to answer. Raises
    nothing of its own accord: what cannot be reranked is forwarded or relayed, with the reason in its outcome.
    """
    plan = read_search(search, rule.window)
    if not isinstance(plan, Plan):
        outcome, call = plan
        return Forwarded(outcome, call)
    page = (plan.page_from, plan.page_size)
    trace.decisions["page"] = {"from": page[0], "size": page[1], "window": plan.window}
    known = context.outcomes.get(plan.key, b"", page)
    if known is not None:
        return Forwarded(known.outcome, plan.own_call)
    prepared = yield from _prepare(plan, rule, context, trace)
    if isinstance(prepared, Reason):
        return Forwarded(Outcome(Status.SKIPPED, prepared), plan.own_call)
    if plan.page_from >= plan.window:
        return (yield from _past_window(plan, rule))
    answer: UpstreamAnswer = yield NeedSearch(plan.widened_call(prepared.added_fields))
    trace.add_time("upstream", answer.started, answer.finished)
    read = _read_answer(answer)
    if isinstance(read, Relayed):
        return read
    if isinstance(read, Reason):
        outcome = Outcome(Status.FALLBACK, read)
        context.outcomes.put(plan.key, b"", Remembered(outcome, None, page))
        return Forwarded(outcome, _second_call(plan, answer))
    return (yield from _rerank_window(plan, rule, context, trace, prepared, answer, read))


def _second_call(plan: Plan, answer: UpstreamAnswer) -> SearchCall | None:
    """Return the request to fall back to.

    Only Elasticsearch is known to refuse the part of ``ext`` that we take out. On OpenSearch a pipeline that is the
    index's default may need it, so there the client's own bytes go out.
    """
    return plan.own_call if answer.header("x-elastic-product") is not None else None


def _prepare(plan: Plan, rule: Rule, context: Context, trace: Trace) -> Generator[Need, Any, _Prepared | Reason]:
    if rule.model == IDENTITY:
        return _Prepared("", None, ())
    query = find_query_text(plan.body, plan.query_text)
    if query is None:
        return Reason.NO_QUERY_TEXT
    trace.decisions["query_text"] = {"text": query.text, "source": query.source}
    template = rule.text
    if template is None:
        facts = yield from _look_up(plan.search, context, trace)
        if facts is None or not facts.without_source:
            template = choose_template(query.clauses, facts, rule.document_tokens)
        trace.decisions["mapping"] = "read" if facts is not None else "not readable with the search's credentials"
    if template is None:
        return Reason.TEXT_UNAVAILABLE
    trace.decisions["text"] = str(template)
    return _Prepared(query.text, template, _added_fields(plan, template))


def _look_up(search: Search, context: Context, trace: Trace) -> Generator[Need, Any, MappingFacts | None]:
    """Look the mapping's facts up and note how long the engine took for it."""
    lookup = context.facts.look_up(search)
    try:
        need = next(lookup)
        while True:
            answer: UpstreamAnswer = yield need
            trace.add_time("mapping", answer.started, answer.finished)
            need = lookup.send(answer)
    except StopIteration as found:
        facts: MappingFacts | None = found.value
        return facts


def _added_fields(plan: Plan, template: Template) -> tuple[str, ...]:
    """Return the template's fields that the client does not ask for himself."""
    asked = [entry if isinstance(entry, str) else entry.get("field") for entry in plan.body.get("fields", [])]
    patterns = [pattern.replace("[", "[[]") for pattern in asked if isinstance(pattern, str)]
    return tuple(
        path for path in field_paths(template) if not any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
    )


def _past_window(plan: Plan, rule: Rule) -> Generator[Need, Any, Result]:
    """Answer a page behind the window: the engine's own, its scores moved below the window's."""
    outcome = Outcome(Status.SKIPPED, Reason.PAST_WINDOW)
    if rule.scores == "keep" or rule.model == IDENTITY:
        return Forwarded(outcome, plan.own_call)
    search = plan.search
    call = plan.own_call or SearchCall(search.params, search.body, search.content_type)
    answer: UpstreamAnswer = yield NeedSearch(call)
    read = _read_answer(answer, own=True)
    if isinstance(read, Relayed):
        return Relayed(answer, outcome)
    if isinstance(read, Reason):
        return Forwarded(outcome, plan.own_call) if answer.failure else Relayed(answer, outcome)
    page = [(hit, HitPatch(tail_score(hit.score))) for hit in read.hits]
    max_score = read.max_score
    body = read.with_page(page, max_score=None if max_score is None else tail_score(max_score))
    return Rewritten(answer, body, outcome)


def _read_answer(answer: UpstreamAnswer, own: bool = False) -> SearchAnswer | Relayed | Reason:
    """Return the answer's parts; or that it is to be passed on; or why the client's own request is to be sent.

    ``own``: it answers the client's own request, so that failed shards are the engine's word.
    """
    relayed = Relayed(answer, Outcome(Status.FALLBACK, Reason.UPSTREAM_ERROR))
    if answer.failure is UpstreamFailure.UNREACHABLE:
        return relayed
    if answer.failure is not None:
        return {
            UpstreamFailure.TOO_LARGE: Reason.ANSWER_TOO_LARGE,
            UpstreamFailure.BUSY: Reason.BUSY,
        }.get(answer.failure, Reason.UNPARSABLE)
    if answer.status in _NOT_OURS:
        return relayed
    if answer.status != 200:
        return Reason.UPSTREAM_ERROR
    if not is_json_type(answer.header("content-type")):
        return Reason.UNPARSABLE
    try:
        read = SearchAnswer(answer.body)
        for hit in read.hits:
            _ = hit.identity, hit.score
    except JsonError:
        return Reason.UNPARSABLE
    return Reason.SHARD_FAILURES if read.failed_shards and not own else read


def _rerank_window(
    plan: Plan,
    rule: Rule,
    context: Context,
    trace: Trace,
    prepared: _Prepared,
    answer: UpstreamAnswer,
    read: SearchAnswer,
) -> Generator[Need, Any, Result]:
    writer = _PageWriter(plan, rule, prepared, answer, read)
    window = read.hits[: plan.window]
    trace.hits = len(window)
    seen = WindowTrace(hits=window)
    trace.decisions["window"] = seen
    if not window:
        return writer.engine_order(Outcome(Status.FULL))
    if prepared.template is None:
        ranking = rank([0.0] * len(window), [True] * len(window), [hit.score for hit in window])
        return writer.ranked(ranking, Outcome(Status.FULL), 0)
    documents = [render(prepared.template, hit.fields, rule.document_tokens) for hit in window]
    seen.documents = documents
    page = (plan.page_from, plan.page_size)
    if 2 * sum(document is not None for document in documents) < len(window):
        outcome = Outcome(Status.SKIPPED, Reason.NO_TEXT)
        _warn_no_text(trace, window, prepared.template)
        context.outcomes.put(plan.key, b"", Remembered(outcome, None, page))
        return writer.engine_order(outcome)
    digest = hits_digest(window)
    known = context.outcomes.get(plan.key, digest, page)
    if known is not None:
        seen.ranking = known.ranking
        if known.ranking is None:
            return writer.engine_order(known.outcome)
        return writer.ranked(known.ranking, known.outcome, 0)
    texts = [document for document in documents if document is not None]
    deadline = answer.finished + rule.budget_ms / 1000
    scored: ScoreResult = yield NeedScores(rule.model, prepared.query, texts, rule.document_tokens, deadline)
    trace.add_time("score", scored.started, scored.finished)
    trace.cached = scored.cached
    if scored.error is not None:
        outcome = Outcome(Status.FALLBACK, Reason.MODEL)
        trace.warnings.append((f"model {rule.model}", scored.error))
        context.outcomes.put(plan.key, digest, Remembered(outcome, None, page))
        return writer.engine_order(outcome)
    logits = iter(scored.logits)
    seen.logits = [next(logits) if document is not None else None for document in documents]
    ranking = rank(
        seen.logits, [document is not None for document in documents], [hit.score for hit in window], rule.blend
    )
    seen.ranking = ranking
    outcome = Outcome(Status.FULL)
    if scored.scored < len(texts):
        outcome = Outcome(Status.PARTIAL, Reason.BUDGET, scored.scored, len(texts))
        context.outcomes.put(plan.key, digest, Remembered(outcome, ranking, page))
    else:
        context.outcomes.forget(plan.key, digest)
    took_ms = round(1000 * max(0.0, scored.finished - answer.finished)) if context.add_took else 0
    return writer.ranked(ranking, outcome, took_ms, seen.logits)


def _warn_no_text(trace: Trace, window: list[Hit], template: Template) -> None:
    for index in sorted({hit.text("_index") or "" for hit in window}):
        trace.warnings.append(
            (
                f"index {index}",
                f"fewer than half of the hits have a text in {template}: not reranked; set the rule's text",
            )
        )


@dataclass(frozen=True, slots=True)
class _PageWriter:
    """Cuts the client's page out of the window and writes it."""

    plan: Plan
    rule: Rule
    prepared: _Prepared
    answer: UpstreamAnswer
    read: SearchAnswer

    def engine_order(self, outcome: Outcome) -> Rewritten:
        """Write the page as the engine would have."""
        drop = frozenset(self.prepared.added_fields)
        page = [(hit, HitPatch(drop_fields=drop)) for hit in self._page(self.read.hits)]
        return Rewritten(self.answer, self.read.with_page(page), outcome)

    def ranked(
        self, ranking: Ranking, outcome: Outcome, took_ms: int, logits: list[float | None] | None = None
    ) -> Rewritten:
        """Write the page out of the window in its new order and, behind it, the tail in the engine's."""
        drop = frozenset(self.prepared.added_fields)
        replace = self.rule.scores == "replace" and self.prepared.template is not None
        entries: list[tuple[Hit, HitPatch]] = []
        for position, score in zip(ranking.order, ranking.scores, strict=True):
            explanation = self._explanation(logits[position] if logits else None) if replace else None
            patch = HitPatch(score if replace else None, explanation, drop)
            entries.append((self.read.hits[position], patch))
        for hit in self.read.hits[len(ranking.order) :]:
            explanation = "past the reranked window: s / (1 + s) of the engine's score" if replace else None
            entries.append((hit, HitPatch(tail_score(hit.score) if replace else None, explanation, drop)))
        max_score = ranking.scores[0] if replace else None
        body = self.read.with_page(self._page(entries), max_score, took_ms)
        return Rewritten(self.answer, body, outcome)

    def _page(self, items: list[_Item]) -> list[_Item]:
        return items[self.plan.page_from : self.plan.page_end]

    def _explanation(self, logit: float | None) -> str | None:
        if not self.plan.explain:
            return None
        if logit is None:
            return "not scored by the reranking model; its place follows from the engine's order"
        how = (
            "1 + sigmoid(logit)" if self.rule.blend == 0 else f"1 + blend of logit and engine score ({self.rule.blend})"
        )
        return f"reranked by model {self.rule.model}, logit {logit:.6g}: {how}"
