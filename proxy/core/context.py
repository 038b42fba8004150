"""What the core keeps over searches."""

from __future__ import annotations

from dataclasses import dataclass, field

from cachetools import LRUCache, TTLCache

from proxy.core.facts import FactsMemory
from proxy.core.outcomes import MaxScores, OutcomeMemory
from proxy.core.pits import PitMemory
from proxy.core.two_phase import HitSizes
from proxy.settings import TargetPattern, Template

IDENTITY = "identity"
"""The model that keeps the engine's order: everything is done but the scoring."""

_MAX_PROBLEMS = 1000
_LIMITS_KEPT_S = 600


@dataclass(slots=True)
class Context:
    """What outlives a search."""

    outcomes: OutcomeMemory
    facts: FactsMemory
    add_took: bool = True
    """Whether the time for reranking is added to ``took``."""
    texts: tuple[tuple[TargetPattern, Template | None], ...] = ()
    """The rules' targets and texts: a hit of a search over several indices has its own index's text."""
    problems: LRUCache[str, str] = field(default_factory=lambda: LRUCache(_MAX_PROBLEMS))
    """What is wrong with a target for the rule that matches it, by target; for the health page."""
    limits: TTLCache[str, int] = field(default_factory=lambda: TTLCache(_MAX_PROBLEMS, _LIMITS_KEPT_S))
    """How many hits a target gives at most, where that is fewer than a window: ``index.max_result_window``."""
    max_scores: MaxScores = field(default_factory=MaxScores)
    pits: PitMemory = field(default_factory=PitMemory)
    sizes: HitSizes = field(default_factory=HitSizes)
    elasticsearch: bool | None = None
    """Which engine answers: Elasticsearch or OpenSearch; None: none has answered yet."""
