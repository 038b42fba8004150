"""``rerank-proxy demo``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import webbrowser
from contextlib import suppress

from aiohttp import web

from proxy.demo.stack import INDEX, Stack, running_stack
from proxy.demo.web import make_app
from proxy.settings import Listen, Settings

DEFAULT_LISTEN = "127.0.0.1:9701"
_EXIT_CANNOT_START = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--listen",
        type=_address,
        default=None,
        metavar="HOST:PORT",
        help=f"where the page is (default {DEFAULT_LISTEN}, or another port if that one is taken)",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")
    parser.add_argument("--model", default="base", help="the model to rerank with (default %(default)s)")


def _address(text: str) -> Listen:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT, such as {DEFAULT_LISTEN}")
    return Listen(host.strip("[]") or "127.0.0.1", int(port))


def run(args: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C; return the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        asyncio.run(_demo(args))
    except OSError as error:
        print(f"rerank-proxy demo: cannot listen on {args.listen}: {error.strerror or error}", file=sys.stderr)
        return _EXIT_CANNOT_START
    return 0


async def _demo(args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows' loop takes no handlers: Ctrl-C raises there
            loop.add_signal_handler(number, stop.set)
    print("starting the embedded engine, the sample catalogue and the proxy ...", flush=True)
    async with running_stack(_free(Settings().listen), args.model) as stack:
        runner = web.AppRunner(make_app(stack), shutdown_timeout=5)
        await runner.setup()
        try:
            listen = args.listen or _free(_address(DEFAULT_LISTEN))
            await web.TCPSite(runner, listen.host, listen.port).start()
            page = "http://{}:{}/".format(*runner.addresses[0][:2])
            _say(stack, page)
            if not args.no_browser and _has_desktop():
                await asyncio.to_thread(webbrowser.open, page)
            await stop.wait()
        finally:
            await runner.cleanup()
    print("stopped")


def _free(wanted: Listen) -> Listen:
    """Return the address, with port 0 (any) where its own port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((wanted.host, wanted.port))
        except OSError:
            return Listen(wanted.host, 0)
    return wanted


def _say(stack: Stack, page: str) -> None:
    body = """'{"query":{"match":{"title":"phone case"}}}'"""
    lines = [
        f"embedded engine  {stack.engine_url}   index {INDEX!r}, {stack.products} products",
        f"proxy            {stack.proxy_url}   the same index, reranked",
        f"page             {page}",
        "",
        f"try: curl -s '{stack.proxy_url}/{INDEX}/_search?pretty' -H 'content-type: application/json' -d {body}",
        "Ctrl-C stops",
    ]
    print("\n".join(lines), flush=True)


def _has_desktop() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
