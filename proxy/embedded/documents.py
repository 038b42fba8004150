"""The document APIs: one at a time and in bulk."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import orjson

from proxy.embedded.engine import Engine
from proxy.embedded.errors import EngineError, bad
from proxy.embedded.fetch import read_source_filter
from proxy.embedded.index import Document, Index
from proxy.embedded.messages import Answer, Request
from proxy.embedded.values import as_bool, parse_object

_ACTIONS = ("index", "create", "update", "delete")
_ONE_SHARD = {"total": 1, "successful": 1, "failed": 0}


def get_document(engine: Engine, request: Request) -> Answer:
    """``GET``: the document as it was last written, refreshed or not."""
    index = engine.get(request.parts["index"])
    document = index.get(request.parts["id"])
    shown: dict[str, Any] = {"_index": index.name, "_id": request.parts["id"]}
    if document is None:
        return Answer(404, {**shown, "found": False})
    shown |= {"_version": document.version, "_seq_no": document.sequence, "_primary_term": 1, "found": True}
    source = read_source_filter(request.params)
    return Answer(200, shown | ({"_source": source.apply(document.source)} if source.shown else {}))


def put_document(engine: Engine, request: Request) -> Answer:
    """``PUT`` or ``POST``: write a document; an id is made where none is given."""
    kind = request.params.get("op_type", "index")
    if kind not in ("index", "create"):
        raise bad(f"[op_type] is [{kind}], but only [index] and [create] are allowed")
    return _write(engine, request, kind)


def create_document(engine: Engine, request: Request) -> Answer:
    """``_create``: write a document that must not be there yet."""
    return _write(engine, request, "create")


def update_document(engine: Engine, request: Request) -> Answer:
    """``_update``: change part of a document."""
    return _write(engine, request, "update")


def delete_document(engine: Engine, request: Request) -> Answer:
    """``DELETE`` of one document."""
    engine.get(request.parts["index"])
    return _write(engine, request, "delete")


def _write(engine: Engine, request: Request, action: str) -> Answer:
    if action != "delete" and not request.body:
        raise EngineError(400, "parse_exception", "request body is required")
    refresh = _refresh_wanted(request)
    index = engine.get_or_create(request.parts["index"])
    status, result = _apply(index, action, request.parts.get("id"), request.body)
    if refresh:
        index.refresh()
        result = _with_forced_refresh(request, result)
    path = f"/{quote(index.name, safe='')}/_doc/{quote(result['_id'], safe='')}"
    return Answer(status, result, {"Location": path} if status == 201 else {})


def _refresh_wanted(request: Request) -> bool:
    wanted = request.params.get("refresh", "false")
    return wanted == "wait_for" or as_bool("refresh", wanted)


def _with_forced_refresh(request: Request, result: dict[str, Any]) -> dict[str, Any]:
    if request.params["refresh"] == "wait_for" or "result" not in result:
        return result
    items = list(result.items())
    place = [key for key, _ in items].index("result") + 1
    return dict([*items[:place], ("forced_refresh", True), *items[place:]])


def _apply(index: Index, action: str, doc_id: str | None, source: bytes) -> tuple[int, dict[str, Any]]:
    """Do one action; return its status and its result. Raises EngineError."""
    if action == "delete":
        document, result = index.delete(doc_id or "")
        return 200 if result == "deleted" else 404, _result(index, document, result)
    if action == "update":
        document, result = index.update(doc_id or "", parse_object(source, "an update"))
        return 201 if result == "created" else 200, _result(index, document, result)
    document = index.put(secrets.token_urlsafe(15) if doc_id is None else doc_id, source, action == "create")
    result = "created" if document.version == 1 else "updated"
    return 201 if result == "created" else 200, _result(index, document, result)


def _result(index: Index, document: Document, result: str) -> dict[str, Any]:
    shown = {
        "_index": index.name,
        "_id": document.id,
        "_version": document.version,
        "result": result,
        "_shards": _ONE_SHARD,
    }
    return shown | {"_seq_no": document.sequence, "_primary_term": 1}


def bulk(engine: Engine, request: Request) -> Answer:
    """``_bulk``: many actions; one that fails does not stop the others."""
    started = time.monotonic()
    refresh = _refresh_wanted(request)
    items: list[dict[str, Any]] = []
    touched: dict[str, Index] = {}
    for action, name, doc_id, source in list(_actions(request)):
        try:
            index = touched[name] = engine.get_or_create(name)
            status, result = _apply(index, action, doc_id, source)
        except EngineError as error:
            status, result = error.status, {"_index": name, "_id": doc_id, "status": error.status}
            result["error"] = error.cause()
        items.append({action: {**result, "status": status}})
    if refresh:
        for index in touched.values():
            index.refresh()
    errors = any("error" in result for item in items for result in item.values())
    took = round((time.monotonic() - started) * 1000)
    return Answer(200, {"errors": errors, "took": took, "items": items})


def _actions(request: Request) -> Iterator[tuple[str, str, str | None, bytes]]:
    """Yield action, index, id and source of each item. Raises EngineError 400 for lines that cannot be told apart."""
    if not request.body.strip():
        raise EngineError(400, "parse_exception", "request body is required")
    if not request.body.endswith(b"\n"):
        raise bad("the bulk request must be terminated by a newline [\\n]")
    lines = iter(enumerate(request.body.split(b"\n")[:-1], 1))
    for number, line in lines:
        if not line.strip():
            continue
        action, meta = _action(line, number)
        name = meta.get("_index", request.parts.get("index"))
        if not name:
            raise EngineError(400, "action_request_validation_exception", f"line [{number}]: index is missing")
        doc_id = meta.get("_id")
        if doc_id is None and action in ("update", "delete"):
            raise EngineError(400, "action_request_validation_exception", f"line [{number}]: id is missing")
        source = b"" if action == "delete" else next(lines, (0, b""))[1]
        if action != "delete" and not source:
            raise bad(f"line [{number}]: the line with the [{action}]'s source is missing")
        yield action, str(name), None if doc_id is None else str(doc_id), source.removesuffix(b"\r")


def _action(line: bytes, number: int) -> tuple[str, dict[str, Any]]:
    try:
        content = orjson.loads(line)
        (action, meta), *more = content.items()
    except (ValueError, AttributeError):
        raise bad(f"malformed action/metadata line [{number}], expected an object with one action") from None
    if more or action not in _ACTIONS or not isinstance(meta, dict):
        raise bad(f"malformed action/metadata line [{number}], expected one of {list(_ACTIONS)} but found [{action}]")
    for key in meta:
        if key not in ("_index", "_id", "retry_on_conflict"):
            raise bad(f"action/metadata line [{number}] contains an unknown parameter [{key}]")
    return action, meta


def refresh(engine: Engine, request: Request) -> Answer:
    """``_refresh``."""
    indices = engine.resolve(request.parts.get("index"), request.params)
    for index in indices:
        index.refresh()
    return Answer(200, {"_shards": {"total": len(indices), "successful": len(indices), "failed": 0}})
