"""When a document's texts must be fetched by a search of their own, because fields that we ask for would show.

Fields that are added to others come in an order that depends on their number. Elasticsearch, once it has read a field's
values, filters ``_source`` by its decoded form: keys come in another order, and a pattern such as ``*e`` matches paths
inside of objects, which it does not otherwise. ``top_hits`` aggregations and the options of completion suggesters show
the added fields too, and a profile tells of them. (Seen on Elasticsearch 8.19 and 9.5; completions on OpenSearch 2.19
and 3.8 as well, whose ``_source`` does not change, and profiles on 3.8.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from proxy.core.limits import objects_in
from proxy.core.rawjson import Span, apply_edits, insertion, object_members, removal, strip_span

_SHOWN_ONLY = (
    "fields",
    "_source",
    "docvalue_fields",
    "stored_fields",
    "script_fields",
    "highlight",
    "explain",
    "profile",
    "version",
    "seq_no_primary_term",
    "suggest",
)
"""Keys of a body, or names of parameters, that say what is shown, not which hits there are."""
_AGGREGATIONS = ("aggs", "aggregations")


def fields_would_show(url: dict[str, str], body: dict[str, Any], elasticsearch: bool | None) -> bool:
    """Say whether fields added to a search could be seen otherwise than in the ``fields`` of its hits.

    ``elasticsearch`` None: it is not known which engine it is.
    """
    if elasticsearch is not False and _filters_source(url, body):
        return True
    return sections_show_fields(body)


def sections_show_fields(body: dict[str, Any]) -> bool:
    """Say whether a search has sections beside the hits that show the fields asked for.

    A profile lists what was done to fetch the hits.
    """
    if body.get("profile") not in (None, False, "false"):
        return True
    return any(_holds(body.get(key), "top_hits") for key in _AGGREGATIONS) or _holds(body.get("suggest"), "completion")


def _filters_source(url: dict[str, str], body: dict[str, Any]) -> bool:
    if url.get("_source_includes") or url.get("_source_excludes"):
        return True
    named = url.get("_source")
    if named is not None:
        return named not in ("", "true", "false")
    source = body.get("_source")
    return not isinstance(source, bool) and (isinstance(source, str) or bool(source))


def _holds(value: object, key: str) -> bool:
    return any(key in one for one in objects_in(value))


def texts_params(names: Iterable[str]) -> list[str]:
    """Return which of these URL parameters a search for texts goes without: those that say what is shown."""
    dropped = {*_SHOWN_ONLY, "_source_includes", "_source_excludes", "_source_exclude_vectors", "filter_path"}
    return [name for name in names if name in dropped]


def texts_body(body: bytes, fields: Iterable[str], keep_aggregations: bool) -> bytes:
    """Return a search's body changed so that it gives the same hits with these fields and nothing else.

    Args:
        body: a search.
        fields: names of fields.
        keep_aggregations: they decide about which hits there are where collecting ends early.
    """
    span = strip_span(body)
    doomed = [*_SHOWN_ONLY, *(() if keep_aggregations else _AGGREGATIONS)]
    bare = apply_edits(body, removal(object_members(body, span), doomed))
    for key, value in ((b"_source", b"false"), (b"fields", msgspec.json.encode(list(fields)))):
        whole = Span(*strip_span(bare))
        bare = apply_edits(bare, [insertion(object_members(bare, whole), key, value, whole)])
    return bare
