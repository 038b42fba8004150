"""Cuts the client's page out of the window and writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from proxy.core.messages import Outcome, Rewritten, UpstreamAnswer
from proxy.core.ranking import Ranking, tail_score
from proxy.core.request import Plan
from proxy.core.response import Hit, HitPatch, SearchAnswer
from proxy.settings import Rule

_Item = TypeVar("_Item")

_TAIL_EXPLANATION = "past the reranked window: s / (1 + s) of the engine's score"


def tail_patch(hit: Hit, drop_fields: frozenset[str] = frozenset()) -> HitPatch:
    """Return what changes in a hit behind the window: its score goes below the window's."""
    return HitPatch(tail_score(hit.score), _TAIL_EXPLANATION, drop_fields)


@dataclass(frozen=True, slots=True)
class PageWriter:
    """Writes the client's page from the answer to the widened search."""

    plan: Plan
    rule: Rule
    answer: UpstreamAnswer
    read: SearchAnswer
    added_fields: frozenset[str]
    """Fields that only we asked for; they are taken out again."""

    def engine_order(self, outcome: Outcome) -> Rewritten:
        """Write the page as the engine would have."""
        page = [(hit, HitPatch(drop_fields=self.added_fields)) for hit in self._page(self.read.hits)]
        return Rewritten(self.answer, self.read.with_page(page), outcome)

    def ranked(
        self, ranking: Ranking, logits: Sequence[float | None], outcome: Outcome, extra_took_ms: int
    ) -> Rewritten:
        """Write the page out of the window in its new order and, behind it, the tail in the engine's.

        Args:
            ranking: of the window's hits.
            logits: of the window's hits, in the engine's order; for explanations.
            outcome: what to say of it.
            extra_took_ms: added to ``took``.
        """
        replace = self.rule.scores == "replace"
        keep = HitPatch(drop_fields=self.added_fields)
        entries = []
        for position, score in zip(ranking.order, ranking.scores, strict=True):
            patch = HitPatch(score, self._explanation(logits[position]), self.added_fields) if replace else keep
            entries.append((self.read.hits[position], patch))
        tail = self.read.hits[len(ranking.order) :]
        entries += [(hit, tail_patch(hit, self.added_fields) if replace else keep) for hit in tail]
        max_score = ranking.scores[0] if replace else None
        body = self.read.with_page(self._page(entries), max_score, extra_took_ms)
        return Rewritten(self.answer, body, outcome)

    def _page(self, items: list[_Item]) -> list[_Item]:
        return items[self.plan.page_from : self.plan.page_end]

    def _explanation(self, logit: float | None) -> str:
        if logit is None:
            return "not scored by the reranking model; its place follows from the engine's order"
        blend = self.rule.blend
        how = f"1 + blend of logit and engine score ({blend})" if blend else "1 + sigmoid(logit)"
        return f"reranked by model {self.rule.model}, logit {logit:.6g}: {how}"
