"""Reads a search and says how far it can be reranked: the page, the window, and the calls to send."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from proxy.core.apart import fields_would_show, sections_show_fields, texts_body, texts_params
from proxy.core.by_index import Group, group_body
from proxy.core.filter_path import FilterPath
from proxy.core.limits import (
    Unreadable,
    as_list,
    knn_without_k,
    page_number,
    rescore_window,
    retriever_limit,
    retriever_window,
    sort_keeps_score_order,
    with_outermost_retriever,
)
from proxy.core.messages import Outcome, Reason, Search, SearchCall, Status
from proxy.core.params import Params, is_true
from proxy.core.pipelines import NO_PIPELINE
from proxy.core.rawjson import (
    Edit,
    JsonError,
    Member,
    Span,
    apply_edits,
    decode,
    insertion,
    object_members,
    removal,
    strip_span,
)
from proxy.core.response import Hit
from proxy.core.two_phase import Shape, can_split, page_body, page_params, shape_of, window_body, window_params
from proxy.settings import Rule

DEFAULT_SIZE = 10
_JSON_TYPE = re.compile(r"application/(json|vnd\.elasticsearch\+json)\s*(;|$)", re.IGNORECASE)
_OTHER_FORMAT = re.compile(r"(application/([^,]*\+)?(yaml|cbor|smile)|text/[^,;]*)\s*(;[^,]*)?", re.IGNORECASE)
"""One type alone: a list of types is answered in JSON."""
_UNTOUCHED_KEYS = {
    "search_after": Reason.SEARCH_AFTER,
    "slice": Reason.SCROLL,
    "pit": Reason.PIT,
    "rank": Reason.RANK,
    "sub_searches": Reason.RANK,
}
_VERBOSE = "verbose_pipeline"
"""Has OpenSearch tell of the hits before and behind each processor: a wider search's would be told of."""
_OUR_EXT = "rerank"
_MAX_PATH = 1000


def is_json_type(content_type: str | None) -> bool:
    """Say whether a Content-Type is JSON, the engine's vendor form included."""
    return content_type is not None and _JSON_TYPE.match(content_type.strip()) is not None


def _is_vendor(content_type: str | None) -> bool:
    return content_type is not None and "vnd." in content_type.lower()


@dataclass(frozen=True, slots=True)
class Plan:
    """A search that can be reranked."""

    search: Search
    own_call: SearchCall | None
    """The client's search less what was meant for us alone; None: its own bytes."""
    page_from: int
    page_size: int
    window: int
    """How many hits from the first on are reranked; the same for every page of the search."""
    body: dict[str, Any]
    """The decoded body. Read only; what is sent on are the client's bytes."""
    query_text: str | None
    """Given by the client outright."""
    explain: bool
    key: bytes
    """Digest of the search without ``from`` and ``size``."""
    asked_fields: tuple[str, ...] = ()
    """Names and wildcards of what stands in the hits' ``fields`` because the client asks for it, in whichever way."""
    other_values: tuple[str, ...] = ()
    """Those of them that are not read from the document: stored ones, which may be missing, and a script's."""
    limit: int | None = None
    """The engine refuses to give more hits than so many; None: no such limit."""
    filter: FilterPath | None = None
    """Which parts of the answer the client asks for; None: all of it."""
    own_size: bool = False
    """The size decides which hits there are: it is asked for as the client asks, and the window lies within it."""
    pipeline: object = None
    """The search pipeline that the search brings: its name or its definition; None: that of the index applies."""
    _body_bytes: bytes = b"{}"
    _members: dict[str, Member] = field(default_factory=dict)
    _params: Params = field(default_factory=Params)
    _content_type: str | None = None

    @property
    def searched(self) -> str:
        """What is searched: the names of indices as they are asked for, or a point in time."""
        pit = self.body.get("pit")
        if isinstance(pit, dict):
            return f"pit {pit.get('id')}"
        return self.search.target or self.search.params.as_dict().get("index", "")

    @property
    def page(self) -> tuple[int, int]:
        """``from`` and ``size``."""
        return self.page_from, self.page_size

    @property
    def page_end(self) -> int:
        """One past the last position of the page."""
        return self.page_from + self.page_size

    @property
    def reach(self) -> int:
        """How many hits from the first on are asked for: to the end of the window or of the page."""
        size = max(self.window, self.page_end)
        return min(size, self.limit) if self.limit is not None and self.page_size <= self.limit else size

    def widened_call(self, added_fields: Iterable[str]) -> SearchCall:
        """Return the search from the first hit to the end of the window or of the page, with fields added."""
        sized, params = self._body_bytes, self._params
        if not self.own_size:
            sized, params = _with_page(sized, self._members, self.reach), params.without(("from", "size"))
        added = [msgspec.json.encode(name) for name in added_fields]
        body = _with_fields(sized, added) if added else sized
        return SearchCall(self._for_engine(params), body, self._content_type)

    def fields_would_show(self, elasticsearch: bool | None) -> bool:
        """Say whether added fields would show elsewhere than in the hits, so that `texts_call` must fetch them."""
        if len(self.asked_fields) > 1 or any("*" in name for name in self.asked_fields):
            return True  # the engine writes several fields in the order of a hash table, which depends on their number
        return fields_would_show(self._params.as_dict(), self.body, elasticsearch)

    def texts_call(self, added_fields: Iterable[str]) -> SearchCall:
        """Return the search that gives the window's hits with nothing but these fields."""
        widened = self.widened_call(())
        url = widened.params.as_dict()
        asked = with_outermost_retriever(self.body)
        ends_early = any(key in url or key in asked for key in ("terminate_after", "timeout"))
        body = texts_body(widened.body, added_fields, ends_early)
        return SearchCall(widened.params.without(texts_params(url)), body, widened.content_type)

    def group_call(self, group: Group) -> SearchCall:
        """Return the search that gives the texts of a group of the window's hits."""
        call = self.texts_call(())
        return SearchCall(call.params, group_body(call.body, group), call.content_type)

    def shape(self) -> Shape | None:
        """Return what the size of the search's hits hangs on; None: it cannot be had in two phases."""
        url = self._params.as_dict()
        if self.own_size or not can_split(url, self.body) or sections_show_fields(self.body):
            return None
        return shape_of(self.search.target, url, self._body_bytes)

    def window_call(self, fields: Sequence[str]) -> SearchCall:
        """Return the search for the window alone, of whose hits nothing comes but these fields."""
        widened = self.widened_call(())
        body = window_body(widened.body, fields)
        return SearchCall(widened.params.without(window_params()), body, widened.content_type)

    def hits_call(self, hits: Sequence[Hit]) -> SearchCall | None:
        """Return the client's search for just these hits; None: it cannot ask for them."""
        body = page_body(self._body_bytes, hits, self.limit)
        if body is None:
            return None
        return SearchCall(self._for_engine(self._params.without(page_params())), body, self._content_type)

    def page_call(self) -> SearchCall:
        """Return the search of the client's own page, whose answer has what reranking reads."""
        return SearchCall(self._for_engine(self._params), self._body_bytes, self._content_type)

    def _for_engine(self, params: Params) -> Params:
        return params if self.filter is None else params.having("filter_path", self.filter.for_engine())


def _with_page(body: bytes, members: dict[str, Member], size: int) -> bytes:
    """Set ``size`` and take ``from`` out. The URL's, which would win over them, are dropped by the caller."""
    edits = list(removal(members, ["from"]))
    sized = apply_edits(body, edits)
    members = object_members(sized, strip_span(sized))
    value = str(size).encode()
    if "size" in members:
        return apply_edits(sized, [Edit(members["size"].value, value)])
    return apply_edits(sized, [insertion(members, b"size", value, strip_span(sized))])


def _with_fields(body: bytes, encoded_names: list[bytes]) -> bytes:
    span = strip_span(body)
    members = object_members(body, span)
    if "fields" not in members:
        return apply_edits(body, [insertion(members, b"fields", b"[" + b",".join(encoded_names) + b"]", span)])
    start, end = members["fields"].value
    comma = b"," if body[start + 1 : end - 1].strip() else b""
    return apply_edits(body, [Edit(Span(end - 1, end - 1), comma + b",".join(encoded_names))])


def read_search(search: Search, rule: Rule) -> Plan | tuple[Outcome, SearchCall | None]:
    """Return the plan of a search; or why it is not reranked, and the request to send instead (None: its own bytes)."""
    try:
        return _read(search, rule)
    except _Skip as skip:
        return Outcome(Status.SKIPPED, skip.reason), skip.call
    except (JsonError, Unreadable, RecursionError):
        return Outcome(Status.SKIPPED, Reason.BODY), None


class _Skip(Exception):
    def __init__(self, reason: Reason, call: SearchCall | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.call = call


def _read(search: Search, rule: Rule) -> Plan:
    moved = with_body_moved(search)
    if isinstance(moved, Reason):
        raise _Skip(moved)
    search = moved
    params, body_bytes, content_type = search.params, search.body, search.content_type
    has_body = bool(body_bytes)
    if not is_json_type(content_type) and (has_body or content_type is not None):
        raise _Skip(Reason.FORMAT)
    if not has_body and _is_vendor(content_type) and not is_json_type(search.accept):
        raise _Skip(Reason.FORMAT)  # beside a body the engines want it in `Accept` too
    if not has_body:
        body_bytes = b"{}"
    members = object_members(body_bytes, strip_span(body_bytes))
    body: dict[str, Any] = decode(body_bytes)
    url = params.as_dict()

    stripped, given_text = take_out_ext(body_bytes, members, body)
    own_call = None
    if stripped is not body_bytes:
        own_call = SearchCall(params, stripped, content_type)
        body_bytes, members = stripped, object_members(stripped, strip_span(stripped))
    pipeline = url.get("search_pipeline", body.get("search_pipeline"))
    # A pipeline may hold a rerank processor of its own, which needs `ext`: what is skipped stays as it came then.
    skipped_call = own_call if search.taken_over or pipeline in (None, NO_PIPELINE) else None
    if search.asked_to_skip and "skip_header" in rule.overrides:
        raise _Skip(Reason.ASKED, skipped_call)
    ordering = with_outermost_retriever(body)
    try:
        _refuse_untouched(search, url, ordering, rule.pit)
        page_from, page_size = _page(url, body)
        window = _window(rule.window, body, search.taken_over)
        # What is taken over asks for its window alone, which is the size that such a vector search goes by.
        own_size = knn_without_k(ordering) and not search.taken_over
        if own_size:
            window = min(window, page_size)
            if 0 < page_from < window:
                raise _Skip(Reason.KNN)
        asked_fields, other_values = tuple(_asked_fields(url, ordering)), tuple(_other_values(url, body))
    except _Skip as skip:
        raise _Skip(skip.reason, skipped_call) from None
    except Unreadable:
        raise _Skip(Reason.PARAMETER, skipped_call) from None
    if "query_context" not in rule.overrides:
        given_text = None
    if search.query_text and search.query_text.strip() and "query_header" in rule.overrides:
        given_text = search.query_text
    if not has_body:
        content_type = search.accept if is_json_type(search.accept) else "application/json"
    return Plan(
        search=search,
        own_call=own_call,
        page_from=page_from,
        page_size=page_size,
        window=window,
        body=body if "q" not in url else {**body, "query": _url_query(url)},
        query_text=given_text,
        explain=_flag(body.get("explain")) or is_true(url.get("explain")),
        key=_key(search, params, body_bytes, members, given_text),
        asked_fields=(*asked_fields, *other_values),
        other_values=other_values,
        limit=None if search.taken_over else retriever_limit(body.get("retriever")),
        filter=FilterPath.read(url["filter_path"]) if url.get("filter_path") else None,
        own_size=own_size,
        pipeline=pipeline,
        _body_bytes=body_bytes,
        _members=members,
        _params=params,
        _content_type=content_type,
    )


def with_body_moved(search: Search) -> Search | Reason:
    """Move a body that stands in the URL (``?source=…&source_content_type=…``) to where bodies stand.

    A reason: the engine is to judge it. A search whose body stands there already comes back as it is.
    """
    url = search.params.as_dict()
    if "source" not in url:
        return search
    if search.body or "source_content_type" not in url:
        return Reason.PARAMETER
    if not is_json_type(url["source_content_type"]) or _is_vendor(url["source_content_type"]):
        return Reason.FORMAT
    return replace(
        search,
        params=search.params.without(("source", "source_content_type")),
        body=url["source"].encode(errors="replace"),
        # With a body, both headers must name the same version of the vendor type.
        content_type=search.accept if is_json_type(search.accept) else "application/json",
    )


def take_out_ext(body_bytes: bytes, members: dict[str, Member], body: dict[str, Any]) -> tuple[bytes, str | None]:
    """Take ``ext.rerank`` out, which an engine without such a plugin refuses; return the query text given in it."""
    ext = body.get("ext")
    if not isinstance(ext, dict) or _OUR_EXT not in ext:
        return body_bytes, None
    if len(ext) == 1:
        stripped = apply_edits(body_bytes, removal(members, ["ext"]))
    else:
        inner = object_members(body_bytes, members["ext"].value)
        stripped = apply_edits(body_bytes, removal(inner, [_OUR_EXT]))
    return stripped, _context_text(ext[_OUR_EXT], body)


def _context_text(rerank: object, body: dict[str, Any]) -> str | None:
    context = rerank.get("query_context") if isinstance(rerank, dict) else None
    if not isinstance(context, dict):
        return None
    text = context.get("query_text")
    path = context.get("query_text_path")
    if text is None and isinstance(path, str) and len(path) <= _MAX_PATH:
        text = body
        for step in path.split("."):
            text = text.get(step) if isinstance(text, dict) else None
    return text if isinstance(text, str) and text.strip() else None


def _refuse_untouched(search: Search, url: dict[str, str], body: dict[str, Any], pit: bool) -> None:
    if "scroll" in url:
        raise _Skip(Reason.SCROLL)
    if url.get("format", "json") not in ("json", "") or _OTHER_FORMAT.fullmatch((search.accept or "").strip()):
        raise _Skip(Reason.FORMAT)
    if url.get("filter_path") and not FilterPath.read(url["filter_path"]).shows_hits():
        raise _Skip(Reason.FILTER_PATH)
    if _VERBOSE in url or _VERBOSE in body:
        raise _Skip(Reason.PIPELINE)
    for key, reason in _UNTOUCHED_KEYS.items():
        if key in body and not (key == "pit" and pit):
            raise _Skip(reason)
    if not sort_keeps_score_order(body.get("sort"), url.get("sort")):
        raise _Skip(Reason.SORT)
    if "_none_" in _names(url.get("stored_fields", body.get("stored_fields"))):
        raise _Skip(Reason.STORED_FIELDS)


def _asked_fields(url: dict[str, str], body: dict[str, Any]) -> Iterator[str]:
    """Yield what the client asks for that the engine puts into the ``fields`` of a hit."""
    if not isinstance(body.get("fields", []), list):
        raise Unreadable("`fields` is no list")
    yield from _names(body.get("fields"))
    yield from _names(body.get("docvalue_fields"))
    yield from _names(url.get("docvalue_fields"))
    if isinstance(collapse := body.get("collapse"), dict):
        yield from _names(collapse.get("field"))


def _other_values(url: dict[str, str], body: dict[str, Any]) -> Iterator[str]:
    yield from _names(url.get("stored_fields", body.get("stored_fields")))
    if isinstance(scripts := body.get("script_fields"), dict):
        yield from scripts


def _names(value: object) -> list[str]:
    """Read field names: a text with commas, or a list of texts and of objects with a ``field``."""
    if isinstance(value, str):
        return value.split(",")
    if isinstance(value, dict):
        raise Unreadable("field names are neither a text nor a list")
    names: list[Any] = [entry.get("field") if isinstance(entry, dict) else entry for entry in as_list(value)]
    if not all(isinstance(name, str) for name in names):
        raise Unreadable("a field's name is no text")
    return names


def _page(url: dict[str, str], body: dict[str, Any]) -> tuple[int, int]:
    page_from = page_number("from", url, body, 0)
    page_size = page_number("size", url, body, DEFAULT_SIZE)
    if page_size == 0:
        raise _Skip(Reason.SIZE_ZERO)
    if page_from < 0 or page_size < 0:
        raise _Skip(Reason.PARAMETER)
    return page_from, page_size


def _window(rule_window: int, body: dict[str, Any], taken_over: bool) -> int:
    bounds = [rule_window]
    if (bound := rescore_window(body.get("rescore"))) is not None:
        bounds.append(bound)
    if "retriever" in body and not taken_over:
        retriever_bound = retriever_window(body["retriever"])
        if isinstance(retriever_bound, Reason):
            raise _Skip(retriever_bound)
        if retriever_bound is not None:
            bounds.append(retriever_bound)
    window = min(bounds)
    if window < 1:
        raise _Skip(Reason.PARAMETER)
    return window


def _url_query(url: dict[str, str]) -> dict[str, Any]:
    """Return ``?q=`` as the query that it stands for; it wins over the body's."""
    options: dict[str, Any] = {"query": url["q"]}
    if url.get("df"):
        options["default_field"] = url["df"]
    return {"query_string": options}


def _flag(value: object) -> bool:
    return value is True or value in ("true", "")


def _key(search: Search, params: Params, body: bytes, members: dict[str, Member], query_text: str | None) -> bytes:
    digest = hashlib.blake2b(digest_size=16, key=search.identity[:64])
    parts = (
        search.target.encode(errors="replace"),
        params.without(("from", "size")).raw.encode(errors="replace"),
        apply_edits(body, removal(members, ["from", "size"])),
        (query_text or "").encode(errors="replace"),
    )
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
