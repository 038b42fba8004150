"""Scoring on threads: who is served when, and what becomes of those who wait when something fails."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.scorer import pool as pool_module
from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.pool import ThreadScorer
from proxy.scorer.types import Priority, ScoreRequest, Segment
from tests.scorer.gated import PAST, GatedModel, Pool, begin, request, until

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
    assert await scorer.visible_texts(long) == [["123"]]
    unknown = ScoreRequest("other", "q", [(Segment("123456"), Segment("789"))], 3)
    assert await scorer.visible_texts(unknown) == [["123456789"]]
