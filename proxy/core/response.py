"""Reads a search answer and writes it back with other hits, order and scores; every other byte stays the engine's."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from proxy.core.rawjson import (
    Edit,
    JsonError,
    Member,
    Span,
    apply_edits,
    array_items,
    decode,
    insertion,
    object_members,
    removal,
    strip_span,
)


class Hit:
    """One hit as the engine wrote it."""

    def __init__(self, buffer: bytes, span: Span) -> None:
        self.buffer = buffer
        self.span = span

    @cached_property
    def members(self) -> dict[str, Member]:
        """The hit's keys."""
        return object_members(self.buffer, self.span)

    def raw(self, key: str) -> bytes | None:
        """Return a value's bytes, None if the hit lacks the key."""
        member = self.members.get(key)
        return self.buffer[member.value.start : member.value.end] if member else None

    def text(self, key: str) -> str | None:
        """Return a string value."""
        raw = self.raw(key)
        value = decode(raw) if raw is not None else None
        return value if isinstance(value, str) else None

    @property
    def has_score(self) -> bool:
        """False where ``_score`` is null or missing."""
        return self.raw("_score") not in (None, b"null")

    @cached_property
    def score(self) -> float:
        """The engine's score; 0 where there is none. OpenSearch can write ``"Infinity"``."""
        return read_score(self.raw("_score")) or 0.0

    @cached_property
    def identity(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """What tells hits apart: ids repeat over indices and routings."""
        return self.raw("_index"), self.raw("_id"), self.raw("_routing")

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The decoded ``fields`` section; empty if there is none."""
        raw = self.raw("fields")
        value = decode(raw) if raw is not None else {}
        return value if isinstance(value, dict) else {}


def read_score(raw: bytes | None) -> float | None:
    """Return a score's value, None for null or a missing one."""
    if raw is None or raw == b"null":
        return None
    try:
        value = float(raw.strip(b'"'))
    except ValueError:
        raise JsonError(f"{raw[:40]!r} is no score") from None
    return None if math.isnan(value) else value


def format_score(score: float) -> bytes:
    """Write a score as the engines do: the shortest text of its 32-bit value. Rounding never turns an order round."""
    return str(np.float32(score)).encode()


@dataclass(frozen=True, slots=True)
class HitPatch:
    """What changes in one hit."""

    score: float | None = None
    """None: the engine's stays."""
    explanation: str | None = None
    """How the new score came about; wraps ``_explanation`` where the hit has one."""
    drop_fields: frozenset[str] = frozenset()
    """Fields that only we asked for: their keys in ``fields``, and where the engine lists values that it ignored."""
    details: bytes | None = None
    """JSON that the hit gets as ``_rerank``, its last key."""
    engine_score: bytes | None = None
    """JSON of the engine's score where it stays and another search's is the right one; None: the hit's own."""


class SearchAnswer:
    """A search answer, its parts located."""

    def __init__(self, body: bytes, filtered: bool = False) -> None:
        """Read an answer.

        Args:
            body: its JSON.
            filtered: parts of it may be missing; no hits are none then.

        Raises:
            JsonError: it is no search answer, or no JSON that can be read.
        """
        self.body = body
        self._top = object_members(body, strip_span(body))
        if "hits" not in self._top and not filtered:
            raise JsonError("the answer has no hits")
        self._hits_members = object_members(body, self._top["hits"].value) if "hits" in self._top else {}
        if "hits" not in self._hits_members and not filtered:
            raise JsonError("the answer has no hits.hits")
        self._array = self._hits_members["hits"].value if "hits" in self._hits_members else Span(0, 0)
        self.hits = [Hit(body, span) for span in array_items(body, self._array)] if self._array.end else []
        took = self._decoded(self._top, "took")
        self.took_ms: int | None = took if isinstance(took, int) else None
        """The engine's ``took``."""
        shards = self._decoded(self._top, "_shards")
        failed = shards.get("failed") if isinstance(shards, dict) else None
        self.failed_shards: int = failed if isinstance(failed, int) else 0
        """``_shards.failed``; 0 where it is not told."""
        self.max_score = read_score(self._raw(self._hits_members, "max_score"))
        """The engine's ``max_score``; None where it is null or missing."""

    def _raw(self, members: dict[str, Member], key: str) -> bytes | None:
        member = members.get(key)
        return self.body[member.value.start : member.value.end] if member else None

    def _decoded(self, members: dict[str, Member], key: str) -> Any:
        raw = self._raw(members, key)
        return None if raw is None else decode(raw)

    def with_page(
        self,
        page: Sequence[tuple[Hit, HitPatch]],
        max_score: float | None = None,
        extra_took_ms: int = 0,
    ) -> bytes:
        """Return the answer with these hits.

        Args:
            page: the hits in their order, each with what changes in it.
            max_score: the new one; None, or where the engine's is null: it stays.
            extra_took_ms: added to ``took``.
        """
        edits = [Edit(self._array, self._array_with(page))]
        if max_score is not None and self.max_score is not None:
            edits.append(Edit(self._hits_members["max_score"].value, format_score(max_score)))
        if extra_took_ms and self.took_ms is not None:
            edits.append(Edit(self._top["took"].value, str(self.took_ms + extra_took_ms).encode()))
        return apply_edits(self.body, edits)

    def _array_with(self, page: Sequence[tuple[Hit, HitPatch]]) -> bytes:
        if not self.hits:
            return self.body[self._array.start : self._array.end]
        opening = self.body[self._array.start : self.hits[0].span.start]
        closing = self.body[self.hits[-1].span.end : self._array.end]
        if not page:
            return b"[" + (b" " if len(opening) > 1 else b"") + b"]"
        separator = b","
        if len(self.hits) > 1:
            separator = self.body[self.hits[0].span.end : self.hits[1].span.start]
        return opening + separator.join(_patched(hit, patch) for hit, patch in page) + closing


def _patched(hit: Hit, patch: HitPatch) -> bytes:
    buffer = hit.buffer
    edits: list[Edit] = []
    if patch.score is None and patch.engine_score is not None and hit.has_score:
        edits.append(Edit(hit.members["_score"].value, patch.engine_score))
    if patch.score is not None and hit.has_score:
        edits.append(Edit(hit.members["_score"].value, format_score(patch.score)))
        if patch.explanation is not None and "_explanation" in hit.members:
            edits.append(_wrapped_explanation(buffer, hit.members["_explanation"].value, patch))
    if patch.drop_fields:
        edits.extend(_without_fields(buffer, hit, patch.drop_fields))
    if patch.details is not None:
        edits.append(insertion(hit.members, b"_rerank", patch.details, hit.span))
    return apply_edits(buffer, edits, hit.span)


def _wrapped_explanation(buffer: bytes, span: Span, patch: HitPatch) -> Edit:
    assert patch.score is not None
    description = msgspec.json.encode(patch.explanation)
    before = b'{"value":' + format_score(patch.score) + b',"description":' + description + b',"details":['
    return Edit(span, before + buffer[span.start : span.end] + b"]}")


def _without_fields(buffer: bytes, hit: Hit, names: frozenset[str]) -> Iterator[Edit]:
    emptied = []
    for key in ("fields", "ignored_field_values"):
        if key not in hit.members:
            continue
        inner = object_members(buffer, hit.members[key].value)
        if inner.keys() <= names:
            emptied.append(key)
        else:
            yield from removal(inner, names)
    yield from removal(hit.members, emptied)


def hits_digest(hits: Sequence[Hit]) -> bytes:
    """Digest of which hits these are, in this order."""
    digest = hashlib.blake2b(digest_size=16)
    for hit in hits:
        for part in hit.identity:
            digest.update(b"\0" if part is None else b"\1" + len(part).to_bytes(4, "big") + part)
    return digest.digest()


def error_body(status: int, kind: str, reason: str) -> bytes:
    """Return an error in the form that the engines give theirs."""
    cause = {"type": kind, "reason": reason}
    return msgspec.json.encode({"error": {"root_cause": [cause], **cause}, "status": status})
