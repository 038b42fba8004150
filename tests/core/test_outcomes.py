"""The memory of outcomes, and their text form."""

from __future__ import annotations

import pytest

from proxy.core.messages import Outcome, Reason, Status
from proxy.core.outcomes import MaxScores, OutcomeMemory, Remembered
from proxy.core.ranking import HIGHEST

FAILED = Outcome(Status.FALLBACK, Reason.MODEL)
PAGE, OTHER = (0, 10), (10, 10)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_other_pages_see_it_for_a_while_and_the_page_itself_may_try_again() -> None:
    clock = Clock()
    memory = OutcomeMemory(10, 30, clock)
    known = Remembered(FAILED, PAGE)
    memory.put(b"key", b"hits", known)
    assert memory.get(b"key", b"hits", OTHER) is known
    assert memory.get(b"key", b"hits", PAGE) is None
    assert memory.get(b"key", b"", OTHER) is None
    assert memory.get(b"other", b"hits", OTHER) is None
    clock.now = 29.9
    assert memory.get(b"key", b"hits", OTHER) is known
    clock.now = 30.1
    assert memory.get(b"key", b"hits", OTHER) is None


def test_forget() -> None:
    memory = OutcomeMemory(10, 30, Clock())
    memory.put(b"key", b"hits", Remembered(FAILED, PAGE))
    memory.forget(b"key", b"")
    assert memory.get(b"key", b"hits", OTHER) is not None
    memory.forget(b"key", b"hits")
    memory.forget(b"key", b"hits")
    assert memory.get(b"key", b"hits", OTHER) is None


def test_it_is_bounded() -> None:
    memory = OutcomeMemory(3, 30, Clock())
    for number in range(10):
        memory.put(b"%d" % number, b"", Remembered(FAILED, PAGE))
    assert sum(memory.get(b"%d" % number, b"", OTHER) is not None for number in range(10)) == 3


@pytest.mark.parametrize(("entries", "ttl_s"), [(0, 30.0), (10, 0.0)])
def test_it_can_be_switched_off(entries: int, ttl_s: float) -> None:
    memory = OutcomeMemory(entries, ttl_s, Clock())
    memory.put(b"key", b"", Remembered(FAILED, PAGE))
    memory.forget(b"key", b"")
    assert memory.get(b"key", b"", OTHER) is None


def test_max_scores_are_bounded_and_can_be_switched_off() -> None:
    few, none = MaxScores(2), MaxScores(0)
    for number in range(3):
        few.put(b"%d" % number, 6.0, 1.5)
        none.put(b"%d" % number, 6.0, 1.5)
    assert [few.get(b"%d" % number, 6.0) for number in range(3)] == [HIGHEST, 1.5, 1.5]
    assert none.get(b"2", 6.0) == HIGHEST


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(Status.FULL), "full"),
        (Outcome(Status.PARTIAL, Reason.BUDGET, 37, 100), "partial; reason=budget; scored=37/100"),
        (Outcome(Status.FALLBACK, Reason.SHARD_FAILURES), "fallback; reason=shard-failures"),
        (Outcome(Status.SKIPPED, Reason.PAST_WINDOW), "skipped; reason=past-window"),
    ],
)
def test_text_form(outcome: Outcome, text: str) -> None:
    assert str(outcome) == text
