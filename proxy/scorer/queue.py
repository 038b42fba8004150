"""The queue between searches and workers: fair over searches, idle work last."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.scorer.cache import PairKey
from proxy.scorer.types import Document


@dataclass(eq=False, slots=True)
class Job:
    """One pair to be scored, for all who wait for it. Its waiters are changed by the event loop's thread only."""

    key: PairKey
    model: str
    query: str
    document: Document
    document_tokens: int
    waiters: set[int] = field(default_factory=set)
    """The searches that wait for it. Changed by the event loop's thread only."""
    taken: bool = False
    """A worker has it, or had it."""
    logit: float | None = None
    """Set once it is scored."""


class FairQueue:
    """Jobs by search. Workers take one job of each search in turn, so that a large one cannot hold up a small one."""

    def __init__(self, max_jobs: int, max_idle_jobs: int) -> None:
        """Hold at most ``max_jobs`` jobs of searches and ``max_idle_jobs`` idle ones."""
        self._max_jobs = max_jobs
        self._max_idle_jobs = max_idle_jobs
        self._condition = threading.Condition()
        self._by_search: OrderedDict[int, deque[Job]] = OrderedDict()
        self._idle: deque[Job] = deque()
        self._jobs = 0
        self._closed = False

    def put(self, search: int, jobs: Iterable[Job]) -> list[Job]:
        """Queue a search's jobs in order; return those for which there is no room.

        A job may stand under several searches that wait for it, and among the idle ones: it is taken once.
        """
        refused: list[Job] = []
        with self._condition:
            queue = self._by_search.setdefault(search, deque())
            for job in jobs:
                if self._jobs >= self._max_jobs:
                    refused.append(job)
                    continue
                queue.append(job)
                self._jobs += 1
            if not queue:
                del self._by_search[search]
            self._condition.notify_all()
        return refused

    def put_idle(self, jobs: Iterable[Job]) -> list[Job]:
        """Queue jobs for when no search waits; return older ones that had to make room."""
        evicted: list[Job] = []
        with self._condition:
            for job in jobs:
                if len(self._idle) >= self._max_idle_jobs:
                    if not self._idle:
                        evicted.append(job)
                        continue
                    evicted.append(self._idle.popleft())
                self._idle.append(job)
            self._condition.notify_all()
        return evicted

    def take(self) -> Job | None:
        """Wait for a job and take it; None: the queue is closed. Called by workers."""
        with self._condition:
            while True:
                if self._closed:
                    return None
                job = self._next()
                if job is not None:
                    job.taken = True
                    return job
                self._condition.wait()

    def _next(self) -> Job | None:
        while self._by_search:
            search, queue = self._by_search.popitem(last=False)
            job = queue.popleft()
            self._jobs -= 1
            if queue:
                self._by_search[search] = queue  # behind all others
            if not job.taken:
                return job
        while self._idle:
            job = self._idle.popleft()
            if not job.taken:
                return job
        return None

    def withdraw(self, search: int) -> list[Job]:
        """Take a search out of the queue; return its jobs that no worker has taken yet."""
        with self._condition:
            queue = self._by_search.pop(search, None) or deque()
            self._jobs -= len(queue)
            return [job for job in queue if not job.taken]

    def close(self) -> None:
        """Send all workers home."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def __len__(self) -> int:
        """How many jobs of searches wait."""
        with self._condition:
            return self._jobs
