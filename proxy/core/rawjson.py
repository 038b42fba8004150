"""JSON edited in place: values are located and replaced, all other bytes stay as they came.

Parsing and re-dumping would change what a search engine stored (``1.10`` becomes ``1.1``, ``1e400`` fails, white space
and escapes differ), so documents here are never rebuilt. ``msgspec`` validates the text and finds where each value
ends (``Raw``); the positions of the members follow from that by walking over the keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

_KEY = re.compile(rb'\s*[,{]\s*"((?:[^"\\]|\\.)*)"\s*:\s*', re.DOTALL)
_END = re.compile(rb"\s*\{?\s*\}\s*")
_BEFORE_ITEM = re.compile(rb"\s*[\[,]\s*")
_SPACE = re.compile(rb"\s*")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_STRING = msgspec.json.Decoder(str)


class JsonError(ValueError):
    """The bytes are not the JSON that was expected, or hold a key twice."""


def decode(text: bytes) -> Any:
    """Return the value of a JSON text that is valid; numbers too large for ``msgspec``, such as ``1e400``, count too.

    Raises:
        JsonError: it nests too deep, is no UTF-8, or holds what Python cannot represent.
    """
    try:
        return msgspec.json.decode(text)
    except (RecursionError, UnicodeDecodeError) as error:
        raise JsonError(str(error)) from None
    except msgspec.DecodeError:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise JsonError(str(error)) from None


class Span(NamedTuple):
    """Half-open range of bytes in a buffer."""

    start: int
    end: int


class Member(NamedTuple):
    """A key and its value in an object."""

    start: int
    """Where the key's opening quote stands."""
    value: Span


def object_members(buffer: bytes, span: Span | None = None) -> dict[str, Member]:
    """Locate the members of the object that fills ``span`` (default: the whole buffer).

    Raises:
        JsonError: no valid JSON object, or a key stands in it twice.
    """
    span = span or Span(0, len(buffer))
    try:
        raw_values = _OBJECT.decode(memoryview(buffer)[span.start : span.end])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise JsonError(str(error)) from None
    found: dict[str, Member] = {}
    position = span.start
    for expected, raw in raw_values.items():
        match = _KEY.match(buffer, position)
        if match is None:
            raise JsonError("a key was expected")
        key_bytes = match.group(1)
        key = _STRING.decode(b'"' + key_bytes + b'"') if b"\\" in key_bytes else key_bytes.decode()
        # The decoder keeps one value per key: the walk and the decoder disagree only where a key is repeated.
        if key != expected or not buffer.startswith(bytes(raw), match.end()):
            raise JsonError(f"the key {key!r} stands twice in one object")
        value = Span(match.end(), match.end() + len(raw))
        found[key] = Member(match.start(1) - 1, value)
        position = value.end
    # A key repeated later leaves text behind the last member that the walk has seen.
    if not _END.fullmatch(buffer, position, span.end):
        raise JsonError("a key stands twice in one object")
    return found


def array_items(buffer: bytes, span: Span) -> list[Span]:
    """Locate the items of the array that fills ``span``.

    Raises:
        JsonError: no valid JSON array.
    """
    try:
        raw_items = _ARRAY.decode(memoryview(buffer)[span.start : span.end])
    except (msgspec.DecodeError, RecursionError) as error:
        raise JsonError(str(error)) from None
    spans: list[Span] = []
    position = span.start
    for raw in raw_items:
        match = _BEFORE_ITEM.match(buffer, position)
        assert match is not None  # the decoder has found an item
        spans.append(Span(match.end(), match.end() + len(raw)))
        position = spans[-1].end
    return spans


class Edit(NamedTuple):
    """Bytes that take the place of a span."""

    span: Span
    new: bytes


def apply_edits(buffer: bytes, edits: Iterable[Edit], span: Span | None = None) -> bytes:
    """Return the bytes of ``span`` (default: all) with the edits made. Edits must lie within it and not overlap."""
    start, end = span or (0, len(buffer))
    pieces: list[bytes] = []
    position = start
    for edit in sorted(edits):
        if edit.span.start < position:
            raise ValueError("edits overlap")
        pieces.append(buffer[position : edit.span.start])
        pieces.append(edit.new)
        position = edit.span.end
    pieces.append(buffer[position:end])
    return b"".join(pieces)


def removal(members: dict[str, Member], names: Iterable[str]) -> Iterator[Edit]:
    """Yield the edits that take members out of their object, each with one comma and its white space."""
    doomed = set(names)
    kept_before = False
    order = list(members.items())
    for position, (name, member) in enumerate(order):
        if name not in doomed:
            kept_before = True
            continue
        if kept_before:
            previous = order[position - 1][1]
            yield Edit(Span(previous.value.end, member.value.end), b"")
        elif position + 1 < len(order):
            yield Edit(Span(member.start, order[position + 1][1].start), b"")
        else:
            yield Edit(Span(member.start, member.value.end), b"")


def insertion(members: dict[str, Member], key: bytes, value: bytes, span: Span) -> Edit:
    """Return the edit that adds a member at the end of the object in ``span``."""
    text = b'"' + key + b'":' + value
    if not members:
        return Edit(Span(span.start + 1, span.end - 1), text)
    last = max(member.value.end for member in members.values())
    return Edit(Span(last, last), b"," + text)


def strip_span(buffer: bytes) -> Span:
    """Return the span of the value in the buffer without the white space around it."""
    match = _SPACE.match(buffer)
    start = match.end() if match else 0
    return Span(start, len(buffer.rstrip(b" \t\r\n")))
