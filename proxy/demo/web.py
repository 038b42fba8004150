"""The demo's page and the one question it asks: both orders of a search, from the proxy's explain page."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from proxy.demo.stack import DATA, FIELDS, INDEX, Stack

_PAGE = Path(__file__).with_name("page")
_FILES = {
    "/": ("index.html", "text/html"),
    "/demo.js": ("demo.js", "text/javascript"),
    "/demo.css": ("demo.css", "text/css"),
}
_MAX_QUERY = 300
STACK = web.AppKey("stack", Stack)
SESSION = web.AppKey("session", aiohttp.ClientSession)
_SAFE = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def make_app(stack: Stack) -> web.Application:
    """Return the page's server."""
    app = web.Application()
    app[STACK] = stack
    app.cleanup_ctx.append(_session)
    for path in _FILES:
        app.router.add_get(path, _file)
    app.router.add_get("/api/search", _search)
    app.router.add_get("/api/queries", _queries)
    return app


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        app[SESSION] = session
        yield


async def _file(request: web.Request) -> web.Response:
    name, content_type = _FILES[request.path]
    text = (_PAGE / name).read_text(encoding="utf-8")
    return web.Response(text=text, content_type=content_type, headers=_SAFE)


async def _search(request: web.Request) -> web.Response:
    query = request.query.get("q", "").strip()[:_MAX_QUERY]
    if not query:
        return web.json_response({"error": "Type what you are looking for."}, status=400)
    stack = request.app[STACK]
    url = f"{stack.proxy_url}/_rerank/explain/{INDEX}"
    try:
        async with request.app[SESSION].post(url, json=search_body(query)) as answer:
            shown = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError) as error:
        return web.json_response({"error": f"The proxy does not answer: {error}"}, status=502)
    if answer.status != 200:
        return web.json_response({"error": f"The proxy answers {answer.status}."}, status=502)
    return web.json_response({**shown, "grades": _grades().get(query.casefold(), {})}, headers=_SAFE)


def search_body(query: str) -> dict[str, Any]:
    """Return the page's search: an ordinary one, with nothing in it that speaks of reranking."""
    return {"query": {"multi_match": {"query": query, "fields": list(FIELDS)}}, "size": 50}


async def _queries(request: web.Request) -> web.Response:
    stack = request.app[STACK]
    texts = list(_query_ids())
    return web.json_response(
        {"queries": texts, "fields": FIELDS, "products": stack.products, "proxy": stack.proxy_url}, headers=_SAFE
    )


def _query_ids() -> dict[str, str]:
    """Text of each judged query -> its id."""
    with (DATA / "queries.tsv").open(encoding="utf-8", newline="") as file:
        return {text: qid for qid, text in csv.reader(file, delimiter="\t")}


def _grades() -> dict[str, dict[str, int]]:
    """Text of each judged query, in lower case -> product id -> grade, 0 to 3."""
    by_id: dict[str, dict[str, int]] = {}
    with (DATA / "qrels.tsv").open(encoding="utf-8") as file:
        for line in file:
            qid, _, product, grade = line.split()
            by_id.setdefault(qid, {})[product] = int(grade)
    return {text.casefold(): by_id.get(qid, {}) for text, qid in _query_ids().items()}
