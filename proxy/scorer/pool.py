"""Scores pairs on threads of this process: one worker per core, one pair a call.

One pair a call needs no padding, keeps deadlines exact to a pair, and a pair's logit is its own whatever is scored
beside it. ONNX Runtime and the tokenizers release the interpreter's lock, so that the event loop goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace

from proxy.scorer.cache import PairKey, ScoreCache, pair_keys
from proxy.scorer.models import ModelState, one_line, probe
from proxy.scorer.queue import FairQueue, Job
from proxy.scorer.types import Document, ModelHealth, PairModel, Priority, ScoreRequest, ScoreResult

_log = logging.getLogger(__name__)

MAX_IDLE_JOBS = 2000
_FAILURES_TO_RESTART = 3
"""So many failed pairs in a row and a model is loaded anew."""
_SUPERVISION_S = 0.5


@dataclass(slots=True)
class ScorerCounts:
    """Running totals, for the metrics."""

    cache_hits: int = 0
    cache_misses: int = 0
    scored: int = 0
    failed: int = 0
    shared: int = 0
    """Pairs that were being scored for another search already."""
    busy_seconds: float = 0.0
    worker_restarts: int = 0


@dataclass(eq=False, slots=True)
class _Batch:
    """The pairs of one search that wait for workers. Lives in the event loop's thread."""

    number: int
    done: asyncio.Future[None]
    idle: bool = False
    pending: dict[PairKey, None] = field(default_factory=dict)
    """Pairs without an answer, in the search's order."""
    logits: dict[PairKey, float] = field(default_factory=dict)
    error: str | None = None

    def settle(self, key: PairKey, logit: float | None, error: str | None) -> None:
        self.pending.pop(key, None)
        if logit is not None:
            self.logits[key] = logit
        if error is not None:
            self.error = error
        if (not self.pending or self.error is not None) and not self.done.done():
            self.done.set_result(None)


class ThreadScorer:
    """A `Scorer` on threads."""

    def __init__(
        self,
        loaders: Mapping[str, Callable[[], PairModel]],
        cache: ScoreCache,
        threads: int,
        max_queued_pairs: int = 20000,
    ) -> None:
        """Prepare; `start` loads the models and starts the workers.

        Args:
            loaders: name of each model -> what loads it.
            cache: where logits are kept.
            threads: number of workers.
            max_queued_pairs: pairs above it are not scored.
        """
        self.cache = cache
        self.counts = ScorerCounts()
        self._models = {name: ModelState(name, loader) for name, loader in loaders.items()}
        self._queue = FairQueue(max_queued_pairs, MAX_IDLE_JOBS)
        self._wanted_threads = max(1, threads)
        self._threads: list[threading.Thread] = []
        self._jobs: dict[PairKey, Job] = {}
        self._batches: dict[int, _Batch] = {}
        self._numbers = itertools.count()
        self._unsaved: dict[PairKey, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False

    @property
    def queued(self) -> int:
        """How many pairs wait for a worker."""
        return len(self._queue)

    def model_states(self) -> dict[str, bool]:
        """Return each model's name and whether it scores."""
        return {state.name: state.model is not None and state.error is None for state in self._models.values()}

    async def start(self) -> None:
        """Load all models (a failing one is tried again later) and start the workers."""
        self._loop = asyncio.get_running_loop()
        await asyncio.gather(*(asyncio.to_thread(state.load) for state in self._models.values()))
        for state in self._models.values():
            if state.error:
                _log.error("model %s %s", state.name, state.error)
        for _ in range(self._wanted_threads):
            self._start_worker()
        self._spawn(self._supervise(), "supervise scorer")

    async def close(self) -> None:
        """Stop all workers. Waiters get what was scored so far."""
        self._closing = True
        self._queue.close()
        for batch in list(self._batches.values()):
            if not batch.done.done():
                batch.done.set_result(None)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, 10)

    async def score(self, request: ScoreRequest) -> ScoreResult:
        """Score what can be scored before the deadline. Never raises for a failing model: see ``ScoreResult.error``."""
        started = time.monotonic()
        model = self._model(request.model)
        if isinstance(model, str):
            return _unscored(request, model, started)
        if request.max_chunks < 2:
            return await self._score(request, model, started)
        try:
            parts = await asyncio.to_thread(_parted, model, request)
        except Exception as failure:  # as for a pair: the search is answered without scores
            return _unscored(request, f"model {request.model} failed: {one_line(failure)}", started)
        result = await self._score(replace(request, documents=[one for part in parts for one in part]), model, started)
        return replace(result, logits=_best(result.logits, [len(part) for part in parts]))

    async def _score(self, request: ScoreRequest, model: PairModel, started: float) -> ScoreResult:
        count = len(request.documents)
        keys = pair_keys(model.fingerprint, request.query, request.documents, request.document_tokens)
        found = await self.cache.get_many(keys)
        known = {key: logit for key, logit in zip(keys, found, strict=True) if logit is not None}
        cached = sum(key in known for key in keys)
        self.counts.cache_hits += cached
        self.counts.cache_misses += count - cached
        missing = {key: doc for key, doc in zip(keys, request.documents, strict=True) if key not in known}
        error = None
        if missing:
            batch = await self._score_missing(request, missing)
            known.update(batch.logits)
            error = batch.error
        return ScoreResult([known.get(key) for key in keys], cached, error, started, time.monotonic())

    def _model(self, name: str) -> PairModel | str:
        """Return a model, or in one line why it cannot be asked."""
        state = self._models.get(name)
        if state is None:
            return f"there is no model {name!r}"
        if self._closing:
            return "the scorer is closed"
        return state.model or f"model {name} {state.error or 'is not loaded yet'}"

    async def _score_missing(self, request: ScoreRequest, missing: Mapping[PairKey, Document]) -> _Batch:
        idle = request.priority is Priority.IDLE
        batch = _Batch(next(self._numbers), asyncio.get_running_loop().create_future(), idle)
        self._batches[batch.number] = batch
        jobs = [self._job_for(request, key, document) for key, document in missing.items()]
        for job in jobs:
            job.waiters.add(batch.number)
            batch.pending[job.key] = None
        for job in jobs:
            if job.logit is not None:  # scored a moment ago, on its way into the cache
                batch.settle(job.key, job.logit, None)
        waiting = [job for job in jobs if not job.taken]
        if idle:
            self._put_idle(waiting)
        else:
            for job in self._queue.put(batch.number, waiting):
                self._give_up(job, batch)
        left = False
        try:
            async with asyncio.timeout_at(request.deadline):
                await batch.done
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            left = True
            raise
        finally:
            self._finish(batch, finish_idle=not left and batch.error is None)
        return batch

    def _job_for(self, request: ScoreRequest, key: PairKey, document: Document) -> Job:
        job = self._jobs.get(key)
        if job is not None:
            self.counts.shared += 1
            return job
        job = Job(key, request.model, request.query, document, request.document_tokens)
        self._jobs[key] = job
        return job

    def _put_idle(self, jobs: list[Job]) -> None:
        for evicted in self._queue.put_idle(jobs):
            # Searches that wait for it have it in their own queue.
            for batch in [self._batches[number] for number in evicted.waiters]:
                if batch.idle and not evicted.taken:
                    self._give_up(evicted, batch)
            self._forget_unwanted(evicted)

    def _give_up(self, job: Job, batch: _Batch) -> None:
        """There is no room: the pair stays unscored, as if its time were up."""
        batch.settle(job.key, None, None)
        self._leave(job, batch.number)

    def _leave(self, job: Job, number: int) -> None:
        """A search waits no longer for a job."""
        job.waiters.discard(number)
        self._forget_unwanted(job)

    def _forget_unwanted(self, job: Job) -> None:
        """Forget a job that nobody waits for and no worker has."""
        if not job.waiters and not job.taken:
            self._forget(job)

    def _forget(self, job: Job) -> None:
        # One that is dropped may still stand among the idle ones while another search has the pair queued anew.
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]

    def _finish(self, batch: _Batch, finish_idle: bool) -> None:
        """End a batch; what is left of it is finished while the machine is idle, or dropped if its client has gone."""
        del self._batches[batch.number]
        self._queue.withdraw(batch.number)
        left = [job for key in batch.pending if (job := self._jobs.get(key)) is not None]
        unwanted = [job for job in left if not job.taken and job.waiters == {batch.number}]
        if finish_idle and not self._closing:
            for job in left:
                job.waiters.discard(batch.number)
            self._put_idle(unwanted)
        else:
            for job in left:
                self._leave(job, batch.number)

    # --- workers -----------------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        thread = threading.Thread(target=self._work, name=f"scorer-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        """Take jobs until the queue closes. Runs in a worker's thread."""
        while (job := self._queue.take()) is not None:
            started = time.monotonic()
            logit, error = None, None
            try:
                logit = self._score_one(job)
            except Exception as failure:  # every waiter must be answered, whatever the model does
                error = f"model {job.model} failed: {one_line(failure)}"
            except BaseException as failure:
                self._report(job, None, f"model {job.model} ended a worker: {one_line(failure)}", started)
                raise
            self._report(job, logit, error, started)

    def _score_one(self, job: Job) -> float:
        model = self._models[job.model].model
        if model is None:
            raise ValueError("it is not loaded")
        logit = float(model.score(job.query, job.document, job.document_tokens))
        if not math.isfinite(logit):
            raise ValueError(f"it gave {logit} for a pair")
        return logit

    def _report(self, job: Job, logit: float | None, error: str | None, started: float) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, job, logit, error, time.monotonic() - started)

    # --- back in the event loop --------------------------------------------------------------------------------

    def _settle(self, job: Job, logit: float | None, error: str | None, seconds: float) -> None:
        self.counts.busy_seconds += seconds
        state = self._models[job.model]
        if logit is not None:
            job.logit = logit
            self.counts.scored += 1
            state.note_success()
            self._save(job)
        else:
            self.counts.failed += 1
            state.note_failure(error or "")
            self._forget(job)
        for number in list(job.waiters):
            batch = self._batches.get(number)
            if batch is not None:
                batch.settle(job.key, logit, error)

    def _save(self, job: Job) -> None:
        # Until the cache has it the job stays known, so that a search arriving meanwhile does not compute it again.
        self._unsaved[job.key] = job
        if len(self._unsaved) == 1:
            self._spawn(self._flush(), "save scores")

    async def _flush(self) -> None:
        jobs, self._unsaved = list(self._unsaved.values()), {}
        try:
            await self.cache.put_many({job.key: job.logit for job in jobs if job.logit is not None})
        finally:
            for job in jobs:
                self._forget(job)

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _supervise(self) -> None:
        """Replace dead workers and load failed models anew."""
        while True:
            await asyncio.sleep(_SUPERVISION_S)
            try:
                await self._mend()
            except Exception:  # the next look may go well
                _log.exception("the scorer's workers or models could not be mended")

    async def _mend(self) -> None:
        for thread in [thread for thread in self._threads if not thread.is_alive()]:
            _log.error("%s has died and is replaced", thread.name)
            self._start_worker()
            self._threads.remove(thread)
            self.counts.worker_restarts += 1
        for state in self._models.values():
            failing = state.model is None or state.failures >= _FAILURES_TO_RESTART
            if failing and time.monotonic() >= state.retry_at:
                await self._reload(state)

    async def _reload(self, state: ModelState) -> None:
        previous_error = state.error
        await asyncio.to_thread(state.load)
        if state.model is None:
            _log.error("model %s %s", state.name, state.error)
        elif error := await asyncio.to_thread(probe, state.model):
            state.failures = _FAILURES_TO_RESTART
            state.error = f"failed: {error}"
            _log.error("model %s %s", state.name, state.error)
        else:
            _log.warning("model %s works again; before: %s", state.name, previous_error)

    # --- health ------------------------------------------------------------------------------------------------

    async def health(self, probe: bool = False) -> list[ModelHealth]:
        """Report each configured model; ``probe`` really asks each of them for a score."""
        return [await self._health_of(state, probe) for state in self._models.values()]

    async def _health_of(self, state: ModelState, really: bool) -> ModelHealth:
        if state.model is None or state.error is not None:
            return ModelHealth(state.name, False, state.error or "not loaded yet")
        if really and (error := await asyncio.to_thread(probe, state.model)):
            return ModelHealth(state.name, False, error)
        return ModelHealth(state.name, True, f"fingerprint {state.model.fingerprint}")

    async def visible_texts(self, request: ScoreRequest) -> list[list[str]]:
        """Return each document's parts as the model sees them after all cuts; the whole text where none is loaded."""
        state = self._models.get(request.model)
        model = state.model if state is not None else None
        if model is None:
            return [["".join(segment.text for segment in document)] for document in request.documents]

        def cut_all() -> list[list[str]]:
            return [
                [model.visible_text(request.query, one, request.document_tokens) for one in parts]
                for parts in _parted(model, request)
            ]

        return await asyncio.to_thread(cut_all)


def _unscored(request: ScoreRequest, error: str, started: float) -> ScoreResult:
    return ScoreResult([None] * len(request.documents), error=error, started=started, finished=time.monotonic())


def _parted(model: PairModel, request: ScoreRequest) -> list[list[Document]]:
    """Return each document's parts. Blocks."""
    if request.max_chunks < 2:
        return [[document] for document in request.documents]
    return [
        model.chunks(request.query, document, request.document_tokens, request.max_chunks)
        for document in request.documents
    ]


def _best(logits: Sequence[float | None], counts: Sequence[int]) -> list[float | None]:
    """Return for each document the best logit of its parts; None where one of them has none.

    Args:
        logits: of all parts, one document's after the other's.
        counts: how many parts each document has.
    """
    best: list[float | None] = []
    start = 0
    for count in counts:
        known = [logit for logit in logits[start : start + count] if logit is not None]
        best.append(max(known) if len(known) == count else None)
        start += count
    return best
