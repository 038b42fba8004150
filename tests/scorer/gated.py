"""A model whose pairs are let go one by one, so that nothing depends on time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.pool import ThreadScorer
from proxy.scorer.types import Document, PairModel, Priority, ScoreRequest, ScoreResult, Segment

PATIENCE_S = 60
"""How long to wait for what must happen at some time; nothing is said about when."""


class GatedModel:
    """Scores a text ``"7"`` as 7.0 when it is let, notes the order, and fails where it is told to.

    A text that is no number is a probe: it is scored at once.
    """

    fingerprint = "gated"
    max_document_tokens = 512

    def __init__(self, is_open: bool = False) -> None:
        self.started: list[str] = []
        self.faults: dict[str, BaseException | float] = {}
        self._gate = threading.Semaphore(0)
        self._open = is_open

    def let(self, pairs: int | None = None) -> None:
        """Let so many pairs be scored; None: all from now on."""
        if pairs is None:
            self._open = True
        self._gate.release(10_000 if pairs is None else pairs)

    def score(self, query: str, document: Document, document_tokens: int) -> float:
        text = document[0].text
        if not text.isdecimal():
            return self.probed(text)
        self.started.append(text)
        if not self._open and not self._gate.acquire(timeout=PATIENCE_S):
            raise TimeoutError("the test has never let this pair go")
        fault = self.faults.get(text)
        if isinstance(fault, BaseException):
            raise fault
        return float(text) if fault is None else fault

    def probed(self, text: str) -> float:
        if "probe" in self.faults:
            raise ValueError(f"no score for {text!r}")
        return 0.0

    def chunks(self, query: str, document: Document, document_tokens: int, most: int) -> list[Document]:
        """A text such as ``"7|9"`` is of these parts."""
        fault = self.faults.get("chunks")
        if isinstance(fault, BaseException):
            raise fault
        return [(Segment(one),) for one in document[0].text.split("|")[:most]]

    def visible_text(self, query: str, document: Document, document_tokens: int) -> str:
        return document[0].text[:document_tokens]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 (what is waited for happens on other threads)
            await asyncio.sleep(0.002)


def documents(*numbers: float) -> list[Document]:
    return [(Segment(f"{number:g}"),) for number in numbers]


def request(
    *numbers: float,
    deadline: float | None = None,
    priority: Priority = Priority.SEARCH,
    query: str = "q",
    model: str = "m",
) -> ScoreRequest:
    return ScoreRequest(model, query, documents(*numbers), 128, deadline, priority)


PAST = 0.0
"""A deadline on the clock of ``time.monotonic()`` that has passed."""


class Pool:
    """A started scorer with its model at hand."""

    def __init__(self) -> None:
        self.started: list[tuple[ThreadScorer, GatedModel]] = []

    async def __call__(
        self,
        model: GatedModel | None = None,
        loader: Callable[[], PairModel] | None = None,
        threads: int = 1,
        max_queued_pairs: int = 20_000,
    ) -> tuple[ThreadScorer, GatedModel]:
        model = model or GatedModel()
        gated = model
        scorer = ThreadScorer({"m": loader or (lambda: gated)}, MemoryScoreCache(100_000), threads, max_queued_pairs)
        await scorer.start()
        self.started.append((scorer, model))
        return scorer, model


def begin(scorer: ThreadScorer, asked: ScoreRequest) -> asyncio.Task[ScoreResult]:
    return asyncio.create_task(scorer.score(asked), name="search")
