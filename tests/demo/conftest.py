"""The demo as a process of its own, and its parts on a thread so that a test can stop one of them."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from proxy.demo.stack import Stack, load_catalogue
from proxy.demo.web import make_app
from proxy.edge.server import Proxy, start_proxy
from proxy.embedded import EmbeddedServer, start_embedded
from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings


@dataclass
class RunningDemo:
    """A demo that has said where its parts are."""

    process: subprocess.Popen[str]
    page: str
    proxy: str
    engine: str
    said: list[str]
    """What it printed until it was ready."""

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Press Ctrl-C, or send another signal; return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)


def start_demo() -> RunningDemo:
    command = [sys.executable, "-m", "proxy", "demo", "--no-browser", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    found: dict[str, str] = {}
    said: list[str] = []
    for line in process.stdout:
        said.append(line.rstrip("\n"))
        if part := re.match(r"(engine|proxy|page) +(http://[^ ]+?)/?\s", line):
            found[part[1]] = part[2]
        if line.startswith("Ctrl-C"):
            return RunningDemo(process, found["page"], found["proxy"], found["engine"], said)
    process.wait(30)
    process.stdout.close()
    raise AssertionError("\n".join(["the demo ended before it was ready", *said]))


def finish(running: RunningDemo) -> None:
    if running.process.poll() is None:
        running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()


@pytest.fixture
def demo() -> Iterator[RunningDemo]:
    """A demo that the test may stop."""
    running = start_demo()
    yield running
    finish(running)


@pytest.fixture(scope="module")
def lasting_demo() -> Iterator[RunningDemo]:
    """A demo that the tests of a file share; none may stop it."""
    running = start_demo()
    yield running
    finish(running)


class Parts:
    """Engine, proxy and page on one thread's event loop, with a model that a test can make fail."""

    def __init__(self) -> None:
        """Start all three."""
        self.model_fails = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.engine: EmbeddedServer
        self.proxy: Proxy
        self._runner: web.AppRunner
        self.page = self._do(self._start())

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def _fault(self, query: str, text: str) -> float | None:
        if self.model_fails:
            raise RuntimeError("the model is broken")
        return None

    async def _start(self) -> str:
        self.engine = await start_embedded()
        products = await load_catalogue(self.engine.url)
        models: dict[str, Callable[[], DummyModel]] = {"base": lambda: DummyModel(fault=self._fault)}
        scorer = ThreadScorer(models, MemoryScoreCache(1000), 2)
        settings = Settings(upstream=(self.engine.url,), listen=Listen(port=0), rules=(Rule(budget_ms=60_000),))
        self.proxy = await start_proxy(settings, scorer)
        self._runner = web.AppRunner(make_app(Stack(self.engine.url, self.proxy.url, products)), shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def stop_engine(self) -> None:
        self._do(self.engine.close())

    def stop_proxy(self) -> None:
        self._do(self.proxy.close())

    def close(self) -> None:
        for stop in (self._runner.cleanup, self.proxy.close, self.engine.close):
            self._do(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture
def parts() -> Iterator[Parts]:
    running = Parts()
    yield running
    running.close()
