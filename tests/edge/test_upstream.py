"""The way to the engine: several nodes, TLS, what cannot be reached."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.edge.wire import OK, Exchange, answering, client, proxy_before, upstream

HOST = b"Host: proxy.example\r\n"
GET = b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n"


def closed_port_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def get(*urls: str, request: bytes = GET, **settings: object) -> tuple[bytes, bytes]:
    async with proxy_before(*urls, **settings) as proxy, client(proxy) as connection:
        await connection.send(request)
        return await connection.response()


def reason(head: bytes, body: bytes) -> str:
    assert head.startswith(b"HTTP/1.1 502 ")
    error = json.loads(body)
    assert error["status"] == 502
    assert error["error"]["type"] == "upstream_unreachable_exception"
    text: str = error["error"]["reason"]
    assert "\n" not in text
    return text


async def test_refused() -> None:
    assert "cannot be reached" in reason(*await get(closed_port_url()))


async def test_garbage_instead_of_http() -> None:
    async def garbage(exchange: Exchange) -> None:
        await exchange.send(b"SSH-2.0-OpenSSH\r\n\r\n")
        exchange.writer.close()

    async with upstream(garbage) as engine:
        assert "no HTTP that can be read" in reason(*await get(engine.url))


async def test_a_connection_closed_without_an_answer() -> None:
    async def close(exchange: Exchange) -> None:
        exchange.writer.close()

    async with upstream(close) as engine:
        request = b"POST /_bulk HTTP/1.1\r\nContent-Length: 2\r\n" + HOST + b"\r\n{}"
        assert "closed without an answer" in reason(*await get(engine.url, request=request))
        assert len(engine.seen) == 1  # what may have been carried out is not sent twice


@pytest.mark.parametrize(
    "request_bytes",
    [
        GET,
        b"POST /_bulk HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n3\r\nabc\r\n0\r\n\r\n",
        b"POST /_bulk HTTP/1.1\r\nContent-Length: 3\r\n" + HOST + b"\r\nabc",
    ],
)
async def test_a_dead_node_is_passed_over(request_bytes: bytes) -> None:
    async with (
        upstream(answering(OK)) as engine,
        proxy_before(closed_port_url(), engine.url) as proxy,
        client(proxy) as connection,
    ):
        for _ in range(4):
            await connection.send(request_bytes)
            head, body = await connection.response()
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert body == b"{}"
        assert len(engine.seen) == 4
        assert len({one.body for one in engine.seen}) == 1


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1")


@pytest.fixture
def tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


def fingerprint(certificate: trustme.LeafCert) -> str:
    loaded = x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())
    return hashlib.sha256(loaded.public_bytes(Encoding.DER)).hexdigest()


async def test_tls_with_a_certificate_authority(authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    async with upstream(answering(OK), tls) as engine:
        assert (await get(engine.url, upstream_ca=path))[1] == b"{}"


async def test_tls_with_a_fingerprint(certificate: trustme.LeafCert, tls: ssl.SSLContext) -> None:
    async with upstream(answering(OK), tls) as engine:
        assert (await get(engine.url, upstream_fingerprint=fingerprint(certificate)))[1] == b"{}"
        assert "upstream_fingerprint" in reason(*await get(engine.url, upstream_fingerprint="00" * 32))


async def test_tls_with_an_unknown_authority(tls: ssl.SSLContext) -> None:
    async with upstream(answering(OK), tls) as engine:
        assert "cannot be verified" in reason(*await get(engine.url))
        assert (await get(engine.url, upstream_verify=False))[1] == b"{}"
        assert engine.seen != []


@pytest.mark.parametrize(("status", "connections"), [(400, 2), (413, 2), (417, 2), (431, 2), (200, 1), (404, 1)])
async def test_a_connection_is_not_used_again_where_the_engine_may_not_have_read_the_request(
    status: int, connections: int
) -> None:
    """Elasticsearch reads nothing more after a head that is too large, and leaves the connection open."""
    answer = f"HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\n".encode() + b"{}"
    async with upstream(answering(answer)) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        for _ in range(2):
            await connection.send(GET)
            head, body = await connection.response()
            assert head.startswith(f"HTTP/1.1 {status} ".encode())
            assert body == b"{}"
        assert engine.connections == connections
