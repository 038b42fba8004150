"""Takes a ``text_similarity_reranker`` out of a search: the child retriever is sent, its hits are reranked by us.

What the retriever means follows Elasticsearch's reference ("Text similarity re-ranker retriever") and its public source
(`TextSimilarityRankRetrieverBuilder`, `CompoundRetrieverBuilder`, `RankDocsRetrieverBuilder`): at most
``rank_window_size`` hits exist, ``size`` is that many by default and never more, scores are
``max(s, 0) + min(e^s, 1)`` of the model's raw score ``s``, and ``min_score`` is compared with the raw score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from proxy.core.limits import DEFAULT_RANK_WINDOW, Unreadable, lenient_int, page_number, retriever_limit
from proxy.core.messages import Search
from proxy.core.rawjson import (
    Edit,
    JsonError,
    Span,
    apply_edits,
    decode,
    insertion,
    object_members,
    removal,
    strip_span,
)
from proxy.settings import Field, Rule, Template

NAME = "text_similarity_reranker"
_OPTIONS = {
    "retriever",
    "field",
    "inference_id",
    "inference_text",
    "rank_window_size",
    "min_score",
    "filter",
    "allow_rerank_failures",
}
_BESIDE = {
    "collapse": "hits would have to be collapsed after they are ranked",
    "post_filter": "it applies after the ranking; put it into the retriever's `filter`",
    "min_score": "it applies after the ranking; put it into the retriever",
    "pit": "points in time are passed on as they come",
    "search_after": "its order is a contract over many requests; use `from` and `size`",
}
_ORDERING = ("sort", "search_after", "collapse")
"""Of a standard retriever: they show in the hits of a search, not in those of a reranker around it."""
_MAX_DEPTH = 64

PARSING = "parsing_exception"
VALIDATION = "action_request_validation_exception"


class Refusal(Exception):
    """A search asks for what cannot be answered rightly; the text says what, where, and what to do."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RetrieverTakeover:
    """A search whose ``text_similarity_reranker`` is ours to answer."""

    search: Search
    """The child retriever's, its page within the window; to be reranked with ``rule``."""
    rule: Rule
    """Keeps the engine's scores: the retriever's own are set when the page has come."""
    page_from: int
    no_hits: bool
    """Only the total is asked for: the inner search has a page of one hit, which is not shown."""
    min_score: float | None
    """On the scale of the model's logits."""
    counts_window: bool
    """``hits.total`` counts the window's hits, since the child has a ``min_score`` of its own."""

    @property
    def decision(self) -> dict[str, Any]:
        """What the explain page says of it."""
        return {"of": NAME, "field": str(self.rule.text), "window": self.rule.window, "min_score": self.min_score}


def take_retriever(search: Search, rule: Rule, body: dict[str, Any]) -> RetrieverTakeover | None:
    """Return what a search becomes without its outermost ``text_similarity_reranker``; None: it has none anywhere.

    Args:
        search: with a JSON body.
        rule: that matches it.
        body: the decoded body.

    Raises:
        Refusal: it stands inside another retriever, or asks for what we cannot do as Elasticsearch does.
        JsonError: a part of the body cannot be read.
    """
    retriever = body.get("retriever")
    if not isinstance(retriever, dict) or len(retriever) != 1 or NAME not in _kinds(retriever, 0):
        return None
    outer = next(iter(retriever))
    if outer != NAME:
        raise Refusal(
            PARSING,
            f"[{NAME}] inside [{outer}] is not taken over: the cluster would have to go on from its hits; make it the "
            f"outermost retriever, with [{outer}] as its own `retriever`, or set the rule's `takeover` to false",
        )
    options = _checked(retriever[NAME])
    window = _whole("rank_window_size", options.get("rank_window_size", DEFAULT_RANK_WINDOW))
    if window < 1:
        raise Refusal(VALIDATION, f"[{NAME}] needs a [rank_window_size] of at least 1, not [{window}]")
    child = options["retriever"]
    min_score = _score(options.get("min_score"))
    counts_window = "min_score" in next(iter(child.values()))
    _check_beside(search, body, counts_window or (min_score or 0.0) > 0)
    page_from, page_size = _page(search, body, window)
    _check_windows(window, page_size, child)
    no_hits = min_score is not None and (page_size == 0 or page_from >= window)
    shown = (0, 1) if no_hits else (page_from, max(0, min(page_size, window - page_from)))
    if not shown[1]:
        shown = (0, 0)
    field = options["field"]
    return RetrieverTakeover(
        search=replace(
            search,
            params=search.params.without(("from", "size")),
            body=_child_body(search.body, shown),
            query_text=given_text(search, rule) or options["inference_text"],
            identity=_identity(search.identity, field, window),
            taken_over=True,
        ),
        rule=replace(
            rule,
            text=Template((Field(field),)),
            window=window,
            blend=0.0,
            scores="keep",
            min_score=None,
            hit_details=False,
            takeover=False,
            query=None,
            overrides=(*rule.overrides, "query_header"),
        ),
        page_from=shown[0],
        no_hits=no_hits,
        min_score=min_score,
        counts_window=counts_window,
    )


def given_text(search: Search, rule: Rule) -> str | None:
    """Return the text that the client gives beside the body, where the rule lets it."""
    return search.query_text if "query_header" in rule.overrides else None


def _kinds(retriever: object, depth: int) -> Iterator[str]:
    """Yield the kinds of all retrievers in a tree."""
    if not isinstance(retriever, dict) or depth > _MAX_DEPTH:
        return
    for kind, options in retriever.items():
        yield kind
        if isinstance(options, dict):
            yield from _kinds(options.get("retriever"), depth + 1)
            listed = options.get("retrievers")
            for child in listed if isinstance(listed, list) else []:
                yield from _kinds(child.get("retriever", child) if isinstance(child, dict) else None, depth + 1)


def _checked(options: object) -> dict[str, Any]:
    """Return the retriever's options, all of them known and of the right type."""
    if not isinstance(options, dict):
        raise Refusal(PARSING, f"[{NAME}] is no object")
    if unknown := sorted(options.keys() - _OPTIONS):
        known = ", ".join(sorted(_OPTIONS))
        raise Refusal(
            PARSING,
            f"[{NAME}] with [{unknown[0]}] is not taken over: leave it out, or set the rule's `takeover` to false; "
            f"what can be given: {known}",
        )
    for name in ("field", "inference_text"):
        value = options.get(name)
        if not isinstance(value, str) or not value.strip():
            raise Refusal(PARSING, f"[{NAME}] needs [{name}], a text that is not empty")
    child = options.get("retriever")
    if not isinstance(child, dict) or len(child) != 1 or not isinstance(next(iter(child.values())), dict):
        raise Refusal(PARSING, f"[{NAME}] needs [retriever], an object that names one retriever")
    if NAME in _kinds(child, 0):
        raise Refusal(PARSING, f"[{NAME}] inside [{NAME}] is not taken over: rank once, by the outer one")
    if ordering := [key for key in _ORDERING if key in next(iter(child.values()))]:
        raise Refusal(
            PARSING, f"[{NAME}] is not taken over around [{ordering[0]}]: leave it out of the inner retriever"
        )
    return options


def _whole(name: str, value: object) -> int:
    try:
        return lenient_int(value)
    except Unreadable as error:
        raise Refusal(PARSING, f"[{name}]: {error}") from None


def _score(value: object) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise Refusal(PARSING, f"[{NAME}] has a [min_score] that is no number")


def _check_beside(search: Search, body: dict[str, Any], cuts: bool) -> None:
    for key, why in _BESIDE.items():
        if key in body:
            raise Refusal(VALIDATION, f"[{NAME}] is not taken over beside [{key}]: {why}")
    url = search.params.as_dict()
    if url.get("filter_path"):
        raise Refusal(VALIDATION, f"[{NAME}] is not taken over with `filter_path`: leave it out, or use `_source`")
    if "scroll" in url:
        raise Refusal(VALIDATION, f"cannot specify [{NAME}] and [scroll]; use `from` and `size`")
    if cuts and ("aggs" in body or "aggregations" in body):
        raise Refusal(
            VALIDATION,
            f"[{NAME}] is not taken over with a [min_score] beside aggregations, which would have to leave hits out "
            "that only the ranking finds: ask for them in a search of their own",
        )


def _page(search: Search, body: dict[str, Any], window: int) -> tuple[int, int]:
    url = search.params.as_dict()
    try:
        page_from = page_number("from", url, body, 0)
        page_size = page_number("size", url, body, window)
    except Unreadable as error:
        raise Refusal(PARSING, f"`from` or `size`: {error}") from None
    if page_from < 0 or page_size < 0:
        raise Refusal(VALIDATION, "`from` and `size` cannot be negative")
    return page_from, page_size


def _check_windows(window: int, page_size: int, child: dict[str, Any]) -> None:
    if page_size > window:
        raise Refusal(
            VALIDATION,
            f"[{NAME}] has a [rank_window_size] of [{window}], which is less than the [size] of [{page_size}]: "
            "raise the one or lower the other",
        )
    try:
        limit = retriever_limit(child)
    except Unreadable as error:
        raise Refusal(PARSING, f"[{next(iter(child))}]: {error}") from None
    if limit is not None and window > limit:
        raise Refusal(
            VALIDATION,
            f"[{NAME}] has a [rank_window_size] of [{window}], more than the [{limit}] hits of the "
            f"[{next(iter(child))}] in it: raise the inner window or lower the outer one",
        )


def _child_body(body: bytes, page: tuple[int, int]) -> bytes:
    """Put the child retriever in the reranker's place, and set the page; all other bytes stay."""
    members = object_members(body, strip_span(body))
    outer = object_members(body, members["retriever"].value)
    options = object_members(body, outer[NAME].value)
    child = body[slice(*options["retriever"].value)]
    if "filter" in options:
        child = _with_filter(child, body[slice(*options["filter"].value)])
    edits = [Edit(members["retriever"].value, child), *removal(members, ["from", "size"])]
    changed = apply_edits(body, edits)
    span = strip_span(changed)
    value = b'%d,"size":%d' % page
    return apply_edits(changed, [insertion(object_members(changed, span), b"from", value, span)])


def _with_filter(child: bytes, filters: bytes) -> bytes:
    """Give the child the filters of the retriever around it, as the engine does: both hold."""
    kinds = object_members(child)
    span = next(iter(kinds.values())).value
    options = object_members(child, span)
    if "filter" not in options:
        return apply_edits(child, [insertion(options, b"filter", filters, span)])
    own = options["filter"].value
    both = [inner for inner in (_items(child[slice(*own)]), _items(filters)) if inner]
    return apply_edits(child, [Edit(Span(*own), b"[" + b",".join(both) + b"]")])


def _items(filters: bytes) -> bytes:
    """Return a filter, or a list's filters without the brackets."""
    return filters[1:-1].strip() if filters.startswith(b"[") else filters


def _identity(identity: bytes, field: str, window: int) -> bytes:
    """What is remembered of a search must not count for one with another field or window around the same child."""
    return hashlib.blake2b(repr((identity, NAME, field, window)).encode(), digest_size=16).digest()


def read_body(search: Search) -> dict[str, Any] | None:
    """Return the decoded body; None: it cannot be read, which the engine is to judge."""
    try:
        object_members(search.body, strip_span(search.body))
        body: dict[str, Any] = decode(search.body)
    except (JsonError, RecursionError):
        return None
    return body
