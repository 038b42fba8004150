"""A scripted engine and a scripted proxy, on real sockets."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.evaluate.command import add_arguments, run


@dataclass
class Scripted:
    """Answers `_search` with the ids that ``answers`` has for the query; ``reorder`` is what reranking does."""

    answers: dict[str, list[str]]
    status: str | None = None
    reorder: Callable[[list[str]], list[str]] = lambda ids: ids
    broken: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """Query -> (HTTP status, JSON body) instead of an answer."""
    documents: int = 10
    seen: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    """(headers, body) of each request for hits."""
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        if request.match_info["index"] != "products":
            reason = f"no such index [{request.match_info['index']}]"
            return web.json_response({"error": {"type": "index_not_found_exception", "reason": reason}}, status=404)
        body = await request.json()
        if body.get("size") == 0:
            return web.json_response({"hits": {"total": {"value": self.documents}, "hits": []}})
        self.seen.append((dict(request.headers), body))
        text = json.dumps(body)
        query = next(query for query in self.answers if query in text)
        if query in self.broken:
            status, broken = self.broken[query]
            return web.json_response(broken, status=status)
        skip = self.status is not None and request.headers.get("X-Rerank-Skip") == "true"
        ids = self.answers[query] if skip else self.reorder(self.answers[query])
        status_header = "skipped; reason=asked" if skip else self.status
        return web.json_response(
            {"timed_out": False, "_shards": {"failed": 0}, "hits": {"hits": [{"_id": docid} for docid in ids]}},
            headers={"X-Rerank-Status": status_header} if status_header else None,
        )


Start = Callable[[Scripted], Awaitable[Scripted]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[TestServer] = []

    async def started(scripted: Scripted) -> Scripted:
        app = web.Application()
        app.router.add_post("/{index}/_search", scripted.handle)
        server = TestServer(app)
        servers.append(server)
        await server.start_server()
        scripted.url = f"http://127.0.0.1:{server.port}"
        return scripted

    yield started
    for server in servers:
        await server.close()


@pytest.fixture
def evaluate() -> Callable[..., Any]:
    """Run the command as a person does, in a thread beside the scripted servers; gives the exit code."""

    async def command(*arguments: object) -> int:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return await asyncio.to_thread(run, parser.parse_args([str(argument) for argument in arguments]))

    return command


@pytest.fixture
def judged(tmp_path: Path) -> list[object]:
    """Arguments that name two judged queries, `red shoe` (q1) and `tea pot` (q2)."""
    (tmp_path / "queries.tsv").write_text("q1\tred shoe\nq2\ttea pot\n")
    (tmp_path / "qrels.tsv").write_text("q1 0 a 2\nq1 0 b 3\nq1 0 c 1\nq1 0 d 0\nq2 0 a 3\nq2 0 e 0\n")
    return ["--qrels", tmp_path / "qrels.tsv", "--queries", tmp_path / "queries.tsv"]
