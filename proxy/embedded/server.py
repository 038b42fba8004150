"""The embedded engine on a socket."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl

import msgspec
import orjson
from aiohttp import web

from proxy.embedded.engine import Engine
from proxy.embedded.errors import EngineError, PlainError, bad, refused
from proxy.embedded.messages import Answer, Request
from proxy.embedded.routes import check_params, find_route
from proxy.embedded.values import as_bool

MAX_BODY_BYTES = 100 * 1024 * 1024
_VENDOR = re.compile(r"application/vnd\.elasticsearch\+(json|x-ndjson)\s*;\s*compatible-with=(\d+)", re.IGNORECASE)
_BODY_TYPES = frozenset({"application/json", "application/x-ndjson"})
_VERSIONS = ("8", "9")
_log = logging.getLogger(__name__)


class EmbeddedServer:
    """A running embedded engine. Made by `start_embedded`."""

    def __init__(self) -> None:
        """Nothing listens yet."""
        self.url = ""
        self._engine = Engine()
        self._threads = ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2), "embedded")
        options = {"auto_decompress": False, "access_log": None}
        server = web.Server(self._handle, **options)  # type: ignore[arg-type]
        self._runner = web.ServerRunner(server, shutdown_timeout=2.0)

    async def listen(self, host: str, port: int) -> None:
        """Accept connections. Raises OSError where the address cannot be had."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop; the indices are gone."""
        await self._runner.cleanup()
        self._threads.shutdown(cancel_futures=True)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await _read_body(request)
        except EngineError as error:
            response = _response(request, Answer(error.status, error.body()))
            response.force_close()
            return response
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._respond, request, body)

    def _respond(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """Answer in a thread, so that a long search or a rebuilt index keeps no other client waiting."""
        try:
            answer = self._answer(request, body)
        except PlainError as error:
            answer = Answer(error.status, error.body(), error.headers)
        except EngineError as error:
            answer = Answer(error.status, error.body())
        except Exception as error:
            _log.exception("%s %s failed", request.method, request.raw_path)
            failure = EngineError(500, "exception", f"the embedded engine failed: {type(error).__name__}: {error}")
            answer = Answer(500, failure.body())
        return _response(request, answer)

    def _answer(self, request: web.BaseRequest, body: bytes) -> Answer:
        path, _, query = request.raw_path.partition("?")
        route, parts = find_route(request.method, path)
        params = dict(parse_qsl(query, keep_blank_values=True))
        asked = Request(request.method, path, parts, params, body)
        _check_types(request, body)
        check_params(route, asked)
        as_bool("pretty", params.get("pretty", "false"))
        return route.handler(self._engine, asked)


async def _read_body(request: web.BaseRequest) -> bytes:
    """Return the body, unpacked. Raises EngineError 400, 413."""
    pieces, size = [], 0
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        pieces.append(piece)
    body = b"".join(pieces)
    if request.headers.get("Content-Encoding", "").lower() not in ("gzip", "x-gzip"):
        return body
    return _unpacked(body)


def _unpacked(body: bytes) -> bytes:
    """Undo gzip, of several members too. Raises EngineError 400, 413."""
    unpacked = b""
    while body:
        member = zlib.decompressobj(wbits=31)
        try:
            unpacked += member.decompress(body, MAX_BODY_BYTES - len(unpacked) + 1)
        except zlib.error as error:
            raise bad(f"the body is no gzip: {error}") from None
        if len(unpacked) > MAX_BODY_BYTES:
            raise _too_large()
        if not member.eof:
            raise bad("the gzip body ends too early")
        body = member.unused_data
    return unpacked


def _too_large() -> EngineError:
    return EngineError(413, "content_too_long_exception", f"a body may have at most [{MAX_BODY_BYTES}] bytes")


def _check_types(request: web.BaseRequest, body: bytes) -> None:
    """Refuse bodies and answers in other forms than JSON. Raises PlainError 406, EngineError 400."""
    for header in ("Content-Type", "Accept"):
        vendor = _VENDOR.match(request.headers.get(header, ""))
        if vendor is not None and vendor[2] not in _VERSIONS:
            reason = f"{header}: compatible-with={vendor[2]} is not supported, only {' and '.join(_VERSIONS)} are"
            raise EngineError(400, "media_type_header_exception", reason)
    if request.headers.get("Accept", "").startswith(("application/yaml", "application/cbor", "application/smile")):
        raise refused(f"[Accept: {request.headers['Accept']}]")
    kind = request.headers.get("Content-Type", "")
    if body and not _VENDOR.match(kind) and kind.partition(";")[0].strip().lower() not in _BODY_TYPES:
        raise PlainError(406, f"Content-Type header [{kind}] is not supported")


def _response(request: web.BaseRequest, answer: Answer) -> web.Response:
    """Encode an answer in the type that the client asked for."""
    is_text = isinstance(answer.content, str)
    body = answer.content.encode() if is_text else orjson.dumps(answer.content)
    pretty = re.search(r"[?&]pretty(=true|=)?(&|$)", request.raw_path)
    if pretty and not is_text:
        body = msgspec.json.format(body, indent=2) + b"\n"
    vendor = _VENDOR.match(request.headers.get("Accept", ""))
    kind = f"application/vnd.elasticsearch+json;compatible-with={vendor[2]}" if vendor else "application/json"
    headers = {"X-elastic-product": "Elasticsearch", "Content-Type": "text/plain; charset=UTF-8" if is_text else kind}
    headers |= answer.headers
    if "X-Opaque-Id" in request.headers:
        headers["X-Opaque-Id"] = request.headers["X-Opaque-Id"]
    if re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", request.headers.get("Accept-Encoding", "")) and body:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, 3, mtime=0)
    return web.Response(status=answer.status, body=body, headers=headers)


async def start_embedded(host: str = "127.0.0.1", port: int = 0) -> EmbeddedServer:
    """Start an engine with no index; ``port`` 0 takes a free one. Raises OSError where the address cannot be had."""
    server = EmbeddedServer()
    try:
        await server.listen(host, port)
    except BaseException:
        await server.close()
        raise
    return server
