"""``filter_path`` as the engines apply it, over an answer's bytes.

What a path matches whole is kept (or, behind ``-``, dropped) as it stands; objects and arrays that are only walked
through, and have nothing left, vanish; on Elasticsearch excludes leave alone what was empty before. ``*`` stands for
any part of one name, ``**`` for one or more names; arrays count for nothing in a path. Excludes go first. The form
follows the reference of "common options" in the engines' documentation; what an engine does in detail was compared on
Elasticsearch 8 and 9 and OpenSearch 2 and 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from urllib.parse import quote

from proxy.core.rawjson import Edit, Span, apply_edits, array_items, object_members, removal, strip_span

_DOT = re.compile(r"(?<!\\)\.")
_ANY_DEPTH = "**"
_NEEDED = (
    "took",
    "_shards",
    "hits.max_score",
    "hits.hits._index",
    "hits.hits._id",
    "hits.hits._routing",
    "hits.hits._score",
    "hits.hits.fields",
)
"""What reranking reads of an answer."""
_KEEPS_ALL = "-_rerank_matches_nothing"
"""Excludes nothing, but has the engine write its answer as it writes filtered ones."""

_Path = tuple["_Step", ...]


@dataclass(frozen=True, slots=True)
class _Step:
    """One part of a path."""

    name: re.Pattern[str]
    any_depth: bool


def _path(text: str) -> _Path:
    steps = []
    for part in _DOT.split(text):
        literal = part.replace("\\.", ".")
        # Only `*` is special: `?` and `[` stand for themselves.
        pattern = "*".join(piece.replace("[", "[[]").replace("?", "[?]") for piece in literal.split("*"))
        steps.append(_Step(re.compile(translate(pattern)), literal == _ANY_DEPTH))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class _Filter:
    """Paths that are partly walked: each with the number of its steps that lie behind."""

    states: frozenset[tuple[_Path, int]]

    def under(self, name: str) -> _Filter | None:
        """Return what is left to match under a name; None: a path matches it whole."""
        onward = set()
        for path, position in self.states:
            if position and path[position - 1].any_depth:
                onward.add((path, position))  # `**` takes this name too
            if path[position].name.fullmatch(name):
                if position + 1 == len(path):
                    return None
                onward.add((path, position + 1))
        return _Filter(frozenset(onward))

    def __bool__(self) -> bool:
        return bool(self.states)


@dataclass(frozen=True)
class FilterPath:
    """A ``filter_path`` parameter."""

    includes: tuple[str, ...]
    excludes: tuple[str, ...]

    @classmethod
    def read(cls, value: str) -> FilterPath:
        """Read the parameter's decoded value."""
        paths = [path.strip() for path in value.split(",")]
        return cls(
            tuple(path for path in paths if path and not path.startswith("-")),
            tuple(path[1:] for path in paths if path.startswith("-")),
        )

    @cached_property
    def _included(self) -> _Filter:
        return _start(self.includes)

    @cached_property
    def _excluded(self) -> _Filter:
        return _start(self.excludes)

    def shows_hits(self, multi: bool = False) -> bool:
        """Say whether anything of a hit can be left; ``multi``: in the answer to a multi-search."""
        names = ("responses", "hits", "hits") if multi else ("hits", "hits")
        if self.excludes and _walked(self._excluded, names) is None:
            return False
        if not self.includes:
            return True
        left = _walked(self._included, names)
        return left is None or bool(left)

    def for_engine(self, multi: bool = False) -> str:
        """Return the parameter's value, percent-encoded, that leaves in the answer what reranking reads.

        The engine filters too, since it writes a filtered answer in another way than a whole one (``1.10`` as
        ``1.1``, for instance): what the client gets is to be the same. Of a multi-search (``multi``) each item keeps
        its status, so that none vanishes from the list.
        """
        needed = [f"responses.{path}" for path in (*_NEEDED, "status", "error")] if multi else _NEEDED
        # A `-` alone is the engine's to judge: Elasticsearch leaves out nothing, OpenSearch refuses it.
        excludes = ("-",) if "" in self.excludes else (_KEEPS_ALL,) if self.excludes else ()
        includes = (*self.includes, *needed) if self.includes else ()
        return quote(",".join(includes + excludes), safe="*,.-_")

    def apply(self, body: bytes, keeps_empty: bool = True) -> bytes:
        """Return a JSON object's bytes less what the filter leaves out.

        Args:
            body: the object.
            keeps_empty: excludes leave alone what was empty before, as on Elasticsearch.

        Raises:
            JsonError: it is none.
        """
        if self.excludes:
            body = _filtered(body, self._excluded, _Mode(keep=False, keeps_empty=keeps_empty))
        return _filtered(body, self._included, _Mode(keep=True, keeps_empty=False)) if self.includes else body


@dataclass(frozen=True, slots=True)
class _Mode:
    """What becomes of values."""

    keep: bool
    """What paths match is kept; False: it is left out."""
    keeps_empty: bool
    """Empty containers that paths walk into stay."""


def _walked(paths: _Filter, names: Sequence[str]) -> _Filter | None:
    """Return what is left to match under names within each other; None: a path matches one of them whole."""
    for name in names:
        below = paths.under(name)
        if below is None:
            return None
        paths = below
    return paths


def _start(paths: Sequence[str]) -> _Filter:
    return _Filter(frozenset((_path(text), 0) for text in paths))


def _filtered(body: bytes, paths: _Filter, mode: _Mode) -> bytes:
    span = strip_span(body)
    edits = _object_edits(body, span, paths, mode)
    if edits is None:
        empty = b"{ }" if body.startswith(b"{\n", span.start) else b"{}"  # in a pretty answer they write it so
        return body[: span.start] + empty + body[span.end :]
    return apply_edits(body, edits)


def _value_edits(body: bytes, span: Span, paths: _Filter, mode: _Mode) -> list[Edit] | None:
    """Return the edits of a value that paths walk through; None: nothing is left of it."""
    opening = body[span.start : span.start + 1]
    if opening == b"{":
        return _object_edits(body, span, paths, mode)
    if opening == b"[":
        return _array_edits(body, span, paths, mode)
    return _untouched(not mode.keep)


def _object_edits(body: bytes, span: Span, paths: _Filter, mode: _Mode) -> list[Edit] | None:
    members = object_members(body, span)
    edits: list[Edit] = []
    gone = set()
    for name, member in members.items():
        below = paths.under(name)
        inner = _value_edits(body, member.value, below, mode) if below else _untouched((below is None) == mode.keep)
        if inner is None:
            gone.add(name)
        else:
            edits += inner
    if len(gone) == len(members) and (gone or not mode.keeps_empty):
        return None
    return edits + list(removal(members, gone))


def _untouched(stays: bool) -> list[Edit] | None:
    """Return the edits of a value that a path matches whole, or that no path can match."""
    return [] if stays else None


def _array_edits(body: bytes, span: Span, paths: _Filter, mode: _Mode) -> list[Edit] | None:
    items = array_items(body, span)
    edits: list[Edit] = []
    gone = []
    for position, item in enumerate(items):
        inner = _value_edits(body, item, paths, mode)
        if inner is None:
            gone.append(position)
        else:
            edits += inner
    if len(gone) == len(items) and (gone or not mode.keeps_empty):
        return None
    return edits + list(_item_removal(items, set(gone)))


def _item_removal(items: Sequence[Span], gone: set[int]) -> Iterator[Edit]:
    kept_before = False
    for position, item in enumerate(items):
        if position not in gone:
            kept_before = True
        elif kept_before:
            yield Edit(Span(items[position - 1].end, item.end), b"")
        else:
            yield Edit(Span(item.start, items[position + 1].start), b"")
