"""Remembers for a short time what became of a search, so that all its pages tell the same story."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TTLCache

from proxy.core.messages import Outcome
from proxy.core.ranking import Ranking


@dataclass(frozen=True, slots=True)
class Remembered:
    """An outcome that is not `full`."""

    outcome: Outcome
    page: tuple[int, int]
    """(from, size) of the page for which it came about."""
    ranking: Ranking | None = None
    """The order that the client has seen; None: the engine's."""
    logits: tuple[float | None, ...] = ()
    """What it was ranked by, in the engine's order."""
    own_bytes: bool = False
    """The client's own bytes were sent to the engine, with what was meant for us alone."""


class OutcomeMemory:
    """Bounded memory of outcomes under (search without from and size, its window's hits)."""

    def __init__(self, entries: int, ttl_s: float, clock: Callable[[], float]) -> None:
        """Keep at most ``entries`` outcomes, each for ``ttl_s`` seconds of ``clock``; 0 of either: none."""
        self._kept: TTLCache[tuple[bytes, bytes], Remembered] | None = None
        if entries > 0 and ttl_s > 0:
            self._kept = TTLCache(entries, ttl_s, timer=clock)

    def put(self, search_key: bytes, hits: bytes, remembered: Remembered) -> None:
        """Remember; ``hits`` is the digest of the window's hits, empty where they were never seen."""
        if self._kept is not None:
            self._kept[(search_key, hits)] = remembered

    def get(self, search_key: bytes, hits: bytes, page: tuple[int, int]) -> Remembered | None:
        """Return what another page of the search has met. The page that met it may try again."""
        remembered = self._kept.get((search_key, hits)) if self._kept is not None else None
        return remembered if remembered is not None and remembered.page != page else None

    def forget(self, search_key: bytes, hits: bytes) -> None:
        """Drop what is remembered: the search has gone well since."""
        if self._kept is not None:
            self._kept.pop((search_key, hits), None)
