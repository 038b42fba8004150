"""Both ends of the proxy as bytes: a scripted upstream and a client on bare sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from proxy.edge.server import Proxy, start_proxy
from proxy.settings import Listen, Settings

Script = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request as the upstream saw it, and its connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes
    body: bytes = b""

    @property
    def request_line(self) -> str:
        return self.head.split(b"\r\n")[0].decode("latin-1")

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.split(b"\r\n")[1:]
        return [tuple(line.decode("latin-1").split(": ", 1)) for line in lines if line]  # type: ignore[misc]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    async def read_body(self) -> bytes:
        """Read what is announced, chunks joined."""
        length = self.header("Content-Length")
        if length is not None:
            self.body = await self.reader.readexactly(int(length))
        elif (self.header("Transfer-Encoding") or "").lower() == "chunked":
            self.body = await read_chunked(self.reader)
        return self.body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def closed_by_proxy(self, seconds: float = 20) -> bool:
        """Wait until the proxy has closed the connection; False: it has not."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
    return body


@dataclass
class Upstream:
    """A scripted upstream; notes every request."""

    script: Script
    url: str = ""
    seen: list[Exchange] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a request has come."""
    connections: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                exchange = Exchange(reader, writer, head[:-4])
                self.seen.append(exchange)
                self.asked.set()
                await self.script(exchange)
                if writer.is_closing():
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def upstream(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """Run a scripted upstream."""
    scripted = Upstream(script)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, ssl=tls, limit=2**20)
    scheme = "http" if tls is None else "https"
    scripted.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield scripted
    finally:
        server.close()
        for task in scripted.tasks:
            task.cancel()
        await asyncio.gather(*scripted.tasks, return_exceptions=True)


@asynccontextmanager
async def proxy_before(*urls: str, **settings: object) -> AsyncIterator[Proxy]:
    """Run the proxy, by its real entry point, with no rules."""
    made = Settings(**{"upstream": urls, "listen": Listen("127.0.0.1", 0), "rules": (), **settings})  # type: ignore[arg-type]
    proxy = await start_proxy(made)
    try:
        yield proxy
    finally:
        await proxy.close()


@dataclass
class Client:
    """A client connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        """Read a response's head."""
        async with asyncio.timeout(30):
            return (await self.reader.readuntil(b"\r\n\r\n"))[:-4]

    async def response(self, to_head: bool = False) -> tuple[bytes, bytes]:
        """Read a whole response: head and body."""
        head = await self.head()
        fields = {line.split(b":")[0].lower(): line.split(b":", 1)[1].strip() for line in head.split(b"\r\n")[1:]}
        if to_head or b" 204 " in head or b" 304 " in head:
            return head, b""
        async with asyncio.timeout(60):
            if fields.get(b"transfer-encoding") == b"chunked":
                return head, await read_chunked(self.reader)
            if b"content-length" in fields:
                return head, await self.reader.readexactly(int(fields[b"content-length"]))
            return head, await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    """Connect to the proxy."""
    host, port = proxy.url.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
    connected = Client(reader, writer)
    try:
        yield connected
    finally:
        await connected.close()


def json_answer(body: bytes) -> bytes:
    """Return a whole response with a JSON body."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def answering(response: bytes) -> Script:
    """Return a script that reads the body and sends these bytes."""

    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(response)

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
