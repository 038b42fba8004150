"""Builds each query's search and sends it: to the engine and through the proxy."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from proxy.edge.outcome_headers import STATUS_HEADER
from proxy.evaluate.qrels import BadInput

PLACEHOLDER = "{query}"
Body = dict[str, Any]
BuildBody = Callable[[str], Body]
"""Query text -> search body."""


class SearchFailed(Exception):
    """A search brought no answer that could be measured; the message says why in one line."""


class Unusable(Exception):
    """The engine or the proxy cannot be measured at all; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Side:
    """Where searches go: the engine or the proxy."""

    name: str
    url: URL
    """Root of the engine or proxy; may hold a user name and a password."""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The address without credentials."""
        return str(self.url.with_user(None)) if self.url.user else str(self.url)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one search."""

    ids: list[str]
    """Document ids, best first, each once."""
    status: str | None
    """The proxy's ``X-Rerank-Status``; None where there was none."""
    seconds: float
    """From sending the request to the last byte of the answer."""


def from_fields(fields: str) -> BuildBody:
    """Return the builder of a ``match`` on one field, or a ``multi_match`` on several (``title^2,brand``).

    Raises BadInput.
    """
    names = [name.strip() for name in fields.split(",")]
    if not all(names):
        raise BadInput(f"fields: expected names such as title^2,brand, found {fields!r}")
    if len(names) == 1 and "^" not in names[0] and "*" not in names[0]:
        return lambda query: {"query": {"match": {names[0]: query}}}
    return lambda query: {"query": {"multi_match": {"query": query, "fields": names}}}


def from_template(path: Path) -> BuildBody:
    """Return the builder that puts the query in place of ``{query}`` in every string of the JSON file.

    Raises BadInput.
    """
    try:
        template = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BadInput(f"{path}: not JSON: {error}") from None
    if not isinstance(template, dict):
        raise BadInput(f"{path}: expected a search body, a JSON object")
    if not _holds_placeholder(template):
        raise BadInput(f'{path}: no string holds {PLACEHOLDER}; write "{PLACEHOLDER}" where the query goes')
    return lambda query: {key: _filled(value, query) for key, value in template.items()}


def _holds_placeholder(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_placeholder, value.values()))
    if isinstance(value, list):
        return any(map(_holds_placeholder, value))
    return isinstance(value, str) and PLACEHOLDER in value


def _filled(value: Any, query: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, query) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, query) for item in value]
    return value.replace(PLACEHOLDER, query) if isinstance(value, str) else value


def sized(body: Body, size: int) -> Body:
    """Return the body that asks for the first ``size`` hits."""
    return {**body, "size": size, "from": 0} if "from" in body else {**body, "size": size}


def among(body: Body, ids: Sequence[str]) -> Body:
    """Return the body that ranks just the documents ``ids``, those too that its query does not match.

    Raises BadInput where the body has no ``query``.
    """
    if "query" not in body:
        raise BadInput("--judged-only needs a body with a query of its own (not a retriever or knn alone)")
    narrowed = copy.copy(body)
    narrowed["query"] = {
        "bool": {"should": [body["query"]], "minimum_should_match": 0, "filter": [{"ids": {"values": list(ids)}}]}
    }
    return sized(narrowed, len(ids))


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    rerank: str | None
    """``X-Rerank-Status``."""
    body: Any
    """Parsed; None where it is not JSON."""
    seconds: float


async def check(session: aiohttp.ClientSession, side: Side, index: str) -> None:
    """Ask for no hits, so that whatever is wrong is said before the first query. Raises Unusable."""
    where = f"{side.name} at {side.shown}"
    try:
        reply = await _post(session, side, index, {"size": 0})
    except SearchFailed as error:
        raise Unusable(f"{where}: {error}") from None
    if reply.status == 404:
        raise Unusable(f"{where}: there is no index {index!r} (404); load it first, or name another with --index")
    if reply.status in (401, 403):
        raise Unusable(f"{where}: refused ({reply.status}); give credentials with --header or in the URL")
    if reply.status != 200:
        raise Unusable(f"{where}: answered {reply.status}: {_reason(reply.body)}")
    hits = reply.body.get("hits") if isinstance(reply.body, dict) else None
    if not isinstance(hits, dict):
        raise Unusable(f"{where}: that was no search answer; is it Elasticsearch or OpenSearch?")
    total = hits.get("total")
    if (total.get("value") if isinstance(total, dict) else total) == 0:
        raise Unusable(f"{where}: {index!r} holds no documents; load them first")


async def search(session: aiohttp.ClientSession, side: Side, index: str, body: Body) -> Answer:
    """Send one search. Raises SearchFailed for anything but a whole answer of all shards."""
    reply = await _post(session, side, index, body)
    if reply.status != 200:
        raise SearchFailed(f"answered {reply.status}: {_reason(reply.body)}")
    try:
        ids = [hit["_id"] for hit in reply.body["hits"]["hits"]]
        failed, timed_out = reply.body.get("_shards", {}).get("failed", 0), reply.body.get("timed_out", False)
    except (KeyError, TypeError, AttributeError):
        raise SearchFailed("the answer has no hits with an _id") from None
    if failed or timed_out:
        raise SearchFailed("timed out" if timed_out else f"{failed} shards failed")
    return Answer(ids=list(dict.fromkeys(ids)), status=reply.rerank, seconds=reply.seconds)


async def _post(session: aiohttp.ClientSession, side: Side, index: str, body: Body) -> _Reply:
    """Send a search body and read the answer to its end. Raises SearchFailed where there is none."""
    path = f"{side.url.raw_path.rstrip('/')}/{quote(index, safe='*,')}/_search"
    address = side.url.with_path(path, encoded=True)
    headers = {"Content-Type": "application/json", **side.headers}
    data = json.dumps(body).encode()
    begin = time.perf_counter()
    try:
        async with session.post(address, data=data, headers=headers) as response:
            raw = await response.read()
            seconds = time.perf_counter() - begin
            status, rerank = response.status, response.headers.get(STATUS_HEADER)
    except TimeoutError:
        raise SearchFailed("no answer in time (--timeout-s)") from None
    except aiohttp.ClientConnectorError as error:
        raise SearchFailed(f"cannot be reached: {_plainly(error.os_error)}") from None
    except (aiohttp.ClientError, OSError) as error:
        raise SearchFailed(f"the connection failed: {str(error) or type(error).__name__}") from None
    try:
        return _Reply(status, rerank, json.loads(raw), seconds)
    except ValueError:
        return _Reply(status, rerank, None, seconds)


def _plainly(error: OSError) -> str:
    """Return what went wrong without the address, which is shown already."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def _reason(answer: Any) -> str:
    """Return the engine's reason in an error body."""
    error = answer.get("error") if isinstance(answer, dict) else None
    reason = error.get("reason") or error.get("type") if isinstance(error, dict) else error
    return str(reason or "without a reason").replace("\n", " ")[:300]
