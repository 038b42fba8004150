"""The score cache and its keys."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from proxy.scorer import cache as cache_module
from proxy.scorer.cache import MemoryScoreCache, pair_keys
from proxy.scorer.types import Document, Segment

DOCUMENT: Document = (Segment("red"), Segment(" shoes", 5))


def key(
    fingerprint: str = "model", query: str = "shoes", document: Document = DOCUMENT, document_tokens: int = 128
) -> bytes:
    return pair_keys(fingerprint, query, [document], document_tokens)[0]


def test_all_that_decides_a_score_is_part_of_the_key() -> None:
    keys = [
        key(),
        key(fingerprint="other"),
        key(query="boots"),
        key(document_tokens=64),
        key(document=(Segment("red shoes"),)),
        key(document=(Segment("red"), Segment(" shoes"))),
        key(document=(Segment("red"), Segment(" shoes", 6))),
        key(document=(Segment("red "), Segment("shoes", 5))),
        key(document=()),
        key("mode", "lshoes"),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == key()
    assert {len(one) for one in keys} == {16}


def test_keys_come_in_the_documents_order() -> None:
    documents = [(Segment(str(number)),) for number in range(5)]
    assert pair_keys("m", "q", documents, 1) == [key("m", "q", document, 1) for document in documents]


def test_a_lone_surrogate_has_a_key() -> None:
    assert key(query="\ud800") != key(query="\ud801")


async def test_the_least_recently_used_goes_first() -> None:
    cache = MemoryScoreCache(3)
    await cache.put_many({b"a": 1.0, b"b": 2.0, b"c": 3.0})
    assert await cache.get_many([b"a"]) == [1.0]
    await cache.put_many({b"d": 4.0})
    assert await cache.get_many([b"a", b"b", b"c", b"d", b"a"]) == [1.0, None, 3.0, 4.0, 1.0]
    assert cache.size == 3


async def test_zero_entries_keep_nothing() -> None:
    cache = MemoryScoreCache(0)
    await cache.put_many({b"a": 1.0})
    assert await cache.get_many([b"a", b"b"]) == [None, None]
    assert cache.size == 0


async def test_time_to_live(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(cache_module, "time", SimpleNamespace(monotonic=lambda: now))
    cache = MemoryScoreCache(10, ttl_s=5)
    await cache.put_many({b"a": 1.0})
    now = 4.0
    assert await cache.get_many([b"a"]) == [1.0]
    now = 6.0
    assert await cache.get_many([b"a"]) == [None]
