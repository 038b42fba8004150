"""Reads a search: what the URL and the body ask together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.embedded.errors import refused, unparsable
from proxy.embedded.fetch import Fetch, read_fetch
from proxy.embedded.values import as_bool, as_count, as_number, known_keys, words

MAX_WINDOW = 10_000
_BODY_KEYS = words(
    "query from size _source fields highlight sort track_total_hits track_scores min_score post_filter aggs"
    " aggregations timeout"
)
_OFF_ONLY = words("explain version seq_no_primary_term profile")
"""Switches that are accepted as long as they are off."""


@dataclass(frozen=True, slots=True)
class SortKey:
    """What hits are ordered by."""

    field: str
    descending: bool
    missing_first: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """A search as it was asked, URL and body together."""

    query: dict[str, Any]
    first: int
    size: int
    sort: tuple[SortKey, ...]
    track_total_hits: int | bool
    total_as_int: bool
    track_scores: bool
    typed_keys: bool
    min_score: float | None
    post_filter: dict[str, Any] | None
    terms: dict[str, tuple[str, int]]
    """Name of an aggregation -> field, number of buckets."""
    fetch: Fetch

    @property
    def by_score_alone(self) -> bool:
        """Say whether hits are ordered as without a sort."""
        return self.sort == () or self.sort == (SortKey("_score", True),)

    @property
    def scored(self) -> bool:
        """Say whether hits show their scores."""
        return self.by_score_alone or self.track_scores or any(key.field == "_score" for key in self.sort)


def read_search(params: Mapping[str, str], body: dict[str, Any]) -> Search:
    """Read a search; what the URL says counts more than the body. Raises EngineError 400."""
    for key, value in body.items():
        if key in _OFF_ONLY and (value is False or value == "false"):
            continue
        if key not in _BODY_KEYS:
            raise unparsable(f"unknown key [{key}] in a search; the embedded engine knows {sorted(_BODY_KEYS)}")
        if value is None:
            raise unparsable(f"[{key}] has no value")
    track = params.get("track_total_hits", body.get("track_total_hits", MAX_WINDOW))
    as_int = as_bool("rest_total_hits_as_int", params.get("rest_total_hits_as_int", "false"))
    if as_int and "track_total_hits" not in {**params, **body}:
        track = True
    aggregations = body.get("aggs", body.get("aggregations", {}))
    min_score = body.get("min_score")
    return Search(
        query=query_of(params, body),
        first=as_count("from", params.get("from", body.get("from", 0))),
        size=as_count("size", params.get("size", body.get("size", 10))),
        sort=tuple(_read_sort(params, body.get("sort", []))),
        track_total_hits=_read_track(track),
        total_as_int=as_int,
        track_scores=as_bool("track_scores", params.get("track_scores", body.get("track_scores", False))),
        typed_keys=as_bool("typed_keys", params.get("typed_keys", "false")),
        min_score=None if min_score is None else as_number("min_score", min_score),
        post_filter=body.get("post_filter"),
        terms={name: _read_aggregation(name, spec) for name, spec in _as_dict("aggs", aggregations).items()},
        fetch=read_fetch(params, body),
    )


def query_of(params: Mapping[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """Return the query of a search or a count."""
    if "q" not in params:
        query: dict[str, Any] = body.get("query", {"match_all": {}})
        return query
    options = {"query": params["q"], "default_operator": params.get("default_operator", "or")}
    if "df" in params:
        options["default_field"] = params["df"]
    return {"query_string": options}


def _as_dict(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise unparsable(f"[{name}] must be an object")
    return value


def _read_track(value: Any) -> int | bool:
    if isinstance(value, bool) or value in ("true", "false", ""):
        return as_bool("track_total_hits", value)
    return as_count("track_total_hits", value)


def _read_sort(params: Mapping[str, str], body: Any) -> list[SortKey]:
    keys: list[SortKey] = []
    for item in body if isinstance(body, list) else [body]:
        for field, given in item.items() if isinstance(item, dict) else [(item, {})]:
            options = known_keys("sort", given if isinstance(given, dict) else {"order": given}, {"order", "missing"})
            keys.append(_sort_key(field, options.get("order"), options.get("missing", "_last")))
    for text in params["sort"].split(",") if "sort" in params else ():
        field, _, order = text.partition(":")
        keys.append(_sort_key(field, order or None, "_last"))
    return keys


def _sort_key(field: Any, order: Any, missing: Any) -> SortKey:
    if not isinstance(field, str) or order not in (None, "asc", "desc"):
        raise unparsable(f"[sort] by [{field}]: the order is [asc] or [desc]")
    if missing not in ("_first", "_last"):
        raise refused(f"[sort] with [missing] other than [_first] and [_last], here [{missing}],")
    return SortKey(field, order == "desc" or (order is None and field == "_score"), missing == "_first")


def _read_aggregation(name: str, spec: Any) -> tuple[str, int]:
    if not isinstance(spec, dict) or list(spec) != ["terms"]:
        raise refused(f"the aggregation [{name}] (only [terms], with none inside, is)")
    options = known_keys("terms", spec["terms"], {"field", "size"})
    if not isinstance(options.get("field"), str):
        raise unparsable(f"the aggregation [{name}] needs a [field]")
    return options["field"], max(as_count("size", options.get("size", 10)), 1)
