"""The places where aiohttp's server is bent, so that it adds nothing to an answer and speaks the engine's errors.

- ``ExactResponse``: no ``Date``, ``Server`` or ``Content-Type`` that the answer did not have.
- ``ProxyProtocol.handle_error``: what no HTTP parser can read is refused in the engine's error form.
- ``ProxyServer``: makes connections of that protocol.
- ``unspoken``: what the parser lets through though no proxy may send it on.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict

from proxy.core.response import error_body

_log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_ADDED_BY_AIOHTTP = ("Date", "Server", "Content-Type")
_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, TRACE"
_REQUEST_LINE = re.compile(r"'[!#$%&*+.^_`|~0-9A-Za-z-]+ \S+ HTTP/1\.[01]")
"""In the parser's word on a method that it does not know; garbage has none."""


class ExactResponse(web.StreamResponse):
    """A response with exactly the header fields that it was given, besides the framing of its connection."""

    def __init__(self, *, status: int = 200, reason: str | None = None, headers: LooseHeaders | None = None) -> None:
        """See `aiohttp.web.StreamResponse`."""
        super().__init__(status=status, reason=reason, headers=headers)
        self._given = {name.lower() for name in self.headers}

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        for name in _ADDED_BY_AIOHTTP:
            if name.lower() not in self._given:
                self.headers.popall(name, None)


def error_response(
    request: web.BaseRequest, status: int, kind: str, reason: str, extra: CIMultiDict[str] | None = None
) -> ExactResponseWithBody:
    """Return an error of our own in the form that the engines give theirs."""
    headers = CIMultiDict(extra or {})
    headers["Content-Type"] = "application/json"
    opaque_id = request.headers.get("X-Opaque-Id")
    if opaque_id is not None:
        headers["X-Opaque-Id"] = opaque_id
    return ExactResponseWithBody(status, headers, error_body(status, kind, reason))


class ExactResponseWithBody(ExactResponse):
    """An `ExactResponse` whose body is at hand."""

    def __init__(self, status: int, headers: CIMultiDict[str], body: bytes, reason: str | None = None) -> None:
        """``Content-Length`` is set from the body."""
        headers["Content-Length"] = str(len(body))
        super().__init__(status=status, reason=reason, headers=headers)
        self.body = body

    async def send(self, request: web.BaseRequest) -> ExactResponseWithBody:
        """Send head and body; to a HEAD request only the head."""
        await self.prepare(request)
        if request.method != "HEAD":
            await self.write(self.body)
        await self.write_eof()
        return self


def unspoken(request: web.BaseRequest) -> ExactResponseWithBody | None:
    """Return the refusal of a request that cannot be sent on as what it is; None: it can be."""
    kind = "illegal_argument_exception"
    coding = request.headers.get("Transfer-Encoding", "chunked").strip().lower()
    if request.version not in (HttpVersion10, HttpVersion11):
        major, minor = request.version
        refusal = error_response(request, 400, kind, f"rerank proxy: use HTTP/1.1 instead of HTTP/{major}.{minor}")
    elif request.method == "CONNECT":  # answered with 200, it would be a tunnel past every rule
        reason = "rerank proxy: CONNECT is not spoken; ask for the path itself"
        refusal = error_response(request, 405, kind, reason, CIMultiDict({"Allow": _METHODS}))
    elif coding != "chunked":
        reason = f"rerank proxy: the transfer coding [{coding}] is not spoken; use [chunked] and `Content-Encoding`"
        refusal = error_response(request, 501, kind, reason)
    else:
        return None
    refusal.force_close()
    return refusal


class ProxyProtocol(web.RequestHandler):
    """One client connection."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse a request that cannot be read, or answer for a handler that failed before it had answered."""
        if request.writer.output_size > 0:
            # Closing the connection is all that can still be said: the answer must not look whole.
            raise ConnectionError("the answer has begun already")
        if status >= 500:
            _log.error("a request could not be handled", exc_info=exc)
        else:
            _log.info("a client at %s sent what is no HTTP: %s", request.remote, " ".join((message or "").split()))
        headers = {}
        if isinstance(exc, BadHttpMethod) and _REQUEST_LINE.search(message or ""):
            status, headers = 405, {"Allow": _METHODS}
        kind = "illegal_argument_exception" if status < 500 else "proxy_exception"
        reason = " ".join((message or "").split()) or "the request could not be handled"
        body = error_body(status, kind, f"rerank proxy: {reason}")
        response = web.Response(status=status, headers=headers, body=body, content_type="application/json")
        response.force_close()
        return response


class ProxyServer(web.Server):
    """Makes a `ProxyProtocol` for each connection."""

    def __init__(self, handler: Handler, max_header_bytes: int) -> None:
        """Serve with ``handler``.

        A client that leaves cancels its handler; bodies are not decompressed; nothing about requests is logged here.
        """
        options: dict[str, Any] = {
            "auto_decompress": False,
            "access_log": None,
            "max_line_size": max_header_bytes,
            "max_field_size": max_header_bytes,
            "max_headers": 1000,
        }
        super().__init__(handler, handler_cancellation=True, **options)
        self._options = options

    def __call__(self) -> web.RequestHandler:
        """Make the protocol of a new connection."""
        return ProxyProtocol(self, loop=asyncio.get_running_loop(), **self._options)
