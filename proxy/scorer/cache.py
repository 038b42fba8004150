"""Remembers the logits of pairs by their content."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Protocol

from cachetools import LRUCache, TTLCache

from proxy.scorer.types import Document

PairKey = bytes
"""Digest of a pair's content, 16 bytes."""


def pair_keys(fingerprint: str, query: str, documents: Iterable[Document], document_tokens: int) -> list[PairKey]:
    """Return one key per document: by content, never by document id, so that no re-index makes a score stale.

    Everything that decides a logit is part of it: the model, the query, the document's pieces and all cuts.
    """
    base = hashlib.blake2b(digest_size=16)
    for part in (fingerprint, query, str(document_tokens)):
        _update(base, part)
    keys = []
    for document in documents:
        digest = base.copy()
        for segment in document:
            _update(digest, segment.text)
            _update(digest, str(segment.max_tokens))
        keys.append(digest.digest())
    return keys


def _update(digest: hashlib.blake2b, text: str) -> None:
    encoded = text.encode(errors="surrogatepass")
    digest.update(len(encoded).to_bytes(8, "big"))
    digest.update(encoded)


class ScoreCache(Protocol):
    """Logits by key, many at a time, so that a cache on another host costs one round trip per search."""

    async def get_many(self, keys: Sequence[PairKey]) -> list[float | None]:
        """Return the logits in the keys' order, None for those that are not known."""
        ...

    async def put_many(self, logits: Mapping[PairKey, float]) -> None:
        """Keep logits."""
        ...

    @property
    def size(self) -> int:
        """How many logits are kept."""
        ...


class MemoryScoreCache:
    """A bounded cache in this process; the least recently used goes first."""

    def __init__(self, entries: int, ttl_s: float = 0) -> None:
        """Keep at most ``entries`` logits (0: none), each for ``ttl_s`` seconds (0: for ever)."""
        self._kept: MutableMapping[PairKey, float] | None = None
        if entries > 0:
            self._kept = TTLCache(entries, ttl_s, timer=time.monotonic) if ttl_s > 0 else LRUCache(entries)

    async def get_many(self, keys: Sequence[PairKey]) -> list[float | None]:
        """Return the logits in the keys' order, None for those that are not known."""
        kept = self._kept
        return [None] * len(keys) if kept is None else [kept.get(key) for key in keys]

    async def put_many(self, logits: Mapping[PairKey, float]) -> None:
        """Keep logits."""
        if self._kept is not None:
            self._kept.update(logits)

    @property
    def size(self) -> int:
        """How many logits are kept."""
        return 0 if self._kept is None else len(self._kept)
