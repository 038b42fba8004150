"""Which API answers which method and path, and which URL parameters it knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from proxy.embedded import admin, documents, searching
from proxy.embedded.engine import Engine
from proxy.embedded.errors import PlainError, bad, refused
from proxy.embedded.messages import Answer, Request
from proxy.embedded.values import words

_ANY = words("pretty human error_trace format")
_TARGET = words("ignore_unavailable allow_no_indices expand_wildcards local master_timeout timeout")
_QUERY = words("q df default_operator index")
_FILTER = words("_source _source_includes _source_excludes")
_HITS = words("typed_keys rest_total_hits_as_int search_type ccs_minimize_roundtrips max_concurrent_shard_requests")
_SEARCH = (
    _TARGET
    | _QUERY
    | _FILTER
    | _HITS
    | words(
        "from size sort track_total_hits track_scores preference request_cache allow_partial_search_results"
        " batched_reduce_size pre_filter_shard_size"
    )
)
_MSEARCH = _TARGET | _HITS | words("max_concurrent_searches")
_WRITE = words("refresh timeout wait_for_active_shards")
_TABLE = _TARGET | words("h v")
_HEALTH = _TARGET | words("wait_for_status level")
_FIELDS = _TARGET | words("fields include_unmapped")
_NOT_HERE = words(
    "explain version seq_no_primary_term stored_fields docvalue_fields scroll routing filter_path pipeline source"
    " source_content_type analyzer analyze_wildcard lenient if_seq_no if_primary_term terminate_after"
)
"""What an engine knows and this one does not."""


@dataclass(frozen=True, slots=True)
class Route:
    """An API."""

    methods: tuple[str, ...]
    path: str
    handler: Callable[[Engine, Request], Answer]
    params: frozenset[str] = frozenset()


_READ, _SEND = ("GET", "HEAD"), ("PUT", "POST")
_BOTH = ("GET", "POST")
ROUTES = (
    Route(_READ, "", admin.root),
    Route(("GET",), "_cluster/health", admin.health, _HEALTH),
    Route(("GET",), "_cluster/health/{index}", admin.health, _HEALTH),
    Route(("GET",), "_cat/indices", admin.cat_indices, _TABLE),
    Route(("GET",), "_cat/indices/{index}", admin.cat_indices, _TABLE),
    Route(_BOTH, "_search", searching.search, _SEARCH),
    Route(_BOTH, "{index}/_search", searching.search, _SEARCH),
    Route(_BOTH, "_msearch", searching.multi_search, _MSEARCH),
    Route(_BOTH, "{index}/_msearch", searching.multi_search, _MSEARCH),
    Route(_BOTH, "_count", searching.count_documents, _TARGET | _QUERY),
    Route(_BOTH, "{index}/_count", searching.count_documents, _TARGET | _QUERY),
    Route(_BOTH, "_refresh", documents.refresh, _TARGET),
    Route(_BOTH, "{index}/_refresh", documents.refresh, _TARGET),
    Route(_SEND, "_bulk", documents.bulk, _WRITE),
    Route(_SEND, "{index}/_bulk", documents.bulk, _WRITE),
    Route(("POST",), "{index}/_doc", documents.put_document, _WRITE | {"op_type"}),
    Route(_READ, "{index}/_doc/{id}", documents.get_document, _FILTER | {"realtime", "preference", "refresh"}),
    Route(_SEND, "{index}/_doc/{id}", documents.put_document, _WRITE | {"op_type"}),
    Route(("DELETE",), "{index}/_doc/{id}", documents.delete_document, _WRITE),
    Route(_SEND, "{index}/_create/{id}", documents.create_document, _WRITE),
    Route(("POST",), "{index}/_update/{id}", documents.update_document, _WRITE | {"retry_on_conflict"}),
    Route(("GET",), "_mapping", admin.show_mapping, _TARGET),
    Route(("GET",), "{index}/_mapping", admin.show_mapping, _TARGET),
    Route(_SEND, "{index}/_mapping", admin.put_mapping, _TARGET),
    Route(("GET",), "_settings", admin.show_settings, _TARGET),
    Route(("GET",), "_settings/{name}", admin.show_settings, _TARGET),
    Route(("GET",), "{index}/_settings", admin.show_settings, _TARGET),
    Route(("GET",), "{index}/_settings/{name}", admin.show_settings, _TARGET),
    Route(("PUT",), "{index}/_settings", admin.put_settings, _TARGET),
    Route(_BOTH, "_field_caps", admin.field_caps, _FIELDS),
    Route(_BOTH, "{index}/_field_caps", admin.field_caps, _FIELDS),
    Route(("PUT",), "{index}", admin.create_index, _TARGET | {"wait_for_active_shards"}),
    Route(_READ, "{index}", admin.show_index, _TARGET),
    Route(("DELETE",), "{index}", admin.delete_index, _TARGET),
)


def find_route(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the API for a raw path, and what stands for the names in it. Raises PlainError 400 or 405."""
    given = path.removeprefix("/").removesuffix("/").split("/")
    allowed: list[str] = []
    for route in ROUTES:
        parts = _parts(route.path.split("/"), given)
        if parts is not None and method in route.methods:
            return route, parts
        allowed += route.methods if parts is not None else ()
    if allowed:
        listed = sorted(set(allowed))
        reason = f"incorrect HTTP method for uri [{path}] and method [{method}], allowed: [{', '.join(listed)}]"
        raise PlainError(405, reason, {"Allow": ",".join(listed)})
    raise PlainError(400, f"no handler found for uri [{path}] and method [{method}]")


def _parts(template: list[str], given: list[str]) -> dict[str, str] | None:
    if len(template) != len(given):
        return None
    parts: dict[str, str] = {}
    for expected, found in zip(template, given, strict=True):
        if expected.startswith("{"):
            name = expected.strip("{}")
            # No index's name starts with an underscore: such a path is an API that is not known here.
            if not found or (name == "index" and found.startswith("_") and found != "_all"):
                return None
            parts[name] = unquote(found)
        elif expected != found:
            return None
    return parts


def check_params(route: Route, request: Request) -> None:
    """Refuse URL parameters that the API does not know. Raises EngineError 400."""
    for name, value in request.params.items():
        if name in _NOT_HERE and name not in route.params:
            raise refused(f"the URL parameter [{name}]")
        if name not in route.params | _ANY:
            raise bad(f"request [{request.path}] contains an unrecognized parameter: [{name}]")
        if name == "format" and value != "json" and not (value == "text" and route.params == _TABLE):
            raise refused(f"[format={value}]")
