"""The demo's parts: the embedded engine with the sample catalogue, and the proxy before it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from proxy.edge.server import start_proxy
from proxy.embedded import start_embedded
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


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the parts listen."""

    engine_url: str
    proxy_url: str
    products: int


@asynccontextmanager
async def running_stack(listen: Listen, model: str) -> AsyncIterator[Stack]:
    """Start engine and proxy, the catalogue loaded; stop both at the end.

    Raises:
        OSError: the proxy's address cannot be had.
    """
    engine = await start_embedded()
    try:
        products = await _load(engine.url)
        rule = Rule(model=model, budget_ms=BUDGET_MS)
        proxy = await start_proxy(Settings(upstream=(engine.url,), listen=listen, rules=(rule,)))
        try:
            yield Stack(engine.url, proxy.url, products)
        finally:
            await proxy.close()
    finally:
        await engine.close()


async def _load(url: str) -> int:
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
        if (await answer.json())["errors"]:
            raise RuntimeError("the sample catalogue was not taken whole by the embedded engine")
    return len(products)
