"""Remembers what became of a search, so that all its pages tell the same story."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache, TTLCache

from proxy.core.messages import Outcome
from proxy.core.ranking import HIGHEST, Ranking


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


class MaxScores:
    """Bounded memory of the ``max_score`` that a search's window was last shown with, for the pages behind it.

    It needs no expiry: it says what the client has seen, and counts only while the engine's own is the same.
    """

    def __init__(self, entries: int = 10_000) -> None:
        """Keep at most ``entries`` searches, the longest unused go first; 0: none."""
        self._kept: LRUCache[bytes, tuple[float | None, float | None]] = LRUCache(entries)

    def put(self, search_key: bytes, engines: float | None, shown: float | None) -> None:
        """Remember the engine's and ours; ``shown`` None: the window has kept the engine's, whatever it is."""
        if self._kept.maxsize:
            self._kept[search_key] = engines, shown

    def get(self, search_key: bytes, engines: float) -> float:
        """Return the window's where it is known, or else what no hit of any window is above."""
        of_window, shown = self._kept.get(search_key, (None, HIGHEST))
        if shown is None:
            return engines
        return shown if of_window == engines else HIGHEST
