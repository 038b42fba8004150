"""Connections to the engine. The one place where aiohttp's client errors become ours."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from proxy.settings import Settings

_AUTO_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_REST_OF_DEAD_S = 5.0
_READ_BUFFER_BYTES = 64 * 1024

_MAYBE_UNREAD = frozenset({400, 413, 417, 431})
"""Answers that an engine can give before it has read the request: it may read nothing more on that connection then.

Elasticsearch does so where the head is too large, and leaves the connection open: the next request would wait for ever.
"""

Body = bytes | AsyncIterator[bytes] | None


class UpstreamUnreachable(Exception):
    """No answer came. The text says in one line what happened, without the URL's secrets."""

    def __init__(self, detail: str, sent: bool) -> None:
        """``sent``: the request may have reached the engine."""
        super().__init__(detail)
        self.detail = detail
        self.sent = sent


class _Response(aiohttp.ClientResponse):
    """An answer whose connection is not used again where it may be of no more use."""

    async def start(self, connection: Connection) -> _Response:
        """Read the head."""
        protocol = connection.protocol
        await super().start(connection)
        if self.status in _MAYBE_UNREAD and protocol is not None:
            protocol.force_close()
            if self.closed:  # the whole answer is there: the connection is free already
                protocol.close()
        return self


@dataclass(slots=True)
class _Node:
    """One of the upstream URLs."""

    base: str
    dead_until: float = 0.0


class Upstream:
    """The engine's nodes and the connections to them."""

    def __init__(self, settings: Settings) -> None:
        """Prepare connections to ``settings.upstream``; must be called in a running event loop.

        Raises:
            ValueError: the CA file cannot be read.
        """
        self._nodes = [_Node(url.rstrip("/")) for url in settings.upstream]
        self._next = 0
        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=_tls(settings),
            keepalive_timeout=settings.upstream_keepalive_s,
            ttl_dns_cache=10,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            response_class=_Response,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_AUTO_HEADERS,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_read=None, sock_connect=settings.upstream_connect_timeout_ms / 1000
            ),
            trust_env=False,
            read_bufsize=_READ_BUFFER_BYTES,
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
        )

    @property
    def urls(self) -> list[str]:
        """The nodes' URLs."""
        return [node.base for node in self._nodes]

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        headers: CIMultiDict[str],
        body: Body = None,
        *,
        expect_continue: bool = False,
        repeatable: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and give its answer, the body still to be read; close the connection if it is left unread.

        Args:
            method: as the client wrote it.
            path: raw path and query string, sent as it is behind the URL's own path.
            headers: all fields but ``Host`` and the framing.
            body: bytes, or chunks that are streamed as they come.
            expect_continue: wait for the engine's ``100 Continue`` before the first chunk is asked for.
            repeatable: the request only reads, and ``body`` is bytes: it is sent again where a kept connection broke.

        Raises:
            UpstreamUnreachable: no node gave an answer.
        """
        response = await self._send(method, path, headers, body, expect_continue, repeatable)
        try:
            yield response
        finally:
            # Unread data would have to be read before the connection could be used again: closing tells the engine
            # at once that nobody wants the rest.
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    async def _send(
        self,
        method: str,
        path: str,
        headers: CIMultiDict[str],
        body: Body,
        expect_continue: bool,
        repeatable: bool,
    ) -> aiohttp.ClientResponse:
        failure: UpstreamUnreachable | None = None
        for node in self._candidates():
            for _attempt in range(2 if repeatable else 1):
                try:
                    return await self._session.request(
                        method,
                        URL(node.base + path, encoded=True),
                        headers=headers,
                        data=body,
                        allow_redirects=False,
                        expect100=expect_continue,
                    )
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    failure = _translated(node, error)
                if not failure.sent:
                    break
            assert failure is not None
            if failure.sent and not repeatable:
                raise failure
            if not failure.sent:
                node.dead_until = time.monotonic() + _REST_OF_DEAD_S
        assert failure is not None
        raise failure

    def _candidates(self) -> list[_Node]:
        """Return the nodes in turn; those that could not be reached a moment ago come last."""
        count = len(self._nodes)
        turn = [self._nodes[(self._next + offset) % count] for offset in range(count)]
        self._next = (self._next + 1) % count
        now = time.monotonic()
        return sorted(turn, key=lambda node: node.dead_until > now)


def _tls(settings: Settings) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
    if settings.upstream_fingerprint is not None:
        return aiohttp.Fingerprint(bytes.fromhex(settings.upstream_fingerprint.replace(":", "")))
    if not settings.upstream_verify:
        return False
    if settings.upstream_ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.upstream_ca)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"upstream_ca: {settings.upstream_ca}: {error.strerror or error}") from None


def _translated(node: _Node, error: Exception) -> UpstreamUnreachable:
    where = node.base
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return UpstreamUnreachable(f"{where}: the certificate is not the one of upstream_fingerprint", sent=False)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return UpstreamUnreachable(f"{where}: the certificate cannot be verified: {_short(error)}", sent=False)
    if isinstance(error, aiohttp.ClientSSLError):
        return UpstreamUnreachable(f"{where}: TLS fails: {_short(error)}", sent=False)
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamUnreachable(f"{where}: {error.os_error.strerror or _short(error)}", sent=False)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamUnreachable(f"{where}: no connection within the time of upstream_connect_timeout_ms", sent=False)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return UpstreamUnreachable(f"{where}: the connection was closed without an answer", sent=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return UpstreamUnreachable(f"{where}: the answer is no HTTP that can be read: {_short(error)}", sent=True)
    return UpstreamUnreachable(f"{where}: {_short(error)}", sent=True)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
