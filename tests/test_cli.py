"""The command as its users run it: one line on what was found, one line on what is wrong."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_faults import ScriptedEngine

COMMAND = [sys.executable, "-m", "proxy"]
LISTENING = re.compile(r"listening on (http://\S+); upstream: (.*)")


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RERANK_PROXY_")}


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run ``serve``; give the process, its URL and what it says of the engine."""
    command = [*COMMAND, "serve", "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environment()) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                found = LISTENING.search(line)
                if found:
                    yield process, found[1], found[2]
                    return
            pytest.fail("the proxy ended before it listened")
        finally:
            process.kill()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment() | environment,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_what_it_found_and_stops_cleanly(number: signal.Signals) -> None:
    with ScriptedEngine() as engine, serving("--upstream", engine.url) as (process, url, found):
        assert found.startswith("reached ")
        with urllib.request.urlopen(f"{url}/_rerank/health/live") as answer:
            assert answer.status == 200
        process.send_signal(number)
        assert process.wait(30) == 0


def test_serve_starts_before_the_engine_does() -> None:
    with serving("--upstream", f"http://127.0.0.1:{free_port()}") as (process, url, found):
        assert "Connection refused" in found or "Connect call failed" in found
        with urllib.request.urlopen(f"{url}/_rerank/health/live") as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}/_rerank/health/ready")
        assert refused.value.code == 503
        refused.value.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "proxy.yaml"
    config.write_text("upstream: http://localhost:9200\nrules:\n  - target: products\n    windwo: 50\n")
    ran = run("serve", "--config", str(config))
    assert ran.returncode == 2
    lines = ran.stderr.splitlines()
    assert len(lines) == 1
    assert f"{config.name}:4" in lines[0]
    assert "window" in lines[0]


def test_a_taken_port_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = run("serve", "--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--model", "identity")
    assert ran.returncode == 3
    assert len(ran.stderr.splitlines()) == 1
    assert "cannot listen on 127.0.0.1:" in ran.stderr


def test_check_shows_the_settings_and_no_secret() -> None:
    ran = run("check", RERANK_PROXY_METADATA_AUTH="ApiKey c2VjcmV0", RERANK_PROXY_LISTEN="127.0.0.1:9999")
    assert ran.returncode == 0
    assert "127.0.0.1:9999" in ran.stdout
    assert "c2VjcmV0" not in ran.stdout + ran.stderr


def test_version() -> None:
    assert run("--version").stdout.startswith("rerank-proxy 0.")


def test_a_missing_model_degrades_and_does_not_stop(tmp_path: Path) -> None:
    with (
        ScriptedEngine() as engine,
        serving("--upstream", engine.url, "--model", "no-such-model") as (_, url, _found),
        urllib.request.urlopen(f"{url}/_rerank/health/ready") as answer,
    ):
        page = answer.read().decode()
    assert '"status": "degraded"' in page
    assert "no model 'no-such-model'" in page


def test_serving_imports_neither_torch_nor_transformers() -> None:
    script = (
        "import sys, proxy.cli, proxy.edge.server, proxy.scorer.onnx_model\n"
        "from proxy.scorer.models import find_model\n"
        "from proxy.scorer.types import Segment\n"
        "model = proxy.scorer.onnx_model.load_model(find_model('base'), 'base')\n"
        "model.score('red shoes', (Segment('red running shoes'),), 128)\n"
        "print(sorted({'torch', 'transformers', 'optimum'} & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"
