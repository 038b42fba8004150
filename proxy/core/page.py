"""Cuts the client's page out of the window and writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from proxy.core.messages import Outcome, Rewritten, UpstreamAnswer
from proxy.core.ranking import Ranking, tail_score
from proxy.core.request import Plan
from proxy.core.response import Hit, HitPatch, SearchAnswer, format_score
from proxy.settings import Rule

_Item = TypeVar("_Item")

_TAIL_EXPLANATION = "past the reranked window: s / (1 + s) of the engine's score"


def tail_page(hits: Sequence[Hit], start: int, rule: Rule) -> list[tuple[Hit, HitPatch]]:
    """Return a page of the engine's own order from behind the window; ``start`` is its first hit's position."""
    entries = [_tail_entry(hit, start + place, rule, frozenset()) for place, hit in enumerate(hits)]
    return [(entry.hit, entry.patch) for entry in entries if entry.stays(rule)]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A hit in its new place."""

    hit: Hit
    score: float
    """Ours, whether it is shown or not."""
    patch: HitPatch

    def stays(self, rule: Rule) -> bool:
        return rule.min_score is None or self.score >= rule.min_score


def _tail_entry(hit: Hit, position: int, rule: Rule, drop_fields: frozenset[str]) -> _Entry:
    score = tail_score(hit.score)
    details = rerank_details(hit, score, position, position) if rule.hit_details else None
    if rule.scores == "keep":
        return _Entry(hit, score, HitPatch(drop_fields=drop_fields, details=details))
    return _Entry(hit, score, HitPatch(score, _TAIL_EXPLANATION, drop_fields, details))


def rerank_details(hit: Hit, score: float, position: int, engine_position: int) -> bytes:
    """Write what a hit's ``_rerank`` says: both scores, both ranks counted from 1 over all pages."""
    original = hit.raw("_score") or b"null"
    return b'{"score":%b,"rank":%d,"original_score":%b,"original_rank":%d}' % (
        format_score(score),
        position + 1,
        original,
        engine_position + 1,
    )


@dataclass(frozen=True, slots=True)
class Page:
    """The client's page: which hits, and what changes in each."""

    answer: UpstreamAnswer
    read: SearchAnswer
    entries: Sequence[tuple[Hit, HitPatch]]
    outcome: Outcome
    max_score: float | None = None
    extra_took_ms: int = 0

    def with_hits(self, hits: Sequence[Hit]) -> Page:
        """Return the page with the hits as another search has given them; scores stay this one's."""
        entries = [
            (hit, replace(patch, drop_fields=frozenset(), engine_score=own.raw("_score")))
            for hit, (own, patch) in zip(hits, self.entries, strict=True)
        ]
        return replace(self, entries=entries)

    def written(self) -> Rewritten:
        """Write it into the answer."""
        body = self.read.with_page(self.entries, self.max_score, self.extra_took_ms)
        return Rewritten(self.answer, body, self.outcome)


@dataclass(frozen=True, slots=True)
class PageWriter:
    """Chooses the client's page from the answer to the widened search."""

    plan: Plan
    rule: Rule
    answer: UpstreamAnswer
    read: SearchAnswer
    added_fields: frozenset[str]
    """Fields that only we asked for; they are taken out again."""

    def engine_order(self, outcome: Outcome) -> Page:
        """Return the page as the engine would have it."""
        page = [(hit, HitPatch(drop_fields=self.added_fields)) for hit in self._page(self.read.hits)]
        return Page(self.answer, self.read, page, outcome)

    def ranked(self, ranking: Ranking, logits: Sequence[float | None], outcome: Outcome, extra_took_ms: int) -> Page:
        """Return the page out of the window in its new order and, behind it, the tail in the engine's.

        Args:
            ranking: of the window's hits.
            logits: of the window's hits, in the engine's order; for explanations.
            outcome: what to say of it.
            extra_took_ms: added to ``took``.
        """
        rule, replaces = self.rule, self.rule.scores == "replace"
        entries = []
        for place, (position, score) in enumerate(zip(ranking.order, ranking.scores, strict=True)):
            hit = self.read.hits[position]
            details = rerank_details(hit, score, place, position) if rule.hit_details else None
            patch = HitPatch(drop_fields=self.added_fields, details=details)
            if replaces:
                patch = HitPatch(score, self._explanation(logits[position]), self.added_fields, details)
            entries.append(_Entry(hit, score, patch))
        window = len(entries)
        for place, hit in enumerate(self.read.hits[window:]):
            entries.append(_tail_entry(hit, window + place, rule, self.added_fields))
        page = [(entry.hit, entry.patch) for entry in self._page(entries) if entry.stays(rule)]
        max_score = ranking.scores[0] if replaces else None
        return Page(self.answer, self.read, page, outcome, max_score, extra_took_ms)

    def _page(self, items: list[_Item]) -> list[_Item]:
        return items[self.plan.page_from : self.plan.page_end]

    def _explanation(self, logit: float | None) -> str:
        if logit is None:
            return "not scored by the reranking model; its place follows from the engine's order"
        rule = self.rule
        how = (
            f"1 + blend of logit and engine score ({rule.blend}, {rule.blend_by})"
            if rule.blend
            else "1 + sigmoid(logit)"
        )
        return f"reranked by model {self.rule.model}, logit {logit:.6g}: {how}"
