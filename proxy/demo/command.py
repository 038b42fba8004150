"""``rerank-proxy demo``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shlex
import signal
import socket
import sys
import webbrowser
from contextlib import suppress

import msgspec
from aiohttp import web

from proxy.demo.stack import INDEX, CannotStart, Stack, running_stack
from proxy.demo.web import SAMPLE_QUERY, make_app, search_body
from proxy.settings import Listen, Settings

DEFAULT_LISTEN = Listen(port=9701)
_EXIT_CANNOT_START = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "--listen",
        type=_address,
        default=None,
        metavar="HOST:PORT",
        help=f"where the page is; port 0: any free one (default {DEFAULT_LISTEN}, another port if that is taken)",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the page's address")
    parser.add_argument(
        "--model", default="base", help="the model to rerank with, a name or a path (default %(default)s)"
    )


def _address(text: str) -> Listen:
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT, such as {DEFAULT_LISTEN}")
    return Listen(host.strip("[]") or DEFAULT_LISTEN.host, int(port))


def run(args: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C or SIGTERM; return the exit status: 0, or 3 where it could not start."""
    logging.basicConfig(level=logging.CRITICAL, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        asyncio.run(_demo(args))
    except CannotStart as error:
        print(f"rerank-proxy demo: {error}", file=sys.stderr)
        return _EXIT_CANNOT_START
    except KeyboardInterrupt:  # only where the event loop takes no signal handlers
        print("stopped")
    return 0


async def _demo(args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows' loop takes no handlers: Ctrl-C raises there
            loop.add_signal_handler(number, stop.set)
    print("starting the embedded engine, the sample catalogue and the proxy ...", flush=True)
    proxy_at = Settings().listen
    async with running_stack(_free(proxy_at), args.model) as stack:
        # Not before: what fails in the start is told once, as the command's own line.
        logging.getLogger().setLevel(logging.WARNING)
        runner = web.AppRunner(make_app(stack), shutdown_timeout=2, handler_cancellation=True)
        await runner.setup()
        try:
            page = await _serve(runner, args.listen or _free(DEFAULT_LISTEN))
            _say(stack, page, elsewhere=not stack.proxy_url.endswith(f":{proxy_at.port}"))
            if not args.no_browser and _has_desktop():
                await asyncio.to_thread(webbrowser.open, page)
            await stop.wait()
        finally:
            await runner.cleanup()
    print("stopped")


async def _serve(runner: web.AppRunner, listen: Listen) -> str:
    """Listen; return the page's address."""
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
    except OSError as error:
        number = error.errno or 0  # negative for a name that cannot be resolved
        why = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise CannotStart(f"the page cannot listen on {listen}: {why}") from error
    return f"http://{Listen(*runner.addresses[0][:2])}/"


def _free(wanted: Listen) -> Listen:
    """Return the address, with port 0 (any) where its own port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((wanted.host, wanted.port))
        except OSError:
            return Listen(wanted.host, 0)
    return wanted


def _say(stack: Stack, page: str, elsewhere: bool) -> None:
    body = shlex.quote(msgspec.json.encode({**search_body(SAMPLE_QUERY), "size": 3}).decode())
    address = f"{stack.proxy_url}/{INDEX}/_search?pretty"
    taken = f" (port {Settings().listen.port} is taken)" if elsewhere else ""
    lines = [
        f"engine  {stack.engine_url}   embedded; index {INDEX!r} with {stack.products} products",
        f"proxy   {stack.proxy_url}   the same index, reranked{taken}",
        f"page    {page}   both orders side by side",
        "",
        "a search through the proxy, to paste:",
        f"curl -si '{address}' -H 'content-type: application/json' -d {body}",
        "",
        "Ctrl-C stops",
    ]
    print("\n".join(lines), flush=True)


def _has_desktop() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
