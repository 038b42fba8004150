"""Runs commands beside each other, so many at once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence


def run_jobs(commands: Mapping[str, Sequence[str]], at_once: int, keep_open: Sequence[int] = ()) -> None:
    """Run all commands to their end; none is left behind, whatever ends this.

    Args:
        commands: by name.
        at_once: how many run beside each other.
        keep_open: file descriptors that they inherit.

    Raises:
        OSError: one has failed; the others are ended.
    """
    waiting, running = list(commands), dict[str, subprocess.Popen[bytes]]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                name = waiting.pop(0)
                running[name] = subprocess.Popen(commands[name], pass_fds=keep_open)
            time.sleep(0.2)
            for name, job in list(running.items()):
                if job.poll() is not None:
                    del running[name]
                if job.returncode:
                    raise OSError(f"the job for {name} ended with exit code {job.returncode}; its message stands above")
    finally:
        for job in running.values():
            job.terminate()
        for job in running.values():
            job.wait()
