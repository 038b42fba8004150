"""Multi-searches as bytes: lines in, ``responses`` out; what is not replaced keeps its bytes.

A body is pairs of lines: a header (an object, or blank) and a search. The format is described in the engines'
reference; what is stated here beyond it was seen on Elasticsearch 8 and 9 and OpenSearch 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from proxy.core.params import Params
from proxy.core.rawjson import Edit, JsonError, Member, Span, apply_edits, array_items, object_members, strip_span

MAX_ITEMS = 1000
"""Multi-searches of more items are passed on as they come."""
_INDEX_KEYS = frozenset({"index", "indices"})


class NotMulti(ValueError):
    """The bytes are no multi-search that we can read: the engine is to judge them."""


@dataclass(frozen=True, slots=True)
class Item:
    """One search of a multi-search."""

    header_line: bytes
    """As it came, less the line's end."""
    body_line: bytes
    names: tuple[str, ...] | None
    """The indices that the header names, none for all; None: it leaves that to the path."""
    params: Params
    """The header's other keys, as a search would have them in its URL."""

    def target(self, path_target: str) -> str:
        """Return the index part that a search's path would have (percent-encoded)."""
        return path_target if self.names is None else quote(",".join(self.names), safe="*,")


def read_items(body: bytes) -> list[Item]:
    """Read the lines of a multi-search.

    Raises:
        NotMulti: a header is no object, the last line has no end, a body is missing, or there are too many items.
    """
    lines = body.split(b"\n")
    if lines.pop() != b"":
        raise NotMulti("the last line has no end")
    items: list[Item] = []
    position = 0
    while position < len(lines):
        header = lines[position].rstrip(b"\r")
        if position + 1 == len(lines):
            if header.strip() or not items:
                raise NotMulti("a header has no body")
            break  # a blank last line
        items.append(_item(lines[position], lines[position + 1]))
        position += 2
        if len(items) > MAX_ITEMS:
            raise NotMulti("too many items")
    return items


def _item(header_line: bytes, body_line: bytes) -> Item:
    header: Mapping[str, Any] = {}
    if header_line.strip():
        try:
            header = msgspec.json.decode(header_line, type=dict[str, Any])
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise NotMulti(str(error)) from None
    names = next((_names(header[key]) for key in header if key in _INDEX_KEYS), None)
    others = [(key, _written(value)) for key, value in header.items() if key not in _INDEX_KEYS]
    return Item(header_line, body_line, names, Params(urlencode(others)))


def _names(value: object) -> tuple[str, ...]:
    listed = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else None
    if listed is None or not all(isinstance(name, str) for name in listed):
        raise NotMulti("index is neither a text nor a list of texts")
    return tuple(name for name in listed if name)


def _written(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def lines_of(items: Sequence[Item], bodies: Sequence[bytes | None]) -> bytes:
    """Write a multi-search: each header as it came, each body as given or (None) as it came. One line a body.

    Raises:
        NotMulti: a body cannot stand on one line.
    """
    pieces = []
    for item, body in zip(items, bodies, strict=True):
        line = item.body_line if body is None else body.strip()
        if b"\n" in line:
            raise NotMulti("a body has several lines")
        pieces += [item.header_line, b"\n", line, b"\n"]
    return b"".join(pieces)


class MultiAnswer:
    """A multi-search's answer, its items located."""

    def __init__(self, body: bytes, count: int) -> None:
        """Read an answer to ``count`` items.

        Raises:
            JsonError: it is none.
        """
        self._body = body
        self._top = object_members(body, strip_span(body))
        if "responses" not in self._top:
            raise JsonError("the answer has no responses")
        self._spans = array_items(body, self._top["responses"].value)
        if len(self._spans) != count:
            raise JsonError(f"the answer has {len(self._spans)} responses to {count} searches")

    def item(self, position: int) -> bytes:
        """Return a response's bytes."""
        start, end = self._spans[position]
        return self._body[start:end]

    def status(self, position: int) -> int:
        """Return a response's ``status``; 200 where it has none."""
        return _status(self._body, self._spans[position])

    def with_items(self, items: Mapping[int, bytes], extra_took_ms: int) -> bytes:
        """Return the answer with other bytes for some responses, and time added to ``took``."""
        edits = [Edit(self._spans[position], item) for position, item in items.items()]
        if extra_took_ms and "took" in self._top:
            edits.append(_longer(self._body, self._top["took"], extra_took_ms))
        return apply_edits(self._body, edits)


def _longer(body: bytes, took: Member, extra_ms: int) -> Edit:
    text = body[took.value.start : took.value.end]
    return Edit(took.value, str(int(text) + extra_ms).encode() if text.isdigit() else text)


def _status(body: bytes, span: Span) -> int:
    member = object_members(body, span).get("status")
    text = body[member.value.start : member.value.end] if member else b"200"
    return int(text) if text.isdigit() else 200
