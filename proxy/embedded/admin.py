"""The APIs about indices and the engine itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxy import __version__
from proxy.embedded.engine import Engine, read_settings
from proxy.embedded.errors import bad, refused
from proxy.embedded.index import Index
from proxy.embedded.mapping import Field
from proxy.embedded.messages import Answer, Request
from proxy.embedded.values import as_bool, as_names, known_keys, matches_any, parse_object

_ACKNOWLEDGED = {"acknowledged": True}
_API_VERSION = "9.0.0"
"""The version of the engine whose API is spoken; clients look at it."""
_IDLE = (
    "relocating_shards initializing_shards unassigned_shards delayed_unassigned_shards number_of_pending_tasks"
    " number_of_in_flight_fetch task_max_waiting_in_queue_millis"
)
_OWN_FIELDS = {"_id": True, "_index": True, "_source": False}
"""The engine's own fields, and whether they can be searched."""


def root(engine: Engine, request: Request) -> Answer:
    """``/``: who answers."""
    version = {
        "number": _API_VERSION,
        "build_flavor": "embedded",
        "build_type": f"rerank-proxy {__version__}",
        "build_hash": "unknown",
        "build_date": "1970-01-01T00:00:00.000Z",
        "build_snapshot": False,
        "lucene_version": "none (tantivy)",
        "minimum_wire_compatibility_version": "8.0.0",
        "minimum_index_compatibility_version": "8.0.0",
    }
    names = {"name": "embedded", "cluster_name": "rerank-proxy-embedded", "cluster_uuid": "embedded"}
    return Answer(200, {**names, "version": version, "tagline": "You Know, for Search"})


def create_index(engine: Engine, request: Request) -> Answer:
    """``PUT /{index}``."""
    name = request.parts["index"]
    engine.create(name, parse_object(request.body, "a new index") if request.body.strip() else {})
    return Answer(200, {**_ACKNOWLEDGED, "shards_acknowledged": True, "index": name})


def delete_index(engine: Engine, request: Request) -> Answer:
    """``DELETE /{index}``."""
    engine.delete(request.parts["index"], request.params)
    return Answer(200, _ACKNOWLEDGED)


def show_index(engine: Engine, request: Request) -> Answer:
    """``GET`` and ``HEAD /{index}``: all that is known of it."""
    indices = _indices(engine, request)
    shown = {
        index.name: {"aliases": {}, "mappings": index.mapping.as_json(), "settings": _settings(index)}
        for index in indices
    }
    return Answer(200, shown)


def _indices(engine: Engine, request: Request) -> list[Index]:
    return engine.resolve(request.parts.get("index"), request.params)


def show_mapping(engine: Engine, request: Request) -> Answer:
    """``GET _mapping``."""
    return Answer(200, {index.name: {"mappings": index.mapping.as_json()} for index in _indices(engine, request)})


def put_mapping(engine: Engine, request: Request) -> Answer:
    """``PUT _mapping``: more fields."""
    for index in _indices(engine, request):
        index.put_mapping(parse_object(request.body, "a mapping"))
    return Answer(200, _ACKNOWLEDGED)


def _settings(index: Index, patterns: Iterable[str] = ("*",)) -> dict[str, Any]:
    flat = {
        **index.settings["index"],
        "provided_name": index.name,
        "creation_date": str(index.created_ms),
        "uuid": index.uuid,
    }
    shown: dict[str, Any] = {}
    for name, value in sorted(flat.items()):
        if matches_any(f"index.{name}", patterns):
            *parents, leaf = f"index.{name}".split(".")
            node = shown
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = value
    return shown


def show_settings(engine: Engine, request: Request) -> Answer:
    """``GET _settings``, all or those whose names match."""
    patterns = as_names("name", request.parts.get("name", "*"))
    shown = {index.name: _settings(index, patterns) for index in _indices(engine, request)}
    return Answer(200, {name: {"settings": settings} for name, settings in shown.items() if settings})


def put_settings(engine: Engine, request: Request) -> Answer:
    """``PUT _settings``."""
    body = parse_object(request.body, "settings")
    for index in _indices(engine, request):
        index.settings = read_settings(body.get("settings", body), index.settings["index"])
    return Answer(200, _ACKNOWLEDGED)


def field_caps(engine: Engine, request: Request) -> Answer:
    """``_field_caps``: fields and their types over all indices."""
    body = known_keys("field_caps", parse_object(request.body, "a body") if request.body.strip() else {}, {"fields"})
    patterns = as_names("fields", request.params.get("fields", body.get("fields", [])))
    if not patterns:
        raise bad("[_field_caps] needs [fields]")
    if as_bool("include_unmapped", request.params.get("include_unmapped", "false")):
        raise refused("[include_unmapped]")
    indices = _indices(engine, request)
    found: dict[str, dict[str, list[str]]] = {}
    shown: dict[str, dict[str, dict[str, Any]]] = {}
    for index in indices:
        for name, kind, searchable, counted in _capabilities(index):
            if matches_any(name, patterns):
                found.setdefault(name, {}).setdefault(kind, []).append(index.name)
                about = {"type": kind, "metadata_field": name in _OWN_FIELDS, "searchable": searchable}
                shown.setdefault(name, {})[kind] = {**about, "aggregatable": counted}
    for name, kinds in found.items():
        for kind, names in kinds.items() if len(kinds) > 1 else ():
            shown[name][kind]["indices"] = names
    return Answer(200, {"indices": [index.name for index in indices], "fields": shown})


def _capabilities(index: Index) -> Iterable[tuple[str, str, bool, bool]]:
    """Yield name, type, whether it can be searched and whether counted."""
    for own, searchable in _OWN_FIELDS.items():
        yield own, own, searchable, False
    for name in index.mapping.objects:
        yield name, "object", False, False
    fields: dict[str, Field] = index.mapping.fields
    for field in fields.values():
        yield field.name, field.type, field.index, field.type != "text"


def health(engine: Engine, request: Request) -> Answer:
    """``_cluster/health``: always green, there is one copy of everything and it is here."""
    shards = len(_indices(engine, request))
    counts = {"number_of_nodes": 1, "number_of_data_nodes": 1, "active_primary_shards": shards, "active_shards": shards}
    idle = dict.fromkeys(_IDLE.split(), 0)
    start = {"cluster_name": "rerank-proxy-embedded", "status": "green", "timed_out": False}
    return Answer(200, {**start, **counts, **idle, "active_shards_percent_as_number": 100.0})


def cat_indices(engine: Engine, request: Request) -> Answer:
    """``_cat/indices``: a table, or JSON with ``format=json``."""
    rows = [
        {
            "health": "green",
            "status": "open",
            "index": index.name,
            "uuid": index.uuid,
            "pri": "1",
            "rep": "0",
            "docs.count": str(len(index)),
            "docs.deleted": "0",
        }
        for index in _indices(engine, request)
    ]
    columns = as_names("h", request.params["h"]) if "h" in request.params else None
    if columns is not None:
        rows = [{name: row[name] for name in columns if name in row} for row in rows]
    kind = request.params.get("format", "text")
    if kind == "json":
        return Answer(200, rows)
    head = [{name: name for name in rows[0]}] if rows and as_bool("v", request.params.get("v", "false")) else []
    widths = {name: max(len(row[name]) for row in head + rows) for name in (rows[0] if rows else ())}
    lines = [" ".join(text.ljust(widths[name]) for name, text in row.items()).rstrip() for row in head + rows]
    return Answer(200, "".join(f"{line}\n" for line in lines))
