"""Two searches for one: the window with nothing but the texts to score, then the page with all that is asked of it.

Worth it where what a client asks of each hit is large or costly (whole documents, highlights, inner hits), since a
window holds several pages' worth of hits. The page is fetched by the client's own search with a ``post_filter`` on its
hits beside the client's own: so scores, highlights, explanations and matched queries stay what they are in one phase
(compared on Elasticsearch 8 and 9 and OpenSearch 2 and 3; a filter around the query would show in explanations).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from cachetools import LRUCache

from proxy.core.limits import objects_in
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
from proxy.core.response import Hit

_SHOWN = (
    "_source",
    "fields",
    "docvalue_fields",
    "stored_fields",
    "script_fields",
    "highlight",
    "explain",
    "version",
    "seq_no_primary_term",
)
"""Keys of a body that say what is shown of a hit."""
_SHOWN_PARAMS = (
    "_source",
    "_source_includes",
    "_source_excludes",
    "_source_exclude_vectors",
    "docvalue_fields",
    "stored_fields",
    "explain",
    "version",
    "seq_no_primary_term",
)
_ONCE = ("aggs", "aggregations", "suggest", "profile", "terminate_after", "track_total_hits", "rescore", "from")
"""Keys of a body that the answer for the window has dealt with."""
_ONCE_PARAMS = ("terminate_after", "track_total_hits", "from", "size")
_OTHER_HITS = ("knn", "retriever", "rank", "sub_searches")
"""Keys of searches whose number of hits a ``post_filter`` would cut."""
_COUNTS_HITS = frozenset({"knn", "neural", "hybrid"})
_HOLD_INNER_HITS = frozenset({"nested", "has_child", "has_parent", "collapse"})
_COSTS_OF_SECTIONS = {b'"highlight"': 4096, b'"inner_hits"': 8192, b'"script_fields"': 2048}
"""What computing a section of a hit costs, in bytes of an answer that take as long to fetch."""
_KEPT_SHAPES = 2000


def can_split(url: dict[str, str], body: dict[str, Any]) -> bool:
    """Say whether a search gives the same hits in two phases as in one."""
    if body.get("search_pipeline", "_none") != "_none":  # its processors see what a search shows of its hits
        return False
    if any(key in body for key in _OTHER_HITS) or _holds_unsteady(body.get("query")):
        return False
    explains = body.get("explain") not in (None, False, "false") or url.get("explain", "false") != "false"
    if body.get("rescore") and (explains or _holds_name(body["rescore"])):
        return False  # the page is asked for without rescoring: it would tell nothing of the rescorers' queries
    collapse = body.get("collapse")
    return collapse is None or (isinstance(collapse, dict) and isinstance(collapse.get("field"), str))


def _holds_name(query: object) -> bool:
    """Say whether a query in it is to be named in ``matched_queries``."""
    return any("_name" in one for one in objects_in(query))


def _holds_unsteady(query: object) -> bool:
    """Say whether a query holds what does not give the same scores twice, or counts its hits itself."""
    return any(not _COUNTS_HITS.isdisjoint(one) or _is_random(one.get("random_score")) for one in objects_in(query))


def _is_random(score: object) -> bool:
    return isinstance(score, dict) and "seed" not in score


def window_params() -> tuple[str, ...]:
    """Return the URL parameters that the search for the window goes without."""
    return _SHOWN_PARAMS


def window_body(body: bytes, fields: Sequence[str]) -> bytes:
    """Return a search's body that gives the same hits with these fields and nothing else of them."""
    bare = _without(body, _SHOWN)
    if b'"inner_hits"' in bare:
        bare = apply_edits(bare, _inner_hits(bare, strip_span(bare), None))
    bare = _with(bare, b"_source", b"false")
    return _with(bare, b"fields", msgspec.json.encode(list(fields))) if fields else bare


def page_params() -> tuple[str, ...]:
    """Return the URL parameters that the search for the page goes without."""
    return _ONCE_PARAMS


def page_body(body: bytes, hits: Sequence[Hit], limit: int | None = None) -> bytes | None:
    """Return a search's body that gives these hits as the client's own search shows them; None: it cannot.

    Args:
        body: the client's.
        hits: of the window's answer.
        limit: the engine gives no more than so many.
    """
    span = strip_span(body)
    members = object_members(body, span)
    wanted = _by_group(body, members, hits) if _collapses_with_inner_hits(body, members) else _by_id(hits)
    if wanted is None:
        return None
    own = members.get("post_filter")
    if own is not None:
        wanted = b'{"bool":{"filter":[%b,%b]}}' % (body[own.value.start : own.value.end], wanted)
    bare = _without(body, (*_ONCE, "post_filter", "size"))
    bare = _with(bare, b"post_filter", wanted)
    # An id can stand in an index more than once, under several routings: room for some of those.
    size = 2 * len(hits) + 10
    bare = _with(bare, b"size", str(size if limit is None else max(len(hits), min(size, limit))).encode())
    return _with(bare, b"track_total_hits", b"false")


def _by_id(hits: Sequence[Hit]) -> bytes | None:
    groups: dict[str, list[str]] = {}
    for hit in hits:
        index, id_ = hit.text("_index"), hit.text("_id")
        if index is None or id_ is None:
            return None
        groups.setdefault(index, []).append(id_)
    clauses = [
        {"bool": {"filter": [{"term": {"_index": index}}, {"ids": {"values": ids}}]}} for index, ids in groups.items()
    ]
    return msgspec.json.encode({"bool": {"should": clauses, "minimum_should_match": 1}})


def _collapses_with_inner_hits(body: bytes, members: dict[str, Member]) -> bool:
    member = members.get("collapse")
    return member is not None and "inner_hits" in object_members(body, member.value)


def _by_group(body: bytes, members: dict[str, Member], hits: Sequence[Hit]) -> bytes | None:
    """Filter on the values that the hits are collapsed by: ids would cut the inner hits."""
    collapse = decode(body[members["collapse"].value.start : members["collapse"].value.end])
    name = collapse["field"]
    values = [hit.fields.get(name) for hit in hits]
    if not all(isinstance(value, list) and len(value) == 1 and value[0] is not None for value in values):
        return None
    return msgspec.json.encode({"terms": {name: [value[0] for value in values if value]}})


def _without(body: bytes, names: Iterable[str]) -> bytes:
    return apply_edits(body, removal(object_members(body, strip_span(body)), names))


def _with(body: bytes, key: bytes, value: bytes) -> bytes:
    span = strip_span(body)
    return apply_edits(body, [insertion(object_members(body, span), key, value, span)])


def _inner_hits(body: bytes, span: Span, under: str | None) -> Iterator[Edit]:
    """Yield the edits that take ``inner_hits`` out of a query and out of ``collapse``."""
    opening = body[span.start : span.start + 1]
    if opening == b"[":
        for item in array_items(body, span):
            yield from _inner_hits(body, item, None)
    if opening != b"{":
        return
    members = object_members(body, span)
    gone = ["inner_hits"] if under in _HOLD_INNER_HITS and "inner_hits" in members else []
    yield from removal(members, gone)
    for name, member in members.items():
        if name not in gone:
            yield from _inner_hits(body, member.value, name)


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides how large a search's hits are: its target and what it asks of them."""

    digest: bytes
    sections: int
    """What is added to each hit's size for the work behind it, in bytes."""


def shape_of(target: str, url: dict[str, str], body: bytes) -> Shape:
    """Return a search's shape."""
    digest = hashlib.blake2b(target.encode(errors="replace"), digest_size=16)
    members = object_members(body, strip_span(body))
    for name in (*_SHOWN, "collapse"):
        if name in members:
            digest.update(name.encode() + body[members[name].value.start : members[name].value.end])
    for name in _SHOWN_PARAMS:
        if name in url:
            digest.update(f"&{name}={url[name]}".encode(errors="replace"))
    return Shape(digest.digest(), sum(cost for section, cost in _COSTS_OF_SECTIONS.items() if section in body))


class HitSizes:
    """Remembers how many bytes a hit of each shape took, and which shapes cannot be had in two phases."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._bytes: LRUCache[bytes, float] = LRUCache(_KEPT_SHAPES)
        self._refused: LRUCache[bytes, bool] = LRUCache(_KEPT_SHAPES)

    def pays(self, shape: Shape, spared_hits: int, least_bytes: int) -> bool:
        """Say whether so many hits that come bare spare at least so many bytes."""
        if shape.digest in self._refused:
            return False
        size = self._bytes.get(shape.digest)
        known = 0.0 if size is None else max(0, spared_hits) * (size + shape.sections)
        return known >= least_bytes

    def note(self, shape: Shape, answer_bytes: int, hits: int) -> None:
        """Note the size of a whole answer."""
        if hits:
            self._bytes[shape.digest] = answer_bytes / hits

    def refuse(self, shape: Shape) -> None:
        """Note that two phases did not give what one gives."""
        self._refused[shape.digest] = True


def counterparts(window: Sequence[Hit], fetched: Sequence[Hit]) -> list[Hit] | None:
    """Return the fetched hit for each of the window's; None: one is missing."""
    try:
        found = {hit.identity: hit for hit in fetched}
    except JsonError:
        return None
    hits = [found.get(hit.identity) for hit in window]
    return [hit for hit in hits if hit is not None] if all(hits) else None
