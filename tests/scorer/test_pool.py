"""Scoring on threads: who is served when, and what becomes of those who wait when something fails."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from proxy.scorer import models as models_module
from proxy.scorer import pool as pool_module
from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.scorer.types import Document, ModelHealth, PairModel, Priority, ScoreRequest, ScoreResult, Segment

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


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let supervision and new tries come soon."""
    monkeypatch.setattr(pool_module, "_SUPERVISION_S", 0.005)
    monkeypatch.setattr(models_module, "_FIRST_RETRY_S", 0.005)
    monkeypatch.setattr(models_module, "_LONGEST_RETRY_S", 0.02)


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


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool()
    yield made
    for scorer, model in made.started:
        model.let()
        await scorer.close()


def begin(scorer: ThreadScorer, asked: ScoreRequest) -> asyncio.Task[ScoreResult]:
    return asyncio.create_task(scorer.score(asked), name="search")


# --- what comes back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
async def test_logits_come_in_the_documents_order_and_are_kept(pool: Pool, threads: int) -> None:
    scorer, model = await pool(GatedModel(is_open=True), threads=threads)
    first = await scorer.score(request(3, 1, 2))
    assert (first.logits, first.cached, first.error, first.scored) == ([3.0, 1.0, 2.0], 0, None, 3)
    assert first.finished >= first.started
    await until(lambda: scorer.cache.size == 3)
    second = await scorer.score(request(2, 4, 3))
    assert (second.logits, second.cached) == ([2.0, 4.0, 3.0], 2)
    assert sorted(model.started) == ["1", "2", "3", "4"]
    assert (scorer.counts.cache_hits, scorer.counts.cache_misses, scorer.counts.scored) == (2, 4, 4)


async def test_the_same_document_twice_is_scored_once(pool: Pool) -> None:
    scorer, model = await pool(GatedModel(is_open=True))
    assert (await scorer.score(request(5, 5, 6, 5))).logits == [5.0, 5.0, 6.0, 5.0]
    assert model.started == ["5", "6"]


async def test_nothing_to_score(pool: Pool) -> None:
    scorer, _ = await pool()
    assert (await scorer.score(request())).logits == []


async def test_an_unknown_model(pool: Pool) -> None:
    scorer, _ = await pool()
    result = await scorer.score(request(1, 2, model="other"))
    assert (result.logits, result.error) == ([None, None], "there is no model 'other'")


async def test_one_pair_asked_for_by_many_is_scored_once(pool: Pool) -> None:
    scorer, model = await pool()
    searches = [begin(scorer, request(1, 2)) for _ in range(5)]
    await until(lambda: scorer.counts.shared == 8)
    model.let()
    assert [(await search).logits for search in searches] == [[1.0, 2.0]] * 5
    assert model.started == ["1", "2"]


async def test_a_pair_on_its_way_into_the_cache_is_not_scored_again(pool: Pool) -> None:
    class SlowCache(MemoryScoreCache):
        async def put_many(self, logits: object) -> None:
            await asyncio.Event().wait()

    model = GatedModel(is_open=True)
    scorer = ThreadScorer({"m": lambda: model}, SlowCache(10), 1)
    await scorer.start()
    try:
        assert (await scorer.score(request(1))).logits == [1.0]
        assert (await scorer.score(request(1))).logits == [1.0]
        assert model.started == ["1"]
    finally:
        await scorer.close()


async def test_the_event_loop_goes_on_while_workers_work(pool: Pool) -> None:
    scorer, model = await pool()
    search = begin(scorer, request(1))
    await until(lambda: model.started == ["1"])
    for _ in range(100):
        await asyncio.sleep(0)
    assert not search.done()
    model.let()
    assert (await search).logits == [1.0]


# --- fairness ---------------------------------------------------------------------------------------------------


async def test_a_small_search_is_not_held_up_by_a_large_one(pool: Pool) -> None:
    scorer, model = await pool()
    large = begin(scorer, request(*range(1000, 1200)))
    await until(lambda: scorer.queued == 199)
    small = begin(scorer, request(1, 2, 3, query="other"))
    await until(lambda: scorer.queued == 202)
    before = len(model.started)
    model.let()
    assert (await small).logits == [1.0, 2.0, 3.0]
    assert (await large).scored == 200
    # one pair of the large search for each of the small one, whatever else waits
    assert model.started.index("3") < before + 6


async def test_idle_work_waits_for_all_searches(pool: Pool) -> None:
    scorer, model = await pool()
    busy = begin(scorer, request(1))
    await until(lambda: model.started == ["1"])
    idle = begin(scorer, request(7, 8, priority=Priority.IDLE))
    await asyncio.sleep(0)
    search = begin(scorer, request(2, 3))
    await until(lambda: scorer.queued == 2)
    model.let()
    assert (await idle).logits == [7.0, 8.0]
    assert (await busy).scored == 1
    assert (await search).scored == 2
    assert model.started == ["1", "2", "3", "7", "8"]


async def test_idle_work_that_a_search_wants_too_is_no_longer_idle(pool: Pool) -> None:
    scorer, model = await pool()
    busy = begin(scorer, request(1))
    await until(lambda: model.started == ["1"])
    idle = begin(scorer, request(7, 8, priority=Priority.IDLE))
    await asyncio.sleep(0)
    search = begin(scorer, request(8))
    await until(lambda: scorer.queued == 1)
    model.let()
    assert [(await one).scored for one in (busy, idle, search)] == [1, 2, 1]
    assert model.started == ["1", "8", "7"]


async def test_idle_work_that_has_to_make_room_is_answered(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MAX_IDLE_JOBS", 2)
    scorer, model = await pool()
    busy = begin(scorer, request(1))
    await until(lambda: model.started == ["1"])
    older = begin(scorer, request(7, 8, priority=Priority.IDLE))
    await asyncio.sleep(0)
    wanted = begin(scorer, request(7))
    await until(lambda: scorer.queued == 1)
    newer = begin(scorer, request(9, 10, priority=Priority.IDLE))
    # 7 is waited for by a search and stays its own; 8 has no place any more
    assert (await older).logits == [None, None]
    model.let()
    assert (await wanted).logits == [7.0]
    assert (await newer).logits == [9.0, 10.0]
    assert (await busy).scored == 1
    assert "8" not in model.started


# --- deadlines --------------------------------------------------------------------------------------------------


async def test_the_deadline_gives_what_is_there_and_leaves_the_rest_to_idle_time(pool: Pool) -> None:
    scorer, model = await pool()
    first = begin(scorer, request(1, 2))
    model.let(2)
    await first
    await until(lambda: scorer.cache.size == 2)
    result = await scorer.score(request(3, 1, 4, 2, deadline=PAST))
    assert (result.logits, result.error, result.scored, result.cached) == ([None, 1.0, None, 2.0], None, 2, 2)
    assert scorer.queued == 0
    model.let()
    await until(lambda: scorer.cache.size == 4)
    again = await scorer.score(request(3, 1, 4, 2, deadline=PAST))
    assert (again.logits, again.cached) == ([3.0, 1.0, 4.0, 2.0], 4)
    assert sorted(model.started) == ["1", "2", "3", "4"]


async def test_a_deadline_that_comes_while_the_model_works(pool: Pool) -> None:
    scorer, model = await pool()
    search = begin(scorer, request(1, 2, 3, deadline=time.monotonic() + 0.05))
    model.let(1)
    result = await search
    # the first may or may not have made it; what was never let has not
    assert result.logits[1:] == [None, None]
    assert result.error is None
    model.let()
    await until(lambda: scorer.cache.size == 3)


async def test_a_search_takes_over_what_another_left_to_idle_time(pool: Pool) -> None:
    scorer, model = await pool()
    await scorer.score(request(1, 2, 3, deadline=PAST))
    search = begin(scorer, request(3, 2, 1))
    await until(lambda: scorer.counts.shared == 3)
    model.let()
    assert (await search).logits == [3.0, 2.0, 1.0]
    assert sorted(model.started) == ["1", "2", "3"]


async def test_one_deadline_does_not_end_another_search(pool: Pool) -> None:
    scorer, model = await pool()
    patient = begin(scorer, request(1, 2))
    await until(lambda: scorer.queued == 1)
    assert (await scorer.score(request(2, 1, deadline=PAST))).logits == [None, None]
    model.let()
    assert (await patient).logits == [1.0, 2.0]


async def test_what_idle_time_has_no_room_for_is_forgotten(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MAX_IDLE_JOBS", 2)
    scorer, model = await pool()
    busy = begin(scorer, request(100))
    await until(lambda: model.started == ["100"])
    await scorer.score(request(1, 2, 3, 4, deadline=PAST))
    model.let()
    await busy
    await until(lambda: scorer.cache.size == 3)
    assert model.started == ["100", "3", "4"]  # the newest stay, in the search's order
    assert (await scorer.score(request(1, 2, 3, 4))).logits == [1.0, 2.0, 3.0, 4.0]


# --- a client that leaves ---------------------------------------------------------------------------------------


async def test_pairs_of_a_client_that_left_are_dropped(pool: Pool) -> None:
    scorer, model = await pool()
    gone = begin(scorer, request(1, 2, 3, 4))
    await until(lambda: scorer.queued == 3)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert scorer.queued == 0
    model.let()
    assert (await scorer.score(request(9))).logits == [9.0]
    assert model.started == ["1", "9"]


async def test_but_not_those_that_another_search_waits_for(pool: Pool) -> None:
    scorer, model = await pool()
    gone = begin(scorer, request(1, 2, 3, 4))
    await until(lambda: scorer.queued == 3)
    stays = begin(scorer, request(3, 1))
    await until(lambda: scorer.counts.shared == 2)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    model.let()
    assert (await stays).logits == [3.0, 1.0]
    assert model.started == ["1", "3"]


async def test_a_pair_dropped_and_asked_for_again_is_scored(pool: Pool) -> None:
    scorer, model = await pool()
    busy = begin(scorer, request(1))
    await until(lambda: model.started == ["1"])
    await scorer.score(request(2, deadline=PAST))  # among the idle ones now
    gone = begin(scorer, request(2))
    await until(lambda: scorer.queued == 1)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    again = begin(scorer, request(2))
    await until(lambda: scorer.queued == 1)
    model.let()
    assert (await again).logits == [2.0]
    await busy
    await until(lambda: scorer.cache.size == 2)


# --- a model that fails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (ValueError("broken\n graph"), "model m failed: broken graph"),
        (ZeroDivisionError(), "model m failed: ZeroDivisionError"),
        (math.nan, "model m failed: it gave nan for a pair"),
        (-math.inf, "model m failed: it gave -inf for a pair"),
    ],
)
async def test_a_failing_pair_answers_all_who_wait_for_it(pool: Pool, fault: Exception | float, error: str) -> None:
    scorer, model = await pool()
    model.faults["2"] = fault
    searches = [begin(scorer, request(1, 2, 3)), begin(scorer, request(2))]
    other = begin(scorer, request(4, query="other"))
    await until(lambda: scorer.queued == 4)
    model.let()
    results = [await search for search in searches]
    assert [result.error for result in results] == [error, error]
    assert results[1].logits == [None]
    assert results[0].logits[1] is None
    assert ((await other).logits, (await other).error) == ([4.0], None)
    # it is not remembered as a score
    del model.faults["2"]
    assert (await scorer.score(request(2))).logits == [2.0]
    assert scorer.counts.failed == 1


async def test_a_model_that_keeps_failing_is_loaded_anew_even_under_load(pool: Pool) -> None:
    broken, sound = GatedModel(is_open=True), GatedModel(is_open=True)
    broken.faults = {str(number): ValueError("broken") for number in range(100_000)}
    found: list[PairModel] = [broken, sound]
    scorer, _ = await pool(sound, loader=lambda: found.pop(0))
    failures = 0
    for number in range(100_000):
        if (await scorer.score(request(number))).error is None:
            break
        failures += 1
    assert failures >= 3
    assert found == []
    assert scorer.model_states() == {"m": True}


async def test_a_model_that_cannot_be_loaded_is_tried_again(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    allowed = threading.Event()
    model = GatedModel(is_open=True)

    def load() -> PairModel:
        if not allowed.is_set():
            raise OSError("no such\nfolder")
        return model

    scorer, _ = await pool(model, loader=load)
    assert scorer.model_states() == {"m": False}
    result = await scorer.score(request(1))
    assert (result.logits, result.error) == ([None], "model m cannot be loaded: no such folder")
    assert await scorer.health() == [ModelHealth("m", False, "cannot be loaded: no such folder")]
    allowed.set()
    await until(lambda: scorer.model_states() == {"m": True})
    assert (await scorer.score(request(1))).logits == [1.0]
    assert "works again; before: cannot be loaded: no such folder" in caplog.text


async def test_a_model_loaded_anew_that_still_fails_stays_unhealthy(pool: Pool) -> None:
    loads = 0

    def load() -> PairModel:
        nonlocal loads
        loads += 1
        return DummyModel(fault=lambda query, text: math.nan)

    scorer, _ = await pool(loader=load)
    for number in range(3):
        await scorer.score(request(number))
    await until(lambda: loads >= 4)
    await until(lambda: scorer.model_states() == {"m": False})
    (health,) = await scorer.health()
    assert "it gave nan for a pair" in health.detail


async def test_health(pool: Pool) -> None:
    scorer, model = await pool(GatedModel(is_open=True))
    assert await scorer.health() == [ModelHealth("m", True, "fingerprint gated")]
    assert await scorer.health(probe=True) == [ModelHealth("m", True, "fingerprint gated")]
    model.faults["probe"] = 0.0
    assert await scorer.health() == [ModelHealth("m", True, "fingerprint gated")]
    (health,) = await scorer.health(probe=True)
    assert not health.ok
    assert health.detail.startswith("no score for")


async def test_before_the_start_no_model_is_ready() -> None:
    scorer = ThreadScorer({"m": GatedModel}, MemoryScoreCache(10), 1)
    assert (await scorer.score(request(1))).error == "model m is not loaded yet"
    assert await scorer.health() == [ModelHealth("m", False, "not loaded yet")]
    assert scorer.model_states() == {"m": False}


# --- a worker that dies -----------------------------------------------------------------------------------------


class Death(BaseException):
    """What no worker survives."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_dying_worker_answers_those_who_wait_and_is_replaced(pool: Pool) -> None:
    scorer, model = await pool()
    model.faults["2"] = Death("out of memory")
    searches = [begin(scorer, request(1, 2, 3)), begin(scorer, request(2))]
    await until(lambda: scorer.counts.shared == 1)
    model.let()
    assert [(await search).error for search in searches] == ["model m ended a worker: out of memory"] * 2
    assert (await scorer.score(request(5))).logits == [5.0]
    await until(lambda: scorer.counts.worker_restarts == 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_supervision_survives_a_thread_that_cannot_be_started(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scorer, model = await pool(GatedModel(is_open=True))
    model.faults["2"] = Death("out of memory")
    start, refusals = scorer._start_worker, [RuntimeError("can't start new thread")] * 2

    def start_worker() -> None:
        if refusals:
            raise refusals.pop()
        start()

    monkeypatch.setattr(scorer, "_start_worker", start_worker)
    await scorer.score(request(2))
    assert (await scorer.score(request(3))).logits == [3.0]
    assert refusals == []
    assert scorer.counts.worker_restarts == 1
    assert "could not be mended" in caplog.text


# --- room and end -----------------------------------------------------------------------------------------------


async def test_a_full_queue_leaves_pairs_unscored(pool: Pool) -> None:
    scorer, model = await pool(max_queued_pairs=3)
    busy = begin(scorer, request(100))
    await until(lambda: model.started == ["100"])
    large = begin(scorer, request(1, 2, 3, 4, 5))
    await until(lambda: scorer.queued == 3)
    refused = await scorer.score(request(6))
    assert (refused.logits, refused.error) == ([None], None)
    model.let()
    result = await large
    assert (result.logits, result.error) == ([1.0, 2.0, 3.0, None, None], None)
    await busy
    assert (await scorer.score(request(4, 6))).logits == [4.0, 6.0]


async def test_close_gives_waiters_what_is_there() -> None:
    model = GatedModel()
    scorer = ThreadScorer({"m": lambda: model}, MemoryScoreCache(100), 2)
    await scorer.start()
    search = begin(scorer, request(1, 2, 3, 4))
    model.let(1)
    await until(lambda: scorer.counts.scored == 1)
    closing = asyncio.create_task(scorer.close(), name="close")
    result = await search
    assert result.scored == 1
    assert result.error is None
    late = await scorer.score(request(9))
    assert (late.logits, late.error) == ([None], "the scorer is closed")
    model.let()
    await closing
    assert not any(thread.is_alive() for thread in scorer._threads)
    assert "4" not in model.started


async def test_visible_texts(pool: Pool) -> None:
    scorer, _ = await pool()
    long = ScoreRequest("m", "q", [(Segment("123456"), Segment("789"))], 3)
    assert await scorer.visible_texts(long) == ["123"]
    unknown = ScoreRequest("other", "q", [(Segment("123456"), Segment("789"))], 3)
    assert await scorer.visible_texts(unknown) == ["123456789"]
