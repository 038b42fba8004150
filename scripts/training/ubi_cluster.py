"""Reads the UBI indices of a live cluster, Elasticsearch or OpenSearch, page by page with a scroll."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from tqdm import tqdm

from esci_loader.client import Access, EngineError, connect
from esci_loader.load import api_error_types
from proxy.evaluate.qrels import BadInput
from training.options import Options

PAGE = 1000
"""Records a page."""
_KEPT = "5m"
"""How long the engine keeps a scroll between two pages."""
_QUERY_FIELDS = ["query_id", "user_query", "query_response_hit_ids", "client_id", "session_id", "timestamp"]
_EVENT_FIELDS = [
    *("action_name", "query_id", "user_query", "client_id", "session_id", "timestamp", "event_attributes.session_id"),
    *("event_attributes.object.object_id", "event_attributes.object.internal_id", "event_attributes.position.ordinal"),
]
Records = Iterator[tuple[str, Any]]


def read(options: Options, actions: Sequence[str], since: float | None) -> tuple[Records, Records]:
    """Return the queries and the events, as `training.ubi_log` takes them; a record's place is ``index/_doc/id``.

    Args:
        options: ``url``, ``user``, ``api_key``, ``ca``, ``queries_index`` and ``events_index``.
        actions: names of the actions that are asked for.
        since: seconds since 1970; older records are not asked for.

    Raises:
        BadInput: from the iterators: the cluster cannot be reached, refuses the login, or has no such index.
    """
    user, key, ca = (options.text(name) if options.has(name) else None for name in ("user", "api_key", "ca"))
    access = Access(options.text("url"), user, key, ca)
    # `match` finds an action whether its field is a keyword, as the plugin has it, or a text, as a guess makes it.
    done = {"bool": {"should": [{"match": {"action_name": action}} for action in actions]}}
    return (
        _records(access, options.text("queries_index", "ubi_queries"), _QUERY_FIELDS, _recent(since)),
        _records(access, options.text("events_index", "ubi_events"), _EVENT_FIELDS, [done, *_recent(since)]),
    )


def _recent(since: float | None) -> list[dict[str, Any]]:
    if since is None:
        return []
    recent = {"range": {"timestamp": {"gte": int(since * 1000)}}}
    timeless = {"bool": {"must_not": {"exists": {"field": "timestamp"}}}}
    return [{"bool": {"should": [recent, timeless]}}]


def _records(access: Access, index: str, fields: list[str], filters: list[dict[str, Any]]) -> Records:
    body = {"_source": fields, "query": {"bool": {"filter": filters}}}
    loop = asyncio.new_event_loop()
    client: Any = None
    pages: Any = None
    try:
        client = loop.run_until_complete(connect(access))
        total = loop.run_until_complete(client.count(index=index, body={"query": body["query"]}))["count"]
        pages = _scan(client)(client, query=body, index=index, size=PAGE, scroll=_KEPT, request_timeout=None)
        with tqdm(total=total, desc=index, unit="", disable=None) as bar:
            while (hit := loop.run_until_complete(anext(pages, None))) is not None:
                bar.update()
                yield f"{index}/_doc/{hit['_id']}", hit["_source"]
    except EngineError as error:
        raise BadInput(str(error)) from None
    except api_error_types() as error:
        raise BadInput(f"{access.url}: the index {index!r} cannot be read: {_reason(error)}") from None
    finally:
        loop.run_until_complete(_close(client, pages))
        loop.close()


async def _close(client: Any, pages: Any) -> None:
    """Let the engine drop the scroll, which needs the client, then close that."""
    if pages is not None:
        with contextlib.suppress(*api_error_types()):
            await pages.aclose()
    if client is not None:
        await client.close()


def _scan(client: Any) -> Any:
    import opensearchpy
    from elasticsearch.helpers import async_scan

    is_opensearch = isinstance(client, opensearchpy.AsyncOpenSearch)
    return opensearchpy.helpers.async_scan if is_opensearch else async_scan


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
