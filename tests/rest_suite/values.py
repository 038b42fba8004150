"""Stashed values, paths into an answer, and comparing."""

from __future__ import annotations

import re
from typing import Any

MISSING = object()
"""There is nothing at a path."""

_SPLIT = re.compile(r"(?<!\\)\.")
_WHOLE = re.compile(r"\$\{?(\w+)\}?$")
_EMBEDDED = re.compile(r"\$\{(\w+)\}")

_NAMED_GROUP = re.compile(r"\(\?<(?=\w)")
_JAVAS_OWN = ((r"\p{Alnum}", "[A-Za-z0-9]"), (r"\p{Alpha}", "[A-Za-z]"), (r"\h", r"[ \t]"), (r"\z", r"\Z"))
"""What only Java's regular expressions know, and how it is written here."""


class Failure(AssertionError):
    """A case's expectation does not hold."""


class Stash(dict[str, Any]):
    """Values kept by `set` under a name."""

    def fill(self, value: Any) -> Any:
        """Return a value with every ``$name`` and ``${name}`` in it replaced, keys included.

        Raises:
            Failure: nothing was stashed under a name.
        """
        if isinstance(value, dict):
            return {self.fill(key): self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if not isinstance(value, str) or "$" not in value:
            return value
        whole = _WHOLE.match(value)
        if whole is not None:
            return self.named(whole[1])
        return _EMBEDDED.sub(lambda match: str(self.named(match[1])), value)

    def named(self, name: str) -> Any:
        """Return what was stashed under a name."""
        if name not in self:
            raise Failure(f"nothing was stashed as ${name}")
        return self[name]


def look_up(value: Any, path: str, stash: Stash) -> Any:
    """Return what stands at a dotted path, `MISSING` if nothing does. ``\\.`` is a dot within a name."""
    for step in _SPLIT.split(path) if path else ():
        # A name of the answer may begin with a dollar sign itself.
        name = step.replace("\\.", ".")
        if name.startswith("$") or "${" in name:
            name = str(stash.fill(name))
        if isinstance(value, dict):
            if name == "_arbitrary_key_":
                return next(iter(value), MISSING)
            value = value.get(name, MISSING)
        elif isinstance(value, list):
            value = value[int(name)] if name.isdecimal() and int(name) < len(value) else MISSING
        else:
            return MISSING
    return value


def is_number(value: Any) -> bool:
    """Say whether it is a JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(expected: Any, actual: Any) -> bool:
    """Compare as the engines' runner does: numbers by value, everything else by kind and value."""
    if is_number(expected) and is_number(actual):
        exact = isinstance(expected, int) and isinstance(actual, int)
        return expected == actual if exact else float(expected) == float(actual)
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(equal(expected[key], actual[key]) for key in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(equal, expected, actual))
    return type(expected) is type(actual) and bool(expected == actual)


def is_true(value: Any) -> bool:
    """Say whether a value is there and neither null, false, 0 nor empty text."""
    return value is not MISSING and value is not None and value is not False and not _is_empty(value)


def _is_empty(value: Any) -> bool:
    return str(value).lower() in ("", "false", "0") if isinstance(value, str | int | float) else False


def pattern_of(expected: Any) -> str | None:
    """Return the regular expression between slashes, None if it is another value."""
    text = expected.strip() if isinstance(expected, str) else ""
    return text[1:-1] if len(text) > 2 and text.startswith("/") and text.endswith("/") else None


def search_pattern(pattern: str, text: str, verbose: bool) -> bool:
    """Look for a pattern; ``verbose``: spaces and comments in it do not count, within brackets neither."""
    if verbose:
        pattern = re.sub(r"(?<!\\)\[(?:\\.|[^\]\\])*\]", lambda match: match[0].replace(" ", ""), pattern)
    for written, means in _JAVAS_OWN:
        pattern = pattern.replace(written, means)
    pattern = _NAMED_GROUP.sub(r"(?P<", pattern)
    return re.search(pattern, text, re.VERBOSE if verbose else 0) is not None


def as_java(value: Any) -> str:
    """Write a value as Java writes maps and lists: the patterns for errors are made for that."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={as_java(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_java, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
