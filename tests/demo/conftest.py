"""The demo as a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass
class RunningDemo:
    """A demo that has said where its page is."""

    process: subprocess.Popen[str]
    page: str
    proxy: str
    engine: str

    def stop(self) -> int:
        """Press Ctrl-C; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


def start_demo() -> RunningDemo:
    command = [sys.executable, "-m", "proxy", "demo", "--no-browser", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said: dict[str, str] = {}
    for line in process.stdout:
        found = re.match(r"(embedded engine|proxy|page) +(http://[^ ]+?)/?\s", line)
        if found:
            said[found[1]] = found[2]
        if line.startswith("Ctrl-C"):
            return RunningDemo(process, said["page"], said["proxy"], said["embedded engine"])
    process.kill()
    raise AssertionError("the demo ended before it was ready")


@pytest.fixture
def demo() -> Iterator[RunningDemo]:
    running = start_demo()
    yield running
    if running.process.poll() is None:
        running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()
