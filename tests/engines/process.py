"""Starts an engine as a process of its own and stops it for sure."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.engines.releases import ALL_RELEASES, Release, jars, java_for

_START_S = 180
_HEAP = ("-Xms512m", "-Xmx512m")
_OPENSEARCH_PORTS = range(9200, 9299, 2)


class EngineError(RuntimeError):
    """An engine could not be started; the text holds the end of its log."""


class Engine:
    """A running engine."""

    def __init__(self, release: Release, process: subprocess.Popen[bytes], url: str, home: Path) -> None:
        self.name = release.name
        self.title = release.title
        self.is_elasticsearch = release.is_elasticsearch
        self.url = url
        self._process = process
        self._home = home
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop it and remove its data; a second call does nothing."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(20)
        shutil.rmtree(self._home, ignore_errors=True)


def start(
    name: str,
    settings: Mapping[str, str] | None = None,
    parent: Path | None = None,
    java_options: tuple[str, ...] = _HEAP,
) -> Engine:
    """Start an engine on a free port and wait until it answers.

    Args:
        name: of `RELEASES`.
        settings: lines of the node's configuration file; ``{home}`` in a value is the engine's own folder.
        parent: where that folder is made, the system's place for temporary files if not given.
        java_options: of the virtual machine.

    Raises:
        EngineError: it ended, or did not answer in time.
    """
    release = ALL_RELEASES[name]
    folder = jars(release)
    home = Path(tempfile.mkdtemp(prefix=f"rerank-proxy-{name}-", dir=parent))
    port = _free_port() if release.is_elasticsearch else _free_opensearch_port()
    lines = "".join(f"{key}: {value.format(home=home)}\n" for key, value in (settings or {}).items())
    command = (
        _elasticsearch(release, folder, home, port, java_options, lines)
        if release.is_elasticsearch
        else _opensearch(release, folder, home, port, java_options, lines)
    )
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _bound(command),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    engine = Engine(release, process, f"http://127.0.0.1:{port}", home)
    deadline = time.monotonic() + _START_S
    while not _answers(engine.url):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-3000:]
            engine.stop()
            raise EngineError(f"{release.title} did not start: {tail}")
        time.sleep(0.25)
    return engine


def _bound(command: list[str]) -> list[str]:
    """An engine must not outlive a test run that was killed (``setpriv`` is part of util-linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else command


def _elasticsearch(
    release: Release, folder: Path, home: Path, port: int, options: tuple[str, ...], lines: str
) -> list[str]:
    for name in ("config", "plugins", "logs", "modules"):
        (home / name).mkdir()
    if lines:
        (home / "config" / "elasticsearch.yml").write_text(lines)
    shutil.copytree(folder / "module", home / "modules" / "transport-netty4")
    vectors = ["--add-modules", "jdk.incubator.vector"] if release.java >= 21 else []
    launcher = Path(__file__).with_name("Launcher.java")
    return [str(java_for(release)), *options, *vectors, "-cp", f"{folder}/lib/*", str(launcher), str(home), str(port)]


def _opensearch(
    release: Release, folder: Path, home: Path, port: int, options: tuple[str, ...], lines: str
) -> list[str]:
    # The first node listens one above the base port.
    runner = ["-numOfNode", "1", "-baseHttpPort", str(port - 1)]
    # Nodes of one name on one machine would join into one cluster.
    runner += ["-clusterName", home.name]
    if release.plugins:
        runner += ["-pluginTypes", ",".join(release.plugins)]
    # On a disk that is nearly full no index could be made.
    (home / "settings.yml").write_text("cluster.routing.allocation.disk.threshold_enabled: false\n" + lines)
    program = [str(Path(__file__).with_name("OpenSearchLauncher.java")), str(home / "settings.yml")]
    runner += ["-basePath", str(home / "data")]
    return [str(java_for(release)), *options, "-cp", f"{folder}/lib/*", *program, *runner]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _free_opensearch_port() -> int:
    """The runner keeps to ports from 9200 to 9299."""
    for base in _OPENSEARCH_PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", base + 1))
            return base + 1
    raise EngineError("no port from 9200 to 9299 is free for OpenSearch")


def _answers(url: str) -> bool:
    health = f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s"
    try:
        with urllib.request.urlopen(health, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
