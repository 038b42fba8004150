"""A running embedded engine, and a short way to talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from yarl import URL

from proxy.embedded import EmbeddedServer, start_embedded


class Talk:
    """Sends requests as they are given; no header is made up but the content type of JSON."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def raw(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Return head and body of the answer."""
        sent = {"Content-Type": "application/json", **(headers or {})} if body is not None else headers
        url = URL(self.url + path, encoded=True)
        async with self._session.request(method, url, data=body, headers=sent) as answer:
            return answer, await answer.read()

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and decoded body."""
        answer, content = await self.raw(method, path, None if body is None else orjson.dumps(body))
        return answer.status, orjson.loads(content) if content else None

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        """Return the decoded body of an answer that must be 200 or 201."""
        status, content = await self(method, path, body)
        assert status in (200, 201), content
        return content

    async def index(self, name: str, documents: dict[str, Any], mappings: Any = None) -> None:
        """Make an index that holds the documents, by id, in this order."""
        await self.ok("PUT", f"/{name}", {"mappings": mappings or {}})
        lines: list[bytes] = []
        for doc_id, source in documents.items():
            lines += [orjson.dumps({"index": {"_id": doc_id}}), orjson.dumps(source)]
        _, content = await self.raw("POST", f"/{name}/_bulk?refresh=true", b"\n".join([*lines, b""]))
        assert orjson.loads(content)["errors"] is False, content

    async def ids(self, query: Any, target: str = "shop", **body: Any) -> list[str]:
        """Return the ids that a query finds, in their order."""
        content = await self.ok("POST", f"/{target}/_search", {"query": query, "size": 100, **body})
        return [hit["_id"] for hit in content["hits"]["hits"]]

    async def refusal(self, method: str, path: str, body: Any = None, status: int = 400) -> tuple[str, str]:
        """Return type and reason of a refusal, which must have the engine's form."""
        got, content = await self(method, path, body)
        assert got == status == content["status"], content
        error = content["error"]
        assert error["root_cause"][0].keys() >= {"type", "reason"}
        return error["root_cause"][0]["type"], error["root_cause"][0]["reason"]


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    """An engine without indices."""
    server = await start_embedded()
    yield server
    await server.close()


@pytest.fixture
async def talk(server: EmbeddedServer) -> AsyncIterator[Talk]:
    """Raw HTTP to the engine."""
    async with aiohttp.ClientSession() as session:
        yield Talk(server.url, session)


SHOP: dict[str, Any] = {
    "1": {"title": "red phone case", "brand": "Acme", "price": 9.5, "stock": 3, "new": True, "added": "2026-01-05"},
    "2": {"title": "blue phone case with card holder", "brand": "Borealis", "price": 12, "stock": 0, "new": False},
    "3": {"title": "phone", "brand": "Acme", "price": 499.0, "stock": 7, "added": "2026-01-31T10:00:00Z"},
    "4": {"title": "card holder", "brand": "Cumulus", "price": 20, "colors": ["red", "blue"], "stock": 3},
    "5": {"title": "red shoe", "brand": "Acme", "price": 59.9, "colors": ["red"], "size": {"eu": 42}},
}
MAPPINGS = {
    "properties": {
        "title": {"type": "text", "fields": {"english": {"type": "text", "analyzer": "english"}}},
        "brand": {"type": "keyword"},
        "price": {"type": "double"},
        "stock": {"type": "integer"},
        "colors": {"type": "keyword"},
        "added": {"type": "date"},
    }
}


@pytest.fixture
async def shop(talk: Talk) -> Talk:
    """The engine with the index ``shop``."""
    await talk.index("shop", SHOP, MAPPINGS)
    return talk
