"""``python -m proxy.embedded``: run the embedded engine by hand."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from proxy.embedded import start_embedded


async def _serve(host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await start_embedded(host, port)
    print(f"embedded engine on {server.url}; everything is in memory and gone when it stops (Ctrl-C)", flush=True)
    await stop.wait()
    await server.close()


def main() -> int:
    """Run until a signal comes; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m proxy.embedded", description="A small search engine in memory.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9200, help="port, 0 for a free one (default: %(default)s)")
    options = parser.parse_args()
    try:
        asyncio.run(_serve(options.host, options.port))
    except (OSError, OverflowError) as error:
        print(f"cannot listen on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
