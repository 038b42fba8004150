"""Remembers which indices a point in time was opened for: its id does not tell, and a search of it names none."""

from __future__ import annotations

import hashlib

import msgspec
from cachetools import LRUCache

from proxy.core.messages import Reason, Search
from proxy.core.rawjson import JsonError, decode
from proxy.core.request import with_body_moved

_MAX_KEPT = 10_000
_MAX_TARGET = 1000
"""Characters of a target that is remembered."""


class PitMemory:
    """Ids of points in time -> the target that each was opened for. Bounded; what is not in it is merely not known."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._targets: LRUCache[bytes, str] = LRUCache(_MAX_KEPT)

    def __bool__(self) -> bool:
        """Say whether any is remembered."""
        return bool(self._targets)

    def note(self, answer: bytes, target: str) -> None:
        """Remember the id that an answer tells: of one that has just been opened, or the new one of a search."""
        try:
            told = msgspec.json.decode(answer, type=_Told)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return
        pit_id = told.pit_id or told.id
        if pit_id and len(target) <= _MAX_TARGET:
            self._targets[_digest(pit_id)] = target

    def target_of(self, search: Search) -> str | None:
        """Return the target (percent-encoded) of the point in time that a search is on; None: of none that is known."""
        moved = with_body_moved(search)
        if isinstance(moved, Reason) or b'"pit"' not in moved.body:
            return None
        try:
            pit = decode(moved.body).get("pit")
        except (JsonError, RecursionError, AttributeError):
            return None
        pit_id = pit.get("id") if isinstance(pit, dict) else None
        return self._targets.get(_digest(pit_id)) if isinstance(pit_id, str) else None


class _Told(msgspec.Struct):
    """What Elasticsearch (``id``), OpenSearch (``pit_id``) and every answer to a search (``pit_id``) tell."""

    id: str | None = None
    pit_id: str | None = None


def _digest(pit_id: str) -> bytes:
    return hashlib.blake2b(pit_id.encode(errors="replace"), digest_size=16).digest()
