"""The command ``rerank-proxy``: serve, demo, evaluate."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from proxy import __version__
from proxy.settings import Settings, SettingsError, add_arguments, flags_from, load_settings

EXIT_BAD_SETTINGS = 2
EXIT_CANNOT_START = 3


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from proxy.demo import command as demo
    from proxy.evaluate import command as evaluate

    parser = argparse.ArgumentParser(
        prog="rerank-proxy",
        description="A proxy in front of Elasticsearch or OpenSearch that reranks search hits.",
    )
    parser.add_argument("--version", action="version", version=f"rerank-proxy {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the proxy in front of a cluster")
    add_arguments(serve)
    check = commands.add_parser("check", help="read the settings, say what they are, and stop")
    add_arguments(check)
    demo.add_arguments(commands.add_parser("demo", help="see reranked product search in a browser, no cluster needed"))
    evaluate.add_arguments(
        commands.add_parser("evaluate", help="measure the engine's order and the reranked one against judgements")
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    from proxy.demo import command as demo
    from proxy.evaluate import command as evaluate

    args = build_parser().parse_args(arguments)
    try:
        match args.command:
            case "serve":
                return _serve(args)
            case "check":
                return _check(args)
            case "demo":
                return demo.run(args)
            case _:
                return evaluate.run(args)
    except SettingsError as error:
        print(f"rerank-proxy: {error}", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    except KeyboardInterrupt:
        return 130


def _settings(args: argparse.Namespace) -> Settings:
    return load_settings(args.config, os.environ, flags_from(args))


def _check(args: argparse.Namespace) -> int:
    import msgspec

    from proxy.settings import redacted

    shown = msgspec.json.format(msgspec.json.encode(redacted(_settings(args))), indent=2)
    print(shown.decode())
    return 0


def _serve(args: argparse.Namespace) -> int:
    settings = _settings(args)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        asyncio.run(_serve_until_signal(settings))
    except OSError as error:
        print(f"rerank-proxy: cannot listen on {settings.listen}: {error.strerror or error}", file=sys.stderr)
        return EXIT_CANNOT_START
    except ValueError as error:
        print(f"rerank-proxy: {error}", file=sys.stderr)
        return EXIT_CANNOT_START
    return 0


async def _serve_until_signal(settings: Settings) -> None:
    from proxy.edge.server import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows' loop takes no handlers: Ctrl-C raises there
            loop.add_signal_handler(number, stop.set)
    await serve(settings, stop)


if __name__ == "__main__":
    sys.exit(main())
