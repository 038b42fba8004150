"""The queue between searches and workers."""

from __future__ import annotations

import threading

from proxy.scorer.queue import FairQueue, Job
from proxy.scorer.types import Segment


def job(name: str) -> Job:
    return Job(name.encode(), "model", "query", (Segment(name),), 128)


def jobs(names: str) -> list[Job]:
    return [job(name) for name in names]


def names(found: list[Job]) -> str:
    return "".join(one.key.decode() for one in found)


def take(queue: FairQueue, count: int) -> str:
    taken = []
    for _ in range(count):
        one = queue.take()
        assert one is not None
        taken.append(one)
    return names(taken)


def test_searches_take_turns_each_in_its_own_order() -> None:
    queue = FairQueue(100, 100)
    queue.put(1, jobs("abcdef"))
    queue.put(2, jobs("xy"))
    assert take(queue, 2) == "ax"
    queue.put(3, jobs("1"))
    assert take(queue, 6) == "by1cde"
    assert len(queue) == 1


def test_a_small_search_is_not_held_up_by_a_large_one() -> None:
    queue = FairQueue(100_000, 0)
    queue.put(1, jobs("a" * 10_000))
    take(queue, 5)
    queue.put(2, jobs("xyz"))
    # one job of the other search for each of its own
    assert sorted(take(queue, 6)) == list("aaaxyz")


def test_a_search_can_add_to_what_it_has_queued() -> None:
    queue = FairQueue(100, 100)
    queue.put(1, jobs("ab"))
    queue.put(1, jobs("c"))
    assert take(queue, 3) == "abc"


def test_a_job_under_two_searches_is_taken_once() -> None:
    queue = FairQueue(100, 100)
    shared, other = job("s"), job("o")
    queue.put(1, [shared])
    queue.put(2, [shared, other])
    queue.put_idle([shared])
    assert take(queue, 2) == "so"
    assert len(queue) == 0
    queue.put_idle(jobs("i"))
    assert take(queue, 1) == "i"


def test_idle_work_comes_last() -> None:
    queue = FairQueue(100, 100)
    queue.put_idle(jobs("ij"))
    queue.put(1, jobs("ab"))
    assert len(queue) == 2
    assert take(queue, 4) == "abij"


def test_what_has_no_room_is_given_back() -> None:
    queue = FairQueue(3, 2)
    assert names(queue.put(1, jobs("ab"))) == ""
    assert names(queue.put(2, jobs("xyz"))) == "yz"
    assert names(queue.put(3, jobs("1"))) == "1"
    assert take(queue, 1) == "a"
    assert names(queue.put(3, jobs("1"))) == ""
    assert names(queue.put_idle(jobs("ij"))) == ""
    assert names(queue.put_idle(jobs("k"))) == "i"
    assert take(queue, 5) == "xb1jk"


def test_no_idle_work_at_all() -> None:
    assert names(FairQueue(3, 0).put_idle(jobs("ij"))) == "ij"


def test_withdraw() -> None:
    queue = FairQueue(100, 100)
    queue.put(1, jobs("abc"))
    queue.put(2, jobs("x"))
    take(queue, 1)
    assert names(queue.withdraw(1)) == "bc"
    assert names(queue.withdraw(1)) == ""
    assert len(queue) == 1
    assert take(queue, 1) == "x"


def test_close_sends_waiting_workers_home() -> None:
    queue = FairQueue(100, 100)
    found: list[Job | None] = []
    workers = [threading.Thread(target=lambda: found.append(queue.take())) for _ in range(3)]
    for worker in workers:
        worker.start()
    queue.put(1, jobs("a"))
    queue.close()
    for worker in workers:
        worker.join(30)
    assert len(found) == 3
    assert found.count(None) >= 2
    assert queue.take() is None
