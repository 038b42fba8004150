"""The kinds of values that a setting can have: what each accepts, and the function that reads it from text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.settings.errors import did_you_mean, shown
from proxy.settings.target import TargetPattern
from proxy.settings.template import Field, Template, parse_template

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_WHOLE = re.compile(r"0|[1-9][0-9_]{0,17}")
_DECIMAL = re.compile(r"[0-9]{0,18}\.?[0-9]{1,18}(e-?[0-9]{1,2})?", re.IGNORECASE)
_BYTES = re.compile(r"(?P<number>[0-9_]+) ?((?P<power>[kmgt])?(?P<binary>i)?b)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value."""

    accepts: str
    """What may be written, for messages and the reference page: ``a whole number from 1 to 10000``."""
    read: Callable[[str], object]
    """Reads one value from its text; a ValueError says in one line what is wrong with it."""
    many: bool = False
    """The setting is a tuple of such values."""
    must_be: str = ""
    """``file`` or ``folder``: the value is a path, and that must exist there."""


def whole_number(least: int, most: int) -> Kind:
    """Accept whole numbers within bounds."""

    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise ValueError(f"{shown(text)} is no whole number")
        number = int(text.replace("_", ""))
        _check_bounds(number, least, most, text)
        return number

    return Kind(f"a whole number from {least} to {most}", read)


def number(least: int, most: int) -> Kind:
    """Accept numbers within bounds, decimals too."""

    def read(text: str) -> float:
        if not _DECIMAL.fullmatch(text):
            raise ValueError(f"{shown(text)} is no number")
        value = float(text)
        _check_bounds(value, least, most, text)
        return value

    return Kind(f"a number from {least} to {most}", read)


def byte_count(least: int, most: int) -> Kind:
    """Accept numbers of bytes, plain or with a unit: kB is 1000 bytes, KiB 1024."""

    def read(text: str) -> int:
        match = _BYTES.fullmatch(text)
        if match is None or not _WHOLE.fullmatch(match["number"]) or (match["binary"] and not match["power"]):
            raise ValueError(f"{shown(text)} is no number of bytes")
        base = 1024 if match["binary"] else 1000
        number = int(match["number"].replace("_", "")) * int(base ** _POWERS[(match["power"] or "").lower()])
        _check_bounds(number, least, most, text)
        return number

    units = "plain or with kB, KiB, MB, MiB, GB, GiB"
    return Kind(f"a number of bytes from {show_bytes(least)} to {show_bytes(most)}, {units}", read)


def show_bytes(count: int) -> str:
    """Write a number of bytes with the largest binary unit that divides it."""
    for unit, size in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return str(count)


def _check_bounds(number: float, least: float, most: float, text: str) -> None:
    if not least <= number <= most:
        raise ValueError(f"{shown(text)} is too {'small' if number < least else 'large'}")


def _read_switch(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(f"{shown(text)} is neither true nor false")
    return text.lower() in _TRUE


SWITCH = Kind("true or false", _read_switch)


def choice(*words: str) -> Kind:
    """Accept one of some words."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"{shown(text)} is unknown{did_you_mean(text, words)}")
        return text.lower()

    return Kind(f"{', '.join(words[:-1])} or {words[-1]}", read)


def existing(what: str) -> Kind:
    """Accept the path of an existing ``file`` or ``folder``; whether it exists is seen where the path is resolved."""

    def read(text: str) -> Path:
        if not text or "\0" in text:
            raise ValueError(f"{shown(text)} is no path")
        return Path(text)

    return Kind(f"the path of a {what}", read, must_be=what)


def _read_target(text: str) -> str:
    TargetPattern(text)
    return text


TARGET = Kind("names and wildcards separated by commas, - before those to leave out", _read_target)
TEMPLATE = Kind("a text with fields in braces", parse_template)


def _read_query_template(text: str) -> Template:
    template = parse_template(text)
    paths = [part for part in template.parts if isinstance(part, Field)]
    if not paths:
        raise ValueError(f"{shown(text)} names no path of the body, such as {{query.match.title}}")
    limited = [part.path for part in paths if part.max_tokens is not None]
    if limited:
        raise ValueError(f"{shown(text)}: a query's text is not cut, so that {{{limited[0]}}} takes no number")
    return template


QUERY_TEMPLATE = Kind("a text with paths of the search's body in braces", _read_query_template)


def words(*accepted: str) -> Kind:
    """Accept any of these words, several separated by commas or as a list."""

    def read(text: str) -> str:
        if text not in accepted:
            raise ValueError(f"{shown(text)} is none of {', '.join(accepted)}{did_you_mean(text, accepted)}")
        return text

    return Kind(f"a list of {', '.join(accepted[:-1])} and {accepted[-1]}", read, many=True)


def _read_model(text: str) -> str:
    is_path = "/" in text and "\0" not in text
    if not is_path and not _MODEL_NAME.fullmatch(text):
        raise ValueError(f"{shown(text)} is neither a model's name nor a path")
    return text


MODEL = Kind("a model's name, the path of its folder (with a slash in it), or identity", _read_model)
