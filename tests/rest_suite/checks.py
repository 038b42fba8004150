"""What a case may expect of an answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.rest_suite.values import MISSING, equal, is_number, pattern_of, search_pattern


def matches(actual: Any, expected: Any) -> bool:
    """Compare with a value, or look for a pattern."""
    pattern = pattern_of(expected)
    if pattern is not None:
        return isinstance(actual, str) and search_pattern(pattern, actual, verbose=True)
    if expected is None:
        return actual is MISSING or actual is None
    return actual is not MISSING and equal(expected, actual)


def _matches_in_any_order(actual: Any, expected: Any) -> bool:
    if not (isinstance(actual, list) and isinstance(expected, list)):
        return not isinstance(actual, list) and not isinstance(expected, list) and matches(actual, expected)
    left = list(actual)
    for one in expected:
        found = next((index for index, other in enumerate(left) if matches(other, one)), None)
        if found is None:
            return False
        del left[found]
    return not left


def _has_length(actual: Any, expected: Any) -> bool:
    return isinstance(actual, str | list | dict) and len(actual) == int(expected)


def _contains(actual: Any, expected: Any) -> bool:
    if isinstance(actual, str):
        return isinstance(expected, str) and expected in actual
    if isinstance(actual, dict):
        return isinstance(expected, dict) and _holds(actual, expected)
    if not isinstance(actual, list):
        return False
    return any(_holds(item, expected) if isinstance(expected, dict) else equal(expected, item) for item in actual)


def _holds(actual: Any, expected: dict[str, Any]) -> bool:
    return isinstance(actual, dict) and all(equal(value, actual.get(key, MISSING)) for key, value in expected.items())


def _compared(actual: Any, expected: Any) -> int | None:
    """Return the sign of actual - expected; None: they cannot be compared."""
    are_numbers = is_number(actual) and is_number(expected)
    if are_numbers or (isinstance(actual, str) and isinstance(expected, str)):
        return int(actual > expected) - int(actual < expected)
    return None


def _close_to(actual: Any, expected: dict[str, Any]) -> bool:
    return is_number(actual) and abs(actual - expected["value"]) <= expected["error"]


def _is_after(actual: Any, expected: Any) -> bool:
    return _instant(actual) > _instant(expected)


def _instant(value: Any) -> datetime:
    read = datetime.fromisoformat(str(value))
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "match": matches,
    "matches_in_any_order": _matches_in_any_order,
    "length": _has_length,
    "contains": _contains,
    "close_to": _close_to,
    "is_after": _is_after,
    "gt": lambda actual, expected: _compared(actual, expected) == 1,
    "lt": lambda actual, expected: _compared(actual, expected) == -1,
    "gte": lambda actual, expected: _compared(actual, expected) in (0, 1),
    "lte": lambda actual, expected: _compared(actual, expected) in (0, -1),
}
"""By the kind of step: whether the actual value is as expected."""
