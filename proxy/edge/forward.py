"""Streams a request to the engine and its answer back, byte for byte, nothing held but what is on its way."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from proxy.edge.headers import as_sent, end_to_end, for_upstream
from proxy.edge.http_server import ExactResponse, error_response
from proxy.edge.upstream import Body, Upstream, UpstreamUnreachable

BAD_GATEWAY = 502
Watch = Callable[[aiohttp.ClientResponse, bytes], None]
"""Is told of each piece of an answer's body, before the client has it."""
_SCHEME_AND_HOST = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def raw_target(request: web.BaseRequest) -> str:
    """Return path and query string as they stand in the request line; of an absolute URL what is behind the host.

    It starts with a slash, whatever came: behind an upstream's URL anything else could name another host.
    """
    target = request.raw_path
    if not target.startswith("/"):
        target = _SCHEME_AND_HOST.sub("", target, count=1)
    return target if target.startswith("/") else f"/{target}"


def wants_continue(request: web.BaseRequest) -> bool:
    """Say whether the client waits for ``100 Continue`` before it sends the body."""
    return request.headers.get("Expect", "").lower() == "100-continue"


async def send_continue(request: web.BaseRequest) -> None:
    """Let the client send the body."""
    await request.writer.write(_CONTINUE)
    # Not part of the answer: its size must not look like an answer that has begun.
    request.writer.output_size = 0


async def read_chunks(request: web.BaseRequest, before: bytes = b"") -> AsyncIterator[bytes]:
    """Give the body as it comes in, behind what has been read of it already."""
    if before:
        yield before
    elif wants_continue(request):
        await send_continue(request)
    async for chunk in request.content.iter_any():
        yield chunk


async def forward(
    request: web.BaseRequest,
    upstream: Upstream,
    *,
    path: str | None = None,
    headers: CIMultiDict[str] | None = None,
    body: Body = None,
    streamed: bool = True,
    extra: CIMultiDict[str] | None = None,
    watch: Watch | None = None,
) -> web.StreamResponse:
    """Send a request on and stream its answer.

    Args:
        request: the client's.
        upstream: where to.
        path: raw path and query string, if not the client's.
        headers: fields to send, if not the client's.
        body: what to send where ``streamed`` is False.
        streamed: the body is the client's, as it comes in.
        extra: fields added to the answer.
        watch: reads along.
    """
    sent_headers = for_upstream(as_sent(request.raw_headers)) if headers is None else headers
    expects = False
    if streamed and request.body_exists:
        body = read_chunks(request)
        expects = wants_continue(request)
    try:
        async with upstream.request(
            request.method,
            raw_target(request) if path is None else path,
            sent_headers,
            body,
            expect_continue=expects,
        ) as answer:
            return await _stream_answer(request, answer, extra, watch)
    except UpstreamUnreachable as error:
        return await unreachable(request, error.detail, extra)


async def unreachable(
    request: web.BaseRequest, detail: str, extra: CIMultiDict[str] | None = None
) -> web.StreamResponse:
    """Answer that the engine gave no answer."""
    reason = f"rerank proxy: the search engine cannot be reached: {detail}"
    response = error_response(request, BAD_GATEWAY, "upstream_unreachable_exception", reason, extra)
    _close_if_unread(request, response)
    return await response.send(request)


async def _stream_answer(
    request: web.BaseRequest,
    answer: aiohttp.ClientResponse,
    extra: CIMultiDict[str] | None,
    watch: Watch | None,
) -> web.StreamResponse:
    headers = end_to_end(as_sent(answer.raw_headers))
    headers.extend(extra or {})
    response = ExactResponse(status=answer.status, reason=answer.reason, headers=headers)
    _close_if_unread(request, response)
    await response.prepare(request)
    if request.method != "HEAD":
        async for chunk in answer.content.iter_any():
            if watch is not None:
                watch(answer, chunk)
            await response.write(chunk)
    await response.write_eof()
    return response


def _close_if_unread(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """An answer that comes before the whole body: what follows on the connection could not be told from a request."""
    if request.body_exists and not request.content.at_eof():
        response.force_close()
