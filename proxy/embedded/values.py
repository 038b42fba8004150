"""Small readers of what clients send: wild cards, switches, whole numbers, dates, JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from proxy.embedded.errors import EngineError, bad, unparsable

_DATE = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?(Z|[+-]\d\d:?\d\d)?)?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(1024)
def wildcard(pattern: str) -> Callable[[str], object]:
    """Return a predicate for names; ``*`` stands for any characters, dots too."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL).fullmatch


def words(text: str) -> frozenset[str]:
    """Return the set of the words of a text: for tables of names."""
    return frozenset(text.split())


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Say whether one of the patterns covers the name."""
    return any(wildcard(pattern)(name) for pattern in patterns)


def parse_json(body: bytes) -> Any:
    """Decode JSON. Raises EngineError 400."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise EngineError(400, "x_content_parse_exception", f"the body is no JSON: {error}") from None


def parse_object(body: bytes, what: str) -> dict[str, Any]:
    """Decode a JSON object. Raises EngineError 400."""
    content = parse_json(body)
    if not isinstance(content, dict):
        raise unparsable(f"{what} must be a JSON object")
    return content


def known_keys(what: str, content: Any, allowed: Iterable[str]) -> dict[str, Any]:
    """Return the object when all its keys are known. Raises EngineError 400 that names the first that is not."""
    if not isinstance(content, dict):
        raise unparsable(f"[{what}] must be an object")
    for key, value in content.items():
        if key not in allowed:
            raise unparsable(f"[{what}] does not know the key [{key}] here")
        if value is None:
            raise unparsable(f"[{what}] has no value for [{key}]")
    return content


def as_bool(name: str, value: Any) -> bool:
    """Read a switch; the empty string counts as true, as in ``?refresh``. Raises EngineError 400."""
    if value is True or (isinstance(value, str) and value in ("true", "")):
        return True
    if value is False or value == "false":
        return False
    raise bad(f"[{name}] is [{value}], but only [true] and [false] are allowed")


def as_count(name: str, value: Any) -> int:
    """Read a number of zero or more; fractions are cut. Raises EngineError 400."""
    try:
        count = int(float(value)) if not isinstance(value, bool) else -1
    except (TypeError, ValueError, OverflowError):
        raise bad(f"[{name}] is [{value}], expected a whole number") from None
    if count < 0:
        raise bad(f"[{name}] is [{value}], but cannot be negative")
    return count


def as_names(name: str, value: Any) -> list[str]:
    """Read a list of names; a string is split at commas. Raises EngineError 400."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise bad(f"[{name}] must be a name or a list of names")
    return [item for item in names if item]


def as_number(name: str, value: Any) -> float:
    """Read a finite number. Raises EngineError 400."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 3.4e38:
        return float(value)
    raise bad(f"[{name}] is [{value}], expected a number")


def looks_like_date(text: str) -> bool:
    """Say whether the engine would take a string in a new field for a date."""
    try:
        return parse_date(text) is not None
    except ValueError:
        return False


def parse_date(value: Any, round_up: bool = False) -> int:
    """Return milliseconds since 1970 of an ISO date, or of a number that tells them already.

    ``round_up``: take the last millisecond of what is named (``2026-01`` is a month). Raises ValueError.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    text = str(value)
    if re.fullmatch(r"-?\d{5,18}", text):
        return int(text)
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"[{text}] is no date such as 2026-01-31 or 2026-01-31T10:00:00Z")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z") else zone
    moment = datetime.fromisoformat(
        f"{year}-{month}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}{offset}"
    )
    millis = int((fraction or "").ljust(3, "0")[:3])
    start = round((moment - _EPOCH).total_seconds()) * 1000 + millis
    if not round_up or fraction:
        return start
    if day is None:
        return round(((moment + timedelta(days=31)).replace(day=1) - _EPOCH).total_seconds()) * 1000 - 1
    unit = 1000 if second else 60_000 if minute else 3_600_000 if hour else 86_400_000
    return start + unit - 1


def format_date(millis: int) -> str:
    """Return the form that the engine gives dates in ``fields``."""
    moment = _EPOCH + timedelta(milliseconds=millis)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03}Z"
