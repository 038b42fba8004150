"""One search from the client's bytes to its answer: a generator that yields what it needs and gets it sent in.

The steps, each in its own function: read the search, find the query text and the fields, ask for the window, render the
documents, have them scored, rank, write the answer. It knows neither sockets nor clocks; whoever drives it does the
I/O, so that a plain search, an item of a multi-search or an explained one take the same way.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from proxy.core.by_index import Group, group_hits
from proxy.core.context import IDENTITY, Context
from proxy.core.document import render
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
from proxy.core.outcomes import Remembered
from proxy.core.page import Page, PageWriter, tail_page
from proxy.core.prepare import Prepared, prepare
from proxy.core.ranking import Ranking, rank
from proxy.core.rawjson import JsonError
from proxy.core.request import Plan, is_json_type, read_search
from proxy.core.response import Hit, SearchAnswer, hits_digest
from proxy.core.two_phase import Shape, counterparts
from proxy.scorer.types import Document, ScoreResult
from proxy.settings import Rule, Template

_TOO_WIDE = re.compile(rb"from \+ size must be less than or equal to: \[(\d{1,9})\]")
"""What both engines say of a window above ``index.max_result_window``, as an error or among failed shards."""
_NOT_OURS = frozenset({401, 403, 404, 429, 502, 503, 504})
"""Errors that no change of ours can have caused: they are passed on without asking a second time."""
_TOO_MUCH = b'"circuit_breaking_exception"'
"""Unless they say so: the engine has no room for the window's hits, and may have it for the page's."""


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


def rerank(search: Search, rule: Rule, context: Context, trace: Trace) -> RerankGenerator:
    """Handle a search for which ``rule`` has matched.

    Yields `NeedSearch`, `NeedLookup` and `NeedScores` and is sent their replies; returns what to answer. Raises
    nothing of its own accord: what cannot be reranked is forwarded or relayed, with the reason in its outcome.
    """
    plan = read_search(search, rule)
    if not isinstance(plan, Plan):
        outcome, call = plan
        return Forwarded(outcome, call)
    result = yield from _handle(plan, rule, context, trace)
    if plan.filter is None or not isinstance(result, Rewritten):
        return result
    try:
        return replace(result, body=plan.filter.apply(result.body, is_elasticsearch(result.answer)))
    except JsonError:
        return Forwarded(Outcome(Status.FALLBACK, Reason.UNPARSABLE), plan.own_call)


def _handle(plan: Plan, rule: Rule, context: Context, trace: Trace) -> RerankGenerator:
    narrow = context.limits.get(plan.searched)
    if narrow is not None and plan.page_end <= narrow:
        plan = replace(plan, window=min(plan.window, narrow))
    trace.decisions["page"] = {"from": plan.page_from, "size": plan.page_size, "window": plan.window}
    past_window = plan.page_from >= plan.window
    known = None if past_window else context.outcomes.get(plan.key, b"", plan.page)
    if known is not None:
        return Forwarded(known.outcome, None if known.own_bytes else plan.own_call)
    prepared = yield from prepare(plan, rule, context, trace)
    if isinstance(prepared, Reason):
        # A pipeline may hold a rerank processor of its own, which needs the `ext` that is ours elsewhere.
        call = None if prepared is Reason.PIPELINE else plan.own_call
        return Forwarded(Outcome(Status.SKIPPED, prepared), call)
    if past_window:
        return (yield from _past_window(plan, rule, context))
    try:
        return (yield from _ask_and_rank(plan, rule, context, trace, prepared))
    except _TooWide as too_wide:
        # From now on every page of such searches has this window.
        context.limits[plan.searched] = too_wide.most
        trace.decisions["page"]["window"] = min(plan.window, too_wide.most)
        narrower = replace(plan, window=min(plan.window, too_wide.most))
        if plan.page_from >= narrower.window:
            return (yield from _past_window(narrower, rule, context))
        return (yield from _ask_and_rank(narrower, rule, context, trace, prepared, may_narrow=False))


class _TooWide(Exception):
    """An index gives fewer hits than the window holds."""

    def __init__(self, most: int) -> None:
        super().__init__(f"at most {most} hits")
        self.most = most


def _ask_and_rank(
    plan: Plan, rule: Rule, context: Context, trace: Trace, prepared: Prepared, may_narrow: bool = True
) -> RerankGenerator:
    """Ask in one phase or in two.

    Raises:
        _TooWide: ``may_narrow``, and the window is larger than an index allows.
    """
    shape = None if prepared.piped else plan.shape()
    in_two = shape is not None and _in_two(shape, plan, rule, prepared, context)
    if in_two:
        trace.decisions["phases"] = 2
        result = yield from _two_phases(plan, rule, context, trace, prepared, may_narrow)
        if result is not None:
            return result
    trace.decisions["phases"] = 1
    result = yield from _one_phase(plan, rule, context, trace, prepared, shape, may_narrow)
    if in_two and shape is not None and isinstance(result, Rewritten):
        context.sizes.refuse(shape)
    return result


def _check_width(plan: Plan, answer: UpstreamAnswer, may_narrow: bool) -> None:
    """Raise `_TooWide` where an answer complains of a window that only ours is too large for."""
    match = _TOO_WIDE.search(answer.body) if may_narrow and answer.failure is None else None
    if match and plan.page_end <= int(match[1]) < plan.reach:
        raise _TooWide(int(match[1]))


def _in_two(shape: Shape, plan: Plan, rule: Rule, prepared: Prepared, context: Context) -> bool:
    """Say whether window and page are asked for by a search each: where it pays, or where a second is needed anyway."""
    spared = plan.reach - plan.page_size
    return context.sizes.pays(shape, spared, 0 if prepared.apart else rule.two_phase_bytes)


def _two_phases(
    plan: Plan, rule: Rule, context: Context, trace: Trace, prepared: Prepared, may_narrow: bool
) -> Generator[Need, Any, Result | None]:
    """Ask for the window bare, rank it, and ask for the page; None: it cannot be done so."""
    fields = () if prepared.texts is None else prepared.texts.paths()
    answer = yield from _ask(plan.window_call(fields), context, trace, "upstream")
    read = _read_answer(answer, plan)
    if isinstance(read, Relayed):
        return read
    if isinstance(read, Reason):
        _check_width(plan, answer, may_narrow)
        return None
    bare = replace(prepared, added_fields=(), apart=())
    page = yield from _rerank_window(plan, rule, context, trace, bare, answer, read)
    if not page.entries:
        return page.written()
    window = [hit for hit, _ in page.entries]
    call = plan.hits_call(window)
    if call is None:
        return None
    fetched = yield from _ask(call, context, trace, "page")
    found = _read_answer(fetched, plan)
    hits = counterparts(window, found.hits) if isinstance(found, SearchAnswer) else None
    if hits is None or not isinstance(found, SearchAnswer):
        return None
    took_ms = page.extra_took_ms + (found.took_ms or 0 if context.add_took else 0)
    return replace(page.with_hits(hits), extra_took_ms=took_ms).written()


def _one_phase(
    plan: Plan,
    rule: Rule,
    context: Context,
    trace: Trace,
    prepared: Prepared,
    shape: Shape | None,
    may_narrow: bool,
) -> RerankGenerator:
    """Ask for the window as the client asks for his page, rank it and cut the page out of it."""
    answer = yield from _ask(plan.widened_call(prepared.added_fields), context, trace, "upstream")
    read = _read_answer(answer, plan)
    if isinstance(read, Relayed):
        return read
    if isinstance(read, Reason):
        _check_width(plan, answer, may_narrow)
        outcome, call = Outcome(Status.FALLBACK, read), _second_call(plan, answer)
        context.outcomes.put(plan.key, b"", Remembered(outcome, plan.page, own_bytes=call is None))
        context.max_scores.put(plan.key, None, None)
        return Forwarded(outcome, call)
    if shape is not None:
        context.sizes.note(shape, len(answer.body), len(read.hits))
    page = yield from _rerank_window(plan, rule, context, trace, prepared, answer, read)
    return page.written()


def _ask(call: SearchCall, context: Context, trace: Trace, phase: str) -> Generator[Need, Any, UpstreamAnswer]:
    """Send a search and note how long it took."""
    answer: UpstreamAnswer = yield NeedSearch(call)
    trace.add_time(phase, answer.started, answer.finished)
    if answer.failure is None:
        context.elasticsearch = is_elasticsearch(answer)
    return answer


def _second_call(plan: Plan, answer: UpstreamAnswer) -> SearchCall | None:
    """Return the request to fall back to.

    Only Elasticsearch is known to refuse the part of ``ext`` that we take out. On OpenSearch a pipeline that is the
    index's default may need it, so there the client's own bytes go out.
    """
    return plan.own_call if is_elasticsearch(answer) else None


def cannot_be_ours(answer: UpstreamAnswer) -> bool:
    """Say whether an answer is an error that no change of ours can have caused."""
    return answer.status in _NOT_OURS and _TOO_MUCH not in answer.body


def is_elasticsearch(answer: UpstreamAnswer) -> bool:
    """Say whether an answer is Elasticsearch's, not OpenSearch's."""
    return answer.header("x-elastic-product") is not None


def _with_parents(paths: Iterable[str]) -> Iterator[str]:
    """Yield the keys under which fields can stand in a hit: Elasticsearch puts nested ones under their object's."""
    for path in paths:
        steps = path.split(".")
        yield from (".".join(steps[:count]) for count in range(1, len(steps) + 1))


def _past_window(plan: Plan, rule: Rule, context: Context) -> Generator[Need, Any, Result]:
    """Answer a page behind the window: the engine's own, its scores moved below the window's."""
    outcome = Outcome(Status.SKIPPED, Reason.PAST_WINDOW)
    nothing_changes = rule.scores == "keep" and not rule.hit_details and rule.min_score is None
    if nothing_changes or rule.model == IDENTITY:
        return Forwarded(outcome, plan.own_call)
    search = plan.search
    own = plan.own_call or SearchCall(search.params, search.body, search.content_type)
    answer: UpstreamAnswer = yield NeedSearch(own if plan.filter is None else plan.page_call())
    read = _read_answer(answer, plan, own=True)
    if isinstance(read, Relayed):
        return Relayed(answer, outcome)
    if isinstance(read, Reason):
        return Forwarded(outcome, plan.own_call) if answer.failure or plan.filter else Relayed(answer, outcome)
    page = tail_page(read.hits, plan.page_from, rule)
    max_score = None
    if rule.scores == "replace" and read.max_score is not None:
        max_score = context.max_scores.get(plan.key, read.max_score)
    body = read.with_page(page, max_score)
    return Rewritten(answer, body, outcome)


def _read_answer(answer: UpstreamAnswer, plan: Plan, own: bool = False) -> SearchAnswer | Relayed | Reason:
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
    if cannot_be_ours(answer):
        return relayed
    if answer.status != 200:
        return Reason.UPSTREAM_ERROR
    if not is_json_type(answer.header("content-type")):
        return Reason.UNPARSABLE
    try:
        read = SearchAnswer(answer.body, filtered=plan.filter is not None or plan.search.filtered)
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
    prepared: Prepared,
    answer: UpstreamAnswer,
    read: SearchAnswer,
) -> Generator[Need, Any, Page]:
    """Rank the window that has come, choose the client's page of it, and note its ``max_score`` for those behind."""
    writer = PageWriter(plan, rule, answer, read, frozenset(_with_parents(prepared.added_fields)))
    seen = WindowTrace(read.hits[: plan.window])
    trace.hits, trace.model = len(seen.hits), rule.model
    trace.decisions["window"] = seen
    page = yield from _rank_window(writer, seen, context, trace, prepared)
    context.max_scores.put(plan.key, read.max_score, page.max_score)
    return page


def _rank_window(
    writer: PageWriter, seen: WindowTrace, context: Context, trace: Trace, prepared: Prepared
) -> Generator[Need, Any, Page]:
    """Rank the window, or leave it in the engine's order; what other pages are to agree with is remembered."""
    plan, rule = writer.plan, writer.rule
    if not seen.hits or prepared.texts is None:
        return writer.engine_order(Outcome(Status.FULL))
    unread = yield from _read_texts(plan, rule, trace, prepared, seen)
    if unread is not None:
        context.outcomes.put(plan.key, b"", Remembered(unread, plan.page))
        return writer.engine_order(unread)
    # The engine has given what the search needs: an earlier failure counts no longer, for the other pages too.
    context.outcomes.forget(plan.key, b"")
    if len(seen.hits) == 1 and not _logit_shows(plan, rule):
        trace.decisions["not_scored"] = "the window's only hit has the same score whatever the model says"
        seen.logits, seen.ranking = [None], _ranking(seen, [0.0], rule)
        return writer.ranked(seen.ranking, seen.logits, Outcome(Status.FULL), 0)
    digest = hits_digest(seen.hits)
    known = context.outcomes.get(plan.key, digest, plan.page)
    if known is not None:
        return _as_remembered(writer, seen, known)
    deadline = writer.answer.finished + rule.budget_ms / 1000
    need = NeedScores(rule.model, prepared.query, seen.texts, rule.document_tokens, deadline, rule.chunks)
    scored: ScoreResult = yield need
    trace.add_time("score", scored.started, scored.finished)
    trace.cached = scored.cached
    trace.rerank_ms = 1000 * max(0.0, scored.finished - writer.answer.finished)
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
    return writer.ranked(seen.ranking, seen.logits, outcome, round(trace.rerank_ms) if context.add_took else 0)


def _read_texts(
    plan: Plan, rule: Rule, trace: Trace, prepared: Prepared, seen: WindowTrace
) -> Generator[Need, Any, Outcome | None]:
    """Note the documents of the window's hits; return why they cannot be ranked by them."""
    assert prepared.texts is not None
    values: list[dict[str, Any]] | Reason = [hit.fields for hit in seen.hits]
    if prepared.apart or prepared.by_index is not None:
        values = yield from _fetch_texts(plan, seen.hits, prepared, trace)
    if isinstance(values, Reason):
        return Outcome(Status.FALLBACK, values)
    reach = rule.document_tokens * rule.chunks
    seen.documents = [
        render(prepared.texts.of(hit.text("_index")), one, reach, rule.html)
        for hit, one in zip(seen.hits, values, strict=True)
    ]
    if 2 * len(seen.texts) < len(seen.hits):
        _warn_no_text(trace, seen.hits, prepared.texts.default)
        return Outcome(Status.SKIPPED, Reason.NO_TEXT)
    return None


def _fetch_texts(
    plan: Plan, hits: list[Hit], prepared: Prepared, trace: Trace
) -> Generator[Need, Any, list[dict[str, Any]] | Reason]:
    """Fetch the fields of the hits by searches of their own; a hit that those no longer find has none."""
    groups = [Group(prepared.apart)]
    if prepared.by_index is not None and prepared.texts is not None:
        groups = group_hits(hits, prepared.texts.paths(), prepared.by_index)
    found: dict[tuple[bytes | None, ...], dict[str, Any]] = {}
    for group in groups:
        call = plan.group_call(group) if group.hits else plan.texts_call(group.fields)
        answer: UpstreamAnswer = yield NeedSearch(call)
        trace.add_time("texts", answer.started, answer.finished)
        read = _read_answer(answer, plan)
        if not isinstance(read, SearchAnswer):
            return Reason.UPSTREAM_ERROR if isinstance(read, Relayed) else read
        found.update((hit.identity, group.values(hit.fields)) for hit in read.hits)
    return [found.get(hit.identity, {}) for hit in hits]


def _as_remembered(writer: PageWriter, seen: WindowTrace, known: Remembered) -> Page:
    """Return a page in the order in which another page of the same search has been shown."""
    if known.ranking is None:
        return writer.engine_order(known.outcome)
    seen.ranking, seen.logits = known.ranking, list(known.logits)
    return writer.ranked(seen.ranking, seen.logits, known.outcome, 0)


def _rank(seen: WindowTrace, scored: ScoreResult, rule: Rule) -> Outcome:
    """Note the logits and rank by them; nothing is ranked where the model has failed."""
    if scored.error is not None:
        return Outcome(Status.FALLBACK, Reason.MODEL)
    logits = iter(scored.logits)
    seen.logits = [None if document is None else next(logits) for document in seen.documents]
    seen.ranking = _ranking(seen, seen.logits, rule)
    if scored.scored < len(seen.texts):
        return Outcome(Status.PARTIAL, Reason.BUDGET, scored.scored, len(seen.texts))
    return Outcome(Status.FULL)


def _ranking(seen: WindowTrace, logits: Sequence[float | None], rule: Rule) -> Ranking:
    stays = [document is None and rule.textless_hits == "stay" for document in seen.documents]
    engine_scores = [hit.score for hit in seen.hits]
    return rank(logits, stays, engine_scores, rule.blend, rule.blend_by, rule.rrf_k)


def _logit_shows(plan: Plan, rule: Rule) -> bool:
    """Say whether the logit of a window's only hit can be told from the answer.

    Blended, it cannot: scaled over a window of one hit, or ranked in it, all logits are alike.
    """
    if plan.search.taken_over or (plan.explain and rule.scores == "replace"):
        return True
    return rule.blend == 0 and (rule.scores == "replace" or rule.hit_details or rule.min_score is not None)


def _warn_no_text(trace: Trace, window: list[Hit], template: Template) -> None:
    sentence = f"fewer than half of the hits have a text in {template}: not reranked; set the rule's text"
    for index in sorted({hit.text("_index") or "" for hit in window}):
        trace.warnings.append((f"index {index}", sentence))
