"""What the queries have in common: how their options are read, and how they are joined and weighted."""

from __future__ import annotations

import re
from typing import Any

from tantivy import Occur, Query

from proxy.embedded.errors import bad, unparsable
from proxy.embedded.values import as_number, known_keys

Clauses = list[tuple[Occur, Query]]


def one_field(name: str, spec: Any, short: str, allowed: set[str]) -> tuple[str, dict[str, Any]]:
    """Read ``{field: {...}}``, or ``{field: value}`` where ``short`` names the option that the value stands for."""
    if not isinstance(spec, dict) or len(spec) != 1:
        raise unparsable(f"[{name}] needs exactly one field")
    (field, options), *_ = spec.items()
    if short and not isinstance(options, dict):
        options = {short: options}
    return field, known_keys(name, options, allowed)


def needed_value(name: str, options: dict[str, Any], key: str = "value") -> Any:
    """Return an option that must be there and, but for the queries inside others, must be a plain value."""
    value = options.get(key)
    if value is None or (key in ("value", "field") and isinstance(value, dict | list)):
        raise unparsable(f"[{name}] needs a [{key}]")
    return value


def needed_text(name: str, options: dict[str, Any]) -> str:
    """Return the text that is looked for. Raises EngineError 400."""
    value = needed_value(name, options, "query")
    if isinstance(value, dict | list):
        raise unparsable(f"[{name}] needs a [query] that is a plain value")
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_operator(value: Any) -> Occur:
    """Read ``and`` or ``or``. Raises EngineError 400."""
    if str(value).lower() not in ("or", "and"):
        raise bad(f"[operator] is [{value}], but only [or] and [and] are allowed")
    return Occur.Must if str(value).lower() == "and" else Occur.Should


def within_bounds(term: str, bounds: dict[str, str]) -> bool:
    """Say whether a term keeps to ``gt``, ``gte``, ``lt`` and ``lte``."""
    tests = {"gt": str.__gt__, "gte": str.__ge__, "lt": str.__lt__, "lte": str.__le__}
    return all(tests[key](term, bound) for key, bound in bounds.items())


def constant(query: Query) -> Query:
    """Give all matches the score 1."""
    return Query.const_score_query(query, 1.0)


def times(query: Query, boost: float) -> Query:
    """Multiply the scores."""
    return query if boost == 1.0 else Query.boost_query(query, boost)


def boosted(query: Query, options: dict[str, Any]) -> Query:
    """Multiply the scores by the option ``boost``. Raises EngineError 400."""
    boost = as_number("boost", options.get("boost", 1.0))
    if boost < 0:
        raise bad(f"[boost] is [{boost}], but cannot be negative")
    return times(query, boost)


def joined(clauses: Clauses, minimum: Any = None) -> Query:
    """Join clauses. ``minimum``: how many optional ones must match; by default one, if nothing else is required."""
    optional = sum(occur == Occur.Should for occur, _ in clauses)
    required = any(occur == Occur.Must for occur, _ in clauses)
    if not clauses:
        return Query.empty_query()
    if not optional and not required:
        clauses = [*clauses, (Occur.Must, Query.const_score_query(Query.all_query(), 0.0))]
    needed = 0 if minimum is None else _read_minimum(minimum, optional)
    if needed > optional:
        return Query.empty_query()
    if len(clauses) == 1:
        return clauses[0][1]
    return Query.boolean_query(clauses, max(needed, 0 if required else 1) if optional else None)


def _read_minimum(value: Any, optional: int) -> int:
    """Read ``minimum_should_match``: a number or a percentage, of those that must match or (negative) may miss."""
    match = re.fullmatch(r"(-?\d{1,6})(%?)", str(value).strip())
    if match is None:
        raise bad(f"[minimum_should_match] is [{value}], expected a form such as 2, -1 or 75%")
    number = int(match[1])
    if match[2]:
        number = int(number * optional / 100)
    return max(0, number + optional if match[1].startswith("-") else number)
