"""Does what the core's generator asks for: searches and lookups on the engine, scores from the scorer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from proxy.core.context import Context
from proxy.core.messages import (
    Need,
    NeedLookup,
    NeedScores,
    NeedSearch,
    Reply,
    RerankGenerator,
    Result,
    SearchCall,
    UpstreamAnswer,
    UpstreamFailure,
)
from proxy.edge.buffers import BadEncoding, BufferBudget, BufferFull, BufferLease, TooLarge, decode_body
from proxy.edge.headers import accepts_gzip, as_sent, drop, for_upstream, set_header
from proxy.edge.metrics import Metrics
from proxy.edge.upstream import Upstream, UpstreamUnreachable
from proxy.scorer.types import Scorer, ScoreRequest
from proxy.settings import Settings

THREAD_ABOVE_BYTES = 256 * 1024
"""Larger bodies are decoded and encoded on a thread, so that the event loop goes on."""

_FAILURES = {
    TooLarge: UpstreamFailure.TOO_LARGE,
    BufferFull: UpstreamFailure.BUSY,
    BadEncoding: UpstreamFailure.GARBLED,
}


@dataclass(frozen=True, slots=True)
class Services:
    """What a request's handling needs; lives as long as the server."""

    settings: Settings
    upstream: Upstream
    scorer: Scorer
    buffers: BufferBudget
    metrics: Metrics
    context: Context


def score_request(need: NeedScores) -> ScoreRequest:
    """Turn the core's need into the scorer's request."""
    return ScoreRequest(
        need.model, need.query, need.documents, need.document_tokens, need.deadline, max_chunks=need.max_chunks
    )


def call_headers(headers: CIMultiDict[str], call: SearchCall) -> CIMultiDict[str]:
    """Return the header fields for a search whose body may be another than the client's."""
    sent = headers.copy()
    drop(sent, ["Content-Length", "Content-Encoding"])
    set_header(sent, "Content-Type", call.content_type if call.body else None)
    return sent


async def read_limited(content: aiohttp.StreamReader, limit_bytes: int, lease: BufferLease) -> bytes:
    """Read a body to its end.

    Raises:
        TooLarge: it is longer than ``limit_bytes``.
        BufferFull: all requests together hold too much.
    """
    pieces: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge
        lease.take(len(chunk))
        pieces.append(chunk)
    return b"".join(pieces)


class SearchIO:
    """Does what the core's generator asks for, with one request's headers and buffers."""

    def __init__(self, request: web.BaseRequest, services: Services, lease: BufferLease, path: str) -> None:
        """Prepare for one search, to be sent to the raw ``path``."""
        self._services = services
        self._lease = lease
        self._method = request.method
        self._headers = for_upstream(as_sent(request.raw_headers))
        self._path = path
        drop(self._headers, ["Content-Length", "Content-Encoding", "Content-Type", "Accept-Encoding"])
        if accepts_gzip(request.headers):
            self._headers["Accept-Encoding"] = "gzip"

    async def drive(self, generator: RerankGenerator) -> Result:
        """Run a search's generator to its result."""
        try:
            need = next(generator)
            while True:
                need = generator.send(await self._reply(need))
        except StopIteration as stop:
            result: Result = stop.value
            return result
        finally:
            generator.close()

    async def _reply(self, need: Need) -> Reply:
        if isinstance(need, NeedSearch):
            return await self.search(need.call)
        if isinstance(need, NeedLookup):
            return await self._look_up(need)
        return await self._services.scorer.score(score_request(need))

    async def search(self, call: SearchCall) -> UpstreamAnswer:
        """Send a search, or whatever the path takes, and read its answer."""
        return await self.send(self._method, self._path, call)

    async def send(self, method: str, path: str, call: SearchCall) -> UpstreamAnswer:
        """Send a request to another path and read its answer."""
        sent_path = f"{path}?{call.params.raw}" if call.params.raw else path
        return await self._ask(method, sent_path, call_headers(self._headers, call), call.body)

    async def _look_up(self, need: NeedLookup) -> UpstreamAnswer:
        path = f"/{need.target}/{need.api}" if need.target else f"/{need.api}"
        if need.params.raw:
            path += f"?{need.params.raw}"
        headers = self._headers.copy()
        headers["Accept"] = "application/json"
        return await self._ask("GET", path, headers, b"")

    async def _ask(self, method: str, path: str, headers: CIMultiDict[str], body: bytes) -> UpstreamAnswer:
        started = time.monotonic()
        answer = await self._read_answer(method, path, headers, body)
        return replace(answer, started=started, finished=time.monotonic())

    async def _read_answer(self, method: str, path: str, headers: CIMultiDict[str], body: bytes) -> UpstreamAnswer:
        try:
            async with self._services.upstream.request(method, path, headers, body or None, repeatable=True) as answer:
                status, answer_headers = answer.status, tuple(as_sent(answer.raw_headers).items())
                try:
                    coded = await read_limited(answer.content, self._services.settings.max_response_bytes, self._lease)
                    decoded = await self._decoded(coded, answer.headers.get("Content-Encoding"))
                except (TooLarge, BufferFull, BadEncoding) as error:
                    return UpstreamAnswer(status, answer_headers, failure=_FAILURES[type(error)])
                except (aiohttp.ClientError, OSError) as error:
                    return UpstreamAnswer(status, answer_headers, failure=UpstreamFailure.GARBLED, detail=str(error))
        except UpstreamUnreachable as error:
            return UpstreamAnswer(0, failure=UpstreamFailure.UNREACHABLE, detail=error.detail)
        return UpstreamAnswer(status, answer_headers, decoded)

    async def _decoded(self, coded: bytes, coding: str | None) -> bytes:
        limit = self._services.settings.max_response_bytes
        if not coding or coding == "identity":
            return coded
        if len(coded) * 8 > THREAD_ABOVE_BYTES:
            decoded = await asyncio.to_thread(decode_body, coded, coding, limit)
        else:
            decoded = decode_body(coded, coding, limit)
        self._lease.take(len(decoded))
        return decoded
