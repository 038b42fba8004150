"""Large bodies in flat memory, an answer that takes six minutes, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from pathlib import Path

import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.e2e.test_faults import ScriptedEngine
from tests.edge.wire import OK, Exchange, answering, client, proxy_before, upstream
from tests.support import ProxyThread, ask
from tests.test_cli import serving

HOST = b"Host: proxy.example\r\n"
MEGABYTE = b"x" * 1024 * 1024
MEGABYTES = 300
ALLOWED_GROWTH_KIB = 60 * 1024


def resident_kib(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc")
async def test_300_megabytes_both_ways_in_flat_memory() -> None:
    counted = 0

    async def count(exchange: Exchange) -> None:
        nonlocal counted
        while size := int((await exchange.reader.readline()).split(b";")[0], 16):
            counted += len(await exchange.reader.readexactly(size))
            await exchange.reader.readexactly(2)
        await exchange.reader.readline()
        await exchange.send(f"HTTP/1.1 200 OK\r\nContent-Length: {MEGABYTES * len(MEGABYTE)}\r\n\r\n".encode())
        for _ in range(MEGABYTES):
            await exchange.send(MEGABYTE)

    async with upstream(count) as engine:
        entered = serving("--upstream", engine.url, "--model", "identity")
        process, url, _ = await asyncio.to_thread(entered.__enter__)
        try:
            before = resident_kib(process.pid)
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
            writer.write(b"POST /_bulk HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n")
            for _ in range(MEGABYTES):
                writer.write(b"%x\r\n" % len(MEGABYTE) + MEGABYTE + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            got = 0
            while got < MEGABYTES * len(MEGABYTE):
                chunk = await reader.read(2**20)
                assert chunk, "the answer ended early"
                got += len(chunk)
            writer.close()
            assert counted == got == MEGABYTES * len(MEGABYTE)
            assert resident_kib(process.pid) - before < ALLOWED_GROWTH_KIB
        finally:
            await asyncio.to_thread(entered.__exit__, None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(500)
async def test_an_answer_that_takes_six_minutes() -> None:
    async def take_time(exchange: Exchange) -> None:
        await asyncio.sleep(365)
        await exchange.send(OK)

    async with upstream(take_time) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
        await connection.send(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
        async with asyncio.timeout(450):
            head = await connection.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")


async def test_starting_and_stopping_leaves_nothing_behind() -> None:
    async def cycle() -> None:
        async with upstream(answering(OK)) as engine, proxy_before(engine.url) as proxy, client(proxy) as connection:
            await connection.send(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
            await connection.response()

    await cycle()
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(30):
        await cycle()
    assert len(os.listdir("/proc/self/fd")) <= files + 3
    assert threading.active_count() <= threads + 3


def test_health_is_answered_while_a_slow_model_scores() -> None:
    release = threading.Event()

    def wait(query: str, document: str) -> float | None:
        release.wait(60)
        return None

    with ScriptedEngine() as engine:
        settings = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(Rule(budget_ms=60_000),))

        def scorer() -> ThreadScorer:
            return ThreadScorer({"base": lambda: DummyModel(fault=wait)}, MemoryScoreCache(1000), 2)

        with ProxyThread(settings, scorer) as proxy:
            body = b'{"query":{"match":{"title":"red shoe"}}}'
            headers = {"Content-Type": "application/json"}
            search = threading.Thread(target=ask, args=(proxy.url, "POST", "/shop/_search", body, headers))
            search.start()
            for _ in range(5):
                assert ask(proxy.url, "GET", "/_rerank/health/live").status == 200
                assert ask(proxy.url, "GET", "/_cat/indices").status == 200
            assert search.is_alive()
            release.set()
            search.join(60)
