"""The demo's parts: the embedded engine with the sample catalogue, and the proxy before it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from proxy.core.context import IDENTITY
from proxy.edge.server import Proxy, start_proxy
from proxy.embedded import start_embedded
from proxy.scorer.models import ModelNotFound, find_model
from proxy.settings import Listen, Rule, Settings

DATA = Path(__file__).with_name("data")
INDEX = "products"
FIELDS = ("title^3", "brand", "color", "bullets", "description")
"""What the page's searches look at; no rule says so to the proxy, it finds the fields in the query."""

_TEXT = {"type": "text", "analyzer": "english"}
_NAME = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
_MAPPING = {
    "mappings": {
        "properties": {
            "title": _TEXT,
            "description": _TEXT,
            "bullets": _TEXT,
            "brand": _NAME,
            "color": _NAME,
            "category": {"type": "keyword"},
            "price": {"type": "float"},
            "stars": {"type": "float"},
            "ratings": {"type": "integer"},
        }
    }
}
BUDGET_MS = 5000
"""Generous: the demo shows what reranking does to the order; its page says how long it took."""


class CannotStart(Exception):
    """The demo cannot run; the text says why in one line."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the parts listen."""

    engine_url: str
    proxy_url: str
    products: int


@asynccontextmanager
async def running_stack(listen: Listen, model: str) -> AsyncIterator[Stack]:
    """Start engine and proxy, the catalogue loaded; stop both at the end. ``listen``: the proxy's address.

    Raises:
        CannotStart: there is no such model, it does not work, or the proxy's address cannot be had.
    """
    _check_exists(model)
    engine = await start_embedded()
    try:
        products = await load_catalogue(engine.url)
        settings = Settings(
            upstream=(engine.url,), listen=listen, rules=(Rule(model=model, budget_ms=BUDGET_MS),), shutdown_grace_s=5
        )
        try:
            proxy = await start_proxy(settings)
        except OSError as error:
            raise CannotStart(f"the proxy cannot listen on {listen}: {error.strerror or error}") from error
        try:
            await _check_scores(proxy)
            yield Stack(engine.url, proxy.url, products)
        finally:
            await proxy.close()
    finally:
        await engine.close()


def _check_exists(model: str) -> None:
    if model == IDENTITY:
        return
    try:
        find_model(model)
    except ModelNotFound as error:
        raise CannotStart(str(error)) from error


async def _check_scores(proxy: Proxy) -> None:
    """A proxy without its model goes on in the engine's order; a demo of reranking has nothing to show then."""
    for model in await proxy.services.scorer.health(probe=True):
        if not model.ok:
            raise CannotStart(f"the model {model.name} does not work: {model.detail}")


async def load_catalogue(url: str) -> int:
    """Create the index on the engine at ``url`` and fill it; return the number of products.

    Raises:
        CannotStart: the engine refused some.
    """
    products = [json.loads(line) for line in (DATA / "products.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = []
    for product in products:
        lines.append(json.dumps({"index": {"_id": product.pop("id")}}))
        lines.append(json.dumps(product, ensure_ascii=False))
    body = "\n".join([*lines, ""]).encode()
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        await session.put(f"{url}/{INDEX}", json=_MAPPING)
        headers = {"Content-Type": "application/x-ndjson"}
        answer = await session.post(f"{url}/{INDEX}/_bulk?refresh=true", data=body, headers=headers)
        items = (await answer.json())["items"]
    refused = [item["index"] for item in items if item["index"]["status"] >= 300]
    if refused:
        raise CannotStart(f"the embedded engine refused {len(refused)} products, the first so: {refused[0]}")
    return len(items)
