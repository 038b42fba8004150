"""Everything that is no rerankable search goes through byte for byte, both ways."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from tests.edge.wire import OK, Exchange, answering, client, proxy_before, read_chunked, upstream

HOST = b"Host: proxy.example\r\n"


async def exchange_once(request: bytes, response: bytes = OK, to_head: bool = False) -> tuple[Exchange, bytes, bytes]:
    """Send a request through the proxy; return it as the upstream saw it, and the answer's head and body."""
    async with upstream(answering(response)) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        await connection.send(request)
        head, body = await connection.response(to_head)
        return engine.seen[0], head, body


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "TRACE"])
async def test_any_method(method: str) -> None:
    seen, head, _ = await exchange_once(f"{method} /x HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    assert seen.request_line == f"{method} /x HTTP/1.1"
    assert head.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb/_doc/1",
        "//a//b",
        "/a/../b/./c",
        "/%5Fsearch",
        "/%3Clogs-%7Bnow%2Fd%7D%3E/_count",
        "/a?x=1&x=2&&y=&z&x=3",
        "/a?x=1;y=2+3%20%zz",
        "/a|b?q=a|b^{c}",
        "/?pretty",
        "/a??b",
        "/a%C3%A9",
        "/a,b,-c*/_count?q=%22a%22",
    ],
)
async def test_raw_path_and_query_string(target: str) -> None:
    seen, _, _ = await exchange_once(f"GET {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    assert seen.request_line == f"GET {target} HTTP/1.1"


async def test_request_headers_travel_as_they_are_and_nothing_is_added() -> None:
    sent = [
        ("authorization", "Basic " + "x" * 12_000),
        ("X-Opaque-Id", "a"),
        ("X-MULTI", "1"),
        ("X-MULTI", "2"),
        ("Cookie", "a=b; c=d"),
        ("content-type", "application/json"),
        ("Accept", ""),
        ("es-security-runas-user", "someone"),
    ]
    hop = [("Connection", "x-secret, keep-alive"), ("X-Secret", "1"), ("TE", "gzip"), ("Keep-Alive", "timeout=5")]
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*sent[:3], *hop, *sent[3:]])
    lines = lines.replace("X-MULTI: 2", "x-multi: 2")  # of one name, in whatever letters
    seen, _, _ = await exchange_once(f"GET /x HTTP/1.1\r\n{lines}".encode() + HOST + b"\r\n")
    host, *rest = seen.headers
    assert host[0] == "Host"
    assert host[1].startswith("127.0.0.1:")
    assert [(name, value.strip()) for name, value in rest] == sent


async def test_answer_headers_travel_as_they_are_and_nothing_is_added() -> None:
    response = (
        b"HTTP/1.1 299 Quite Fine\r\nX-elastic-product: Elasticsearch\r\nwarning: 299 a\r\nWarning: 299 b\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nLocation: /x/_doc/1\r\nConnection: x-hop\r\nX-Hop: 1\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    _, head, body = await exchange_once(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n", response)
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 299 Quite Fine",
        b"X-elastic-product: Elasticsearch",
        b"warning: 299 a",
        b"Warning: 299 b",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"Location: /x/_doc/1",
        b"Content-Length: 2",
    ]
    assert body == b"{}"


async def test_compression_passes_untouched() -> None:
    zipped = gzip.compress(b'{"a":1}' * 100, mtime=0)
    head = f"Content-Encoding: gzip\r\nContent-Length: {len(zipped)}\r\n\r\n".encode()
    request = b"POST /_bulk HTTP/1.1\r\nAccept-Encoding: gzip\r\n" + HOST + head + zipped
    seen, got_head, got = await exchange_once(request, b"HTTP/1.1 200 OK\r\n" + head + zipped)
    assert seen.body == got == zipped
    assert b"Content-Encoding: gzip" in got_head
    odd = b"Content-Encoding: snappy\r\nContent-Length: 4\r\n\r\n\x00\xff\x00\xff"
    _, _, got = await exchange_once(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n", b"HTTP/1.1 200 OK\r\n" + odd)
    assert got == b"\x00\xff\x00\xff"


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500, 503])
async def test_status_and_redirects_are_passed_on(status: int) -> None:
    response = f"HTTP/1.1 {status} So\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n".encode()
    _, head, _ = await exchange_once(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n", response)
    assert head.startswith(f"HTTP/1.1 {status} So\r\nLocation: http://127.0.0.1:1/elsewhere".encode())


async def test_head_keeps_the_length_and_has_no_body() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 538\r\n\r\n"
    seen, head, _ = await exchange_once(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", response, to_head=True)
    assert seen.request_line == "HEAD / HTTP/1.1"
    assert b"Content-Length: 538" in head


async def test_an_empty_body_stays_none() -> None:
    seen, _, _ = await exchange_once(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
    assert seen.header("Content-Length") is None
    assert seen.header("Transfer-Encoding") is None
    seen, _, _ = await exchange_once(b"POST /x HTTP/1.1\r\nContent-Length: 0\r\n" + HOST + b"\r\n")
    assert seen.header("Content-Length") == "0"


async def test_a_length_stays_a_length_and_chunks_stay_chunks() -> None:
    seen, _, _ = await exchange_once(b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n" + HOST + b"\r\nabc")
    assert (seen.header("Content-Length"), seen.body) == ("3", b"abc")
    request = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    seen, head, body = await exchange_once(request, response)
    assert seen.header("Content-Length") is None
    assert seen.body == b"abcde"
    assert (b"Transfer-Encoding: chunked" in head, body) == (True, b"{}")


async def test_cookies_of_two_clients_never_mix() -> None:
    response = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=first\r\nContent-Length: 0\r\n\r\n"
    async with upstream(answering(response)) as engine, proxy_before(engine.url) as proxy:
        for _ in range(2):
            async with client(proxy) as connection:
                await connection.send(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
                await connection.response()
        assert len(engine.seen) == 2
        assert all(one.header("Cookie") is None for one in engine.seen)


async def test_two_hundred_at_once() -> None:
    waiting: list[Exchange] = []
    all_there = asyncio.Event()

    async def hold_all(exchange: Exchange) -> None:
        waiting.append(exchange)
        if len(waiting) == 200:
            all_there.set()
        await all_there.wait()
        await exchange.send(OK)

    async with upstream(hold_all) as engine, proxy_before(engine.url) as proxy:

        async def one() -> bytes:
            async with client(proxy) as connection:
                await connection.send(b"GET /_search HTTP/1.1\r\n" + HOST + b"\r\n")
                return (await connection.response())[1]

        assert await asyncio.gather(*(one() for _ in range(200))) == [b"{}"] * 200


async def test_an_early_413_survives_an_unfinished_upload() -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.reader.read(1000)
        await exchange.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        exchange.writer.close()

    async with upstream(refuse) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        await connection.send(b"POST /_bulk HTTP/1.1\r\nContent-Length: 100000000\r\n" + HOST + b"\r\n" + b"x" * 5000)
        assert (await connection.head()).startswith(b"HTTP/1.1 413 Too Large")


async def test_expect_continue_is_the_engines_to_answer() -> None:
    async def accept(exchange: Exchange) -> None:
        assert exchange.header("Expect") == "100-continue"
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await exchange.read_body()
        await exchange.send(OK)

    request = b"POST /_bulk HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n" + HOST + b"\r\n"
    async with upstream(accept) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        await connection.send(request)
        assert await connection.head() == b"HTTP/1.1 100 Continue"
        await connection.send(b"abc")
        assert (await connection.response())[1] == b"{}"
        assert engine.seen[0].body == b"abc"


async def test_a_refused_expectation_needs_no_body() -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    request = b"POST /_bulk HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n" + HOST + b"\r\n"
    async with upstream(refuse) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        await connection.send(request)
        head = await connection.head()
        assert head.startswith(b"HTTP/1.1 413 Too Large")
        assert b"Connection: close" in head


async def test_a_client_that_leaves_is_left_by_the_proxy_too() -> None:
    gone = asyncio.Event()

    async def never_answer(exchange: Exchange) -> None:
        if await exchange.closed_by_proxy():
            gone.set()

    async with upstream(never_answer) as engine, proxy_before(engine.url) as proxy:
        async with client(proxy) as connection:
            await connection.send(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
            await engine.asked.wait()
        async with asyncio.timeout(20):
            await gone.wait()


async def test_a_client_that_leaves_while_it_uploads_sends_no_whole_request() -> None:
    got: list[str] = []
    ended = asyncio.Event()

    async def read(exchange: Exchange) -> None:
        try:
            await read_chunked(exchange.reader)
            got.append("whole")
        except (asyncio.IncompleteReadError, ValueError, ConnectionError):
            got.append("broken off")
        ended.set()

    async with upstream(read) as engine, proxy_before(engine.url) as proxy:
        async with client(proxy) as connection:
            await connection.send(
                b"POST /_bulk HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n3\r\nabc\r\n"
            )
            await engine.asked.wait()
        async with asyncio.timeout(20):
            await ended.wait()
    assert got == ["broken off"]


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
)
async def test_an_answer_that_breaks_off_never_looks_whole(framing: bytes) -> None:
    async def break_off(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n" + framing)
        exchange.writer.close()

    async with upstream(break_off) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        await connection.send(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ValueError, ConnectionError)):
            await connection.response()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"no http at all\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00 / HTTP/1.1\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nBad Header\r\n\r\n", 400),
        (b"get /x HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"GET /x\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ],
)
async def test_what_is_no_http_is_refused_in_the_engines_form(request_bytes: bytes, status: int) -> None:
    async with upstream(answering(OK)) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        await connection.send(request_bytes)
        head, body = await connection.response()
        assert head.split()[1] == str(status).encode()
        assert json.loads(body)["status"] == status
        assert engine.seen == []


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (b"http://other:1/a%2Fb?x=/y", "/a%2Fb?x=/y"),
        (b"http://other?x=http://y/z", "/?x=http://y/z"),
        (b"HTTPS://me:secret@other", "/"),
        (b"/a?x=http://y/z", "/a?x=http://y/z"),
        (b"//other/a", "//other/a"),
    ],
)
async def test_a_request_goes_to_the_upstream_whatever_it_names(target: bytes, sent: str) -> None:
    async with upstream(answering(OK)) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        await connection.send(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await connection.response())[1] == b"{}"
        assert engine.seen[0].request_line == f"GET {sent} HTTP/1.1"


@pytest.mark.parametrize("method", [b"CONNECT", b"OPTIONS", b"GET"])
async def test_a_target_that_would_change_the_upstreams_host_reaches_none(method: bytes) -> None:
    """``http://upstream:9200`` and ``@other:1`` together are a URL of the host ``other``."""
    async with upstream(answering(OK)) as other, upstream(answering(OK)) as engine:
        async with proxy_before(engine.url) as proxy, client(proxy) as connection:
            host = other.url.removeprefix("http://").encode()
            await connection.send(method + b" @" + host + b" HTTP/1.1\r\nAuthorization: Basic abc\r\n" + HOST + b"\r\n")
            head, _ = await connection.response()
        assert head.split()[1] in (b"400", b"405")
        assert (other.connections, engine.seen) == (0, [])


async def test_an_upgrade_is_not_made_and_the_connection_serves_on() -> None:
    asked = b"GET /x HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    async with upstream(answering(OK)) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        for _ in range(2):
            await connection.send(asked + HOST + b"\r\n")
            head, body = await connection.response()
            assert (head.split()[1], body) == (b"200", b"{}")
        await connection.send(b"GET /y HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await connection.response())[1] == b"{}"
        assert [exchange.header("Upgrade") for exchange in engine.seen] == [None] * 3


async def test_one_connection_serves_many_requests() -> None:
    async with upstream(answering(OK)) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        for _ in range(5):
            await connection.send(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (await connection.response())[1] == b"{}"
        assert engine.connections == 1
        await connection.send((b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n") * 3)  # pipelined
        assert [(await connection.response())[1] for _ in range(3)] == [b"{}"] * 3


async def test_a_path_prefix_stands_before_every_path() -> None:
    async with (
        upstream(answering(OK)) as engine,
        proxy_before(f"{engine.url}/es") as proxy,
        client(proxy) as connection,
    ):
        await connection.send(b"GET /a%2Fb?x=1 HTTP/1.1\r\n" + HOST + b"\r\n")
        await connection.response()
        assert engine.seen[0].request_line == "GET /es/a%2Fb?x=1 HTTP/1.1"


async def test_another_expectation_is_the_engines_to_judge() -> None:
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
    async with upstream(answering(refusal)) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        await connection.send(b"POST /_bulk HTTP/1.1\r\nExpect: a-miracle\r\nContent-Length: 3\r\n" + HOST + b"\r\nabc")
        head, _ = await connection.response()
        assert head.startswith(b"HTTP/1.1 417 ")
        assert engine.seen[0].header("Expect") == "a-miracle"
