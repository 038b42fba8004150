"""What becomes of those who wait when a model fails or a worker dies."""

from __future__ import annotations

import math
import threading

import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.scorer.types import ModelHealth, PairModel
from tests.scorer.gated import GatedModel, Pool, begin, request, until

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
