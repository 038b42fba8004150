"""Run an engine by hand: ``python -m tests.engines es9`` prints its URL and keeps it until Ctrl-C."""

from __future__ import annotations

import signal
import sys

from tests.engines import available, start
from tests.engines.releases import ALL_RELEASES


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in ALL_RELEASES:
        print(f"usage: python -m tests.engines {'|'.join(ALL_RELEASES)}", file=sys.stderr)
        return 2
    missing = available(sys.argv[1])
    if missing is not None:
        print(missing, file=sys.stderr)
        return 1
    engine = start(sys.argv[1])
    print(f"{engine.title} on {engine.url}; Ctrl-C stops it", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    engine.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
