"""A proxy on a thread of its own, so that blocking clients can talk to it; and a client that changes nothing."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

from proxy.edge.server import Proxy, start_proxy
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Settings


class ProxyThread:
    """A running proxy; a context manager."""

    def __init__(self, settings: Settings, make_scorer: Callable[[], ThreadScorer] | None = None) -> None:
        self._settings = settings
        self._make_scorer = make_scorer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._error: BaseException | None = None
        self.proxy: Proxy | None = None

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        try:
            scorer = self._make_scorer() if self._make_scorer else None
            self.proxy = await start_proxy(self._settings, scorer)
        except BaseException as error:
            self._error = error
            return
        finally:
            self._started.set()
        await self._stop.wait()
        await self.proxy.close()

    @property
    def url(self) -> str:
        assert self.proxy is not None
        return self.proxy.url

    def __enter__(self) -> ProxyThread:
        self._thread.start()
        self._started.wait(60)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)


@dataclass(frozen=True)
class Answer:
    """An answer as it came, only the framing of its connection undone."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def ask(url: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """Send one request, nothing added but Host and Content-Length."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.reason, tuple(response.getheaders()), response.read())
    finally:
        connection.close()
