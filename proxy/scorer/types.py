"""The scorer's interface: what a pair is, what is asked for it and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol


class Segment(NamedTuple):
    """A piece of a document's text."""

    text: str
    max_tokens: int | None = None
    """The piece is cut after this many of the model's tokens; None: only by the document's limit."""


Document = tuple[Segment, ...]
"""A document's text as pieces in order. They are joined without a separator: a space is part of a piece."""


class Priority(IntEnum):
    """Who waits for a score. Idle work is done only while no search waits."""

    SEARCH = 0
    IDLE = 1


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """The pairs of one query with its documents, to be scored in the order given."""

    model: str
    """Name of the model as the rule says it."""
    query: str
    documents: Sequence[Document]
    document_tokens: int
    """A document is cut after this many tokens."""
    deadline: float | None = None
    """On the clock of ``time.monotonic()``, in seconds. What is not scored by then comes back as None."""
    priority: Priority = Priority.SEARCH
    max_chunks: int = 1
    """A longer one is read in at most so many parts of as many tokens, and has the best one's logit; 1: it is cut."""


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """Logits in the order of the request's documents."""

    logits: list[float | None]
    """None: not scored, or not all of its parts (the deadline passed, or the scorer failed)."""
    cached: int = 0
    """How many logits came from the score cache; of each part of a document by itself."""
    error: str | None = None
    """Why pairs other than those past the deadline are missing, in one line; None if nothing failed."""
    started: float = 0.0
    finished: float = 0.0
    """On the clock of ``time.monotonic()``, in seconds."""

    @property
    def scored(self) -> int:
        """How many documents have a logit."""
        return sum(logit is not None for logit in self.logits)


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """The state of one model, for the health page."""

    name: str
    ok: bool
    detail: str
    """One line: what is wrong, or the model's fingerprint."""


class PairModel(Protocol):
    """A loaded model. Called from worker threads, several at a time; must be thread-safe."""

    fingerprint: str
    """Hex digest of everything that decides a score: weights, tokenizer, configuration. Part of the cache key."""
    max_document_tokens: int
    """The largest document limit that the model's input leaves room for."""

    def score(self, query: str, document: Document, document_tokens: int) -> float:
        """Return the pair's logit. The same pair gives the same logit (1e-5), whatever else is scored beside it.

        Raises:
            ValueError: the model gave something that is no finite number.
        """
        ...

    def chunks(self, query: str, document: Document, document_tokens: int, most: int) -> list[Document]:
        """Return at most so many parts of a document, each of which the model reads whole; one where one is enough.

        Each part is a document by itself: its score hangs on nothing else.
        """
        ...

    def visible_text(self, query: str, document: Document, document_tokens: int) -> str:
        """Return the document's text as the model sees it after all cuts, for the explain page."""
        ...


class Scorer(Protocol):
    """Where the core's pairs go: threads in this process, another process or another host."""

    async def score(self, request: ScoreRequest) -> ScoreResult:
        """Score what can be scored before the deadline. Never raises for a failing model: see ``ScoreResult.error``."""
        ...

    async def visible_texts(self, request: ScoreRequest) -> list[list[str]]:
        """Return each document's parts (one, if it is not parted) as the model sees them after all cuts."""
        ...

    async def health(self, probe: bool = False) -> list[ModelHealth]:
        """Report each configured model; ``probe`` really asks each of them for a score."""
        ...

    async def close(self) -> None:
        """Stop all workers. Waiters get what was scored so far."""
        ...


__all__ = [
    "Document",
    "ModelHealth",
    "PairModel",
    "Priority",
    "ScoreRequest",
    "ScoreResult",
    "Scorer",
    "Segment",
]
