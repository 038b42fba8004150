"""One search from the client's bytes to its answer: a generator that yields what it needs and gets it sent in.

The steps, each in its own function: read the search, find the query text and the fields, ask for the window, render the
documents, have them scored, rank, write the answer. It knows neither sockets nor clocks; whoever drives it does the
I/O, so that a plain search, an item of a multi-search or an explained one take the same way.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from proxy.core.doc_fields import choose_template
from proxy.core.document import field_paths, render
from proxy.core.facts import FactsMemory
from proxy.core.mapping import MappingFacts, name_matches
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
from proxy.core.page import PageWriter, tail_page
from proxy.core.pipelines import PipelineMemory
from proxy.core.query_text import find_query_text
from proxy.core.ranking import Ranking, rank, tail_score
from proxy.core.rawjson import JsonError
from proxy.core.request import Plan, is_json_type, read_search
from proxy.core.response import Hit, SearchAnswer, hits_digest
from proxy.scorer.types import Document, ScoreResult
from proxy.settings import Rule, Template

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
    pipelines: PipelineMemory | None = None
    """What is known of the targets' default pipelines; None: there are none."""


@dataclass(slots=True)
class WindowTrace:
    """The window of a search, for the explain page."""

    hits: list[Hit] = field(default_factory=list)
    documents: list[Document | None] = field(default_factory=list)
    logits: list[float | None] = field(default_factory=list)
    ranking: Ranking | None = None

    @property
    def texts(self) -> list[Document]:
        """The documents of the hits that have a text."""
        return [document for document in self.documents if document is not None]


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
    trace.decisions["page"] = {"from": plan.page_from, "size": plan.page_size, "window": plan.window}
    past_window = plan.page_from >= plan.window
    known = None if past_window else context.outcomes.get(plan.key, b"", plan.page)
    if known is not None:
        return Forwarded(known.outcome, None if known.own_bytes else plan.own_call)
    prepared = yield from _prepare(plan, rule, context, trace)
    if isinstance(prepared, Reason):
        return Forwarded(Outcome(Status.SKIPPED, prepared), plan.own_call)
    if past_window:
        return (yield from _past_window(plan, rule))
    answer: UpstreamAnswer = yield NeedSearch(plan.widened_call(prepared.added_fields))
    trace.add_time("upstream", answer.started, answer.finished)
    read = _read_answer(answer)
    if isinstance(read, Relayed):
        return read
    if isinstance(read, Reason):
        outcome, call = Outcome(Status.FALLBACK, read), _second_call(plan, answer)
        context.outcomes.put(plan.key, b"", Remembered(outcome, plan.page, own_bytes=call is None))
        return Forwarded(outcome, call)
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
    return tuple(
        path for path in field_paths(template) if not any(name_matches(pattern, path) for pattern in plan.asked_fields)
    )


def _past_window(plan: Plan, rule: Rule) -> Generator[Need, Any, Result]:
    """Answer a page behind the window: the engine's own, its scores moved below the window's."""
    outcome = Outcome(Status.SKIPPED, Reason.PAST_WINDOW)
    nothing_changes = rule.scores == "keep" and not rule.hit_details and rule.min_score is None
    if nothing_changes or rule.model == IDENTITY:
        return Forwarded(outcome, plan.own_call)
    search = plan.search
    call = plan.own_call or SearchCall(search.params, search.body, search.content_type)
    answer: UpstreamAnswer = yield NeedSearch(call)
    read = _read_answer(answer, own=True)
    if isinstance(read, Relayed):
        return Relayed(answer, outcome)
    if isinstance(read, Reason):
        return Forwarded(outcome, plan.own_call) if answer.failure else Relayed(answer, outcome)
    page = tail_page(read.hits, plan.page_from, rule)
    max_score = read.max_score if rule.scores == "replace" else None
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
            _ = hit.identity, hit.score, None if own else hit.fields
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
    """Rank the window that has come and write the client's page of it."""
    writer = PageWriter(plan, rule, answer, read, frozenset(prepared.added_fields))
    seen = WindowTrace(read.hits[: plan.window])
    trace.hits = len(seen.hits)
    trace.decisions["window"] = seen
    if not seen.hits or prepared.template is None:
        return writer.engine_order(Outcome(Status.FULL))
    seen.documents = [render(prepared.template, hit.fields, rule.document_tokens) for hit in seen.hits]
    if 2 * len(seen.texts) < len(seen.hits):
        outcome = Outcome(Status.SKIPPED, Reason.NO_TEXT)
        _warn_no_text(trace, seen.hits, prepared.template)
        context.outcomes.put(plan.key, b"", Remembered(outcome, plan.page))
        return writer.engine_order(outcome)
    # The engine has given what the search needs: an earlier failure counts no longer, for the other pages too.
    context.outcomes.forget(plan.key, b"")
    digest = hits_digest(seen.hits)
    known = context.outcomes.get(plan.key, digest, plan.page)
    if known is not None:
        return _as_remembered(writer, seen, known)
    deadline = answer.finished + rule.budget_ms / 1000
    scored: ScoreResult = yield NeedScores(rule.model, prepared.query, seen.texts, rule.document_tokens, deadline)
    trace.add_time("score", scored.started, scored.finished)
    trace.cached = scored.cached
    if scored.error is not None:
        trace.warnings.append((f"model {rule.model}", scored.error))
    outcome = _rank(seen, scored, rule)
    if outcome.status is Status.FULL:
        context.outcomes.forget(plan.key, digest)
    else:
        remembered = Remembered(outcome, plan.page, seen.ranking, tuple(seen.logits))
        context.outcomes.put(plan.key, digest, remembered)
    if seen.ranking is None:
        return writer.engine_order(outcome)
    took_ms = round(1000 * max(0.0, scored.finished - answer.finished)) if context.add_took else 0
    return writer.ranked(seen.ranking, seen.logits, outcome, took_ms)


def _as_remembered(writer: PageWriter, seen: WindowTrace, known: Remembered) -> Rewritten:
    """Write a page in the order in which another page of the same search has been shown."""
    if known.ranking is None:
        return writer.engine_order(known.outcome)
    seen.ranking, seen.logits = known.ranking, list(known.logits)
    return writer.ranked(seen.ranking, seen.logits, known.outcome, 0)


def _rank(seen: WindowTrace, scored: ScoreResult, rule: Rule) -> Outcome:
    """Note the logits and rank by them; nothing is ranked where the model has failed."""
    if scored.error is not None:
        return Outcome(Status.FALLBACK, Reason.MODEL)
    logits = iter(scored.logits)
    has_text = [document is not None for document in seen.documents]
    seen.logits = [next(logits) if has_one else None for has_one in has_text]
    engine_scores = [hit.score for hit in seen.hits]
    seen.ranking = rank(seen.logits, has_text, engine_scores, rule.blend, rule.blend_by, rule.rrf_k)
    if scored.scored < len(seen.texts):
        return Outcome(Status.PARTIAL, Reason.BUDGET, scored.scored, len(seen.texts))
    return Outcome(Status.FULL)


def _warn_no_text(trace: Trace, window: list[Hit], template: Template) -> None:
    sentence = f"fewer than half of the hits have a text in {template}: not reranked; set the rule's text"
    for index in sorted({hit.text("_index") or "" for hit in window}):
        trace.warnings.append((f"index {index}", sentence))
