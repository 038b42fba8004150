"""The demo's page and the one question it asks: both orders of a search, from the proxy's explain page."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from proxy.demo.stack import DATA, FIELDS, INDEX, Stack

SAMPLE_QUERY = "phone case without card holder"
"""What the page opens with: the first of the sample's queries."""
PAGE = Path(__file__).with_name("page")
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_FILES = {"/": "index.html", "/demo.js": "demo.js", "/demo.css": "demo.css"}
_MAX_QUERY = 300
"""Characters; the page's search box has the same limit."""
_SIZE = 50
_AGAIN = "Stop the demo with Ctrl-C and start it again."
_SAFE = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
STACK = web.AppKey("stack", Stack)
SESSION = web.AppKey("session", aiohttp.ClientSession)


def make_app(stack: Stack) -> web.Application:
    """Return the page's server: ``/``, ``/api/search?q=…`` and ``/api/queries``."""
    app = web.Application()
    app[STACK] = stack
    app.cleanup_ctx.append(_session)
    for path, name in _FILES.items():
        app.router.add_get(path, _file((PAGE / name).read_text(encoding="utf-8"), _TYPES[Path(name).suffix]))
    app.router.add_get("/api/search", _search)
    app.router.add_get("/api/queries", _queries)
    return app


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        app[SESSION] = session
        yield


def _file(text: str, content_type: str) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=content_type, headers=_SAFE)

    return answer


async def _search(request: web.Request) -> web.Response:
    """Answer the proxy's explanation of the search, with ``grades`` beside it.

    Where there are no orders to show, ``error`` says why in words, ``detail`` what exactly happened.
    """
    query = request.query.get("q", "").strip()
    if not query:
        return _json({"error": "Type what you are looking for."}, 400)
    if len(query) > _MAX_QUERY:
        return _json({"error": f"That is longer than {_MAX_QUERY} characters. Try fewer words."}, 400)
    stack = request.app[STACK]
    url = f"{stack.proxy_url}/_rerank/explain/{INDEX}"
    try:
        async with request.app[SESSION].post(url, json=search_body(query)) as answer:
            shown = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return _trouble(f"The proxy does not answer. {_AGAIN}", str(error) or type(error).__name__)
    if answer.status != 200:
        return _trouble("The proxy refused the search.", f"status {answer.status}")
    engine = shown.get("engine")  # only there where the engine gave no hits
    if engine is not None:
        said = "does not answer" if engine["status"] == 0 else f"answers with status {engine['status']}"
        return _trouble(f"The search engine {said}. {_AGAIN}", engine["detail"], shown)
    return _json({**shown, "grades": judgements().get(query.casefold(), {})})


def _trouble(error: str, detail: str, shown: dict[str, Any] | None = None) -> web.Response:
    return _json({**(shown or {}), "error": error, "detail": detail}, 502)


def search_body(query: str) -> dict[str, Any]:
    """Return the page's search: an ordinary one, with nothing in it that speaks of reranking."""
    return {"query": {"multi_match": {"query": query, "fields": list(FIELDS)}}, "size": _SIZE}


async def _queries(_: web.Request) -> web.Response:
    return _json({"queries": list(sample_queries())})


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(content, status=status, headers=_SAFE)


@cache
def sample_queries() -> dict[str, str]:
    """Return text of each judged query -> its id, in the file's order."""
    with (DATA / "queries.tsv").open(encoding="utf-8", newline="") as file:
        return {text: qid for qid, text in csv.reader(file, delimiter="\t")}


@cache
def judgements() -> dict[str, dict[str, int]]:
    """Return text of each judged query, in lower case -> product id -> grade, 0 to 3."""
    by_id: dict[str, dict[str, int]] = {}
    with (DATA / "qrels.tsv").open(encoding="utf-8") as file:
        for line in file:
            qid, _, product, grade = line.split()
            by_id.setdefault(qid, {})[product] = int(grade)
    return {text.casefold(): by_id.get(qid, {}) for text, qid in sample_queries().items()}
