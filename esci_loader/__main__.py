"""``python -m esci_loader --url URL --index NAME PRODUCTS…`` and ``python -m esci_loader qrels EXAMPLES``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import proxy
from esci_loader.client import Access, EngineError, connect
from esci_loader.load import Report, load, prepare_index
from esci_loader.qrels import BadInput, write_qrels
from esci_loader.records import DEFAULT_LOCALE, UnreadableFile

SAMPLE = Path(proxy.__file__).with_name("demo") / "data" / "products.jsonl"
EXIT_INCOMPLETE = 1
EXIT_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 where documents are missing in the index, or 2 where nothing could be done."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] == ["qrels"]:
            return _qrels(given[1:])
        args = _parser().parse_args(given)
        report = asyncio.run(_load(args))
    except (EngineError, UnreadableFile, BadInput) as error:
        print(f"esci_loader: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        return 130
    _say(report)
    return 0 if report.complete else EXIT_INCOMPLETE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m esci_loader",
        description="Load Shopping Queries (ESCI) products. `python -m esci_loader qrels --help`: judgements to qrels.",
    )
    parser.add_argument("products", nargs="*", type=Path, help="the official parquet, or JSON lines (.json, .gz, .zst)")
    parser.add_argument("--sample", action="store_true", help="the sample catalogue that comes with the proxy")
    parser.add_argument("--url", default="http://localhost:9200", help="the engine (default %(default)s)")
    parser.add_argument("--index", default="esci", help="default %(default)s")
    parser.add_argument("--locale", default=DEFAULT_LOCALE, help="us, es, jp or all (default %(default)s)")
    parser.add_argument("--analyzer", default="english", help="of the text fields (default %(default)s)")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--recreate", action="store_true", help="delete an existing index first")
    existing.add_argument("--append", action="store_true", help="add to an existing index")
    parser.add_argument("--user", default=os.environ.get("ESCI_LOADER_USER"), help="name:password ($ESCI_LOADER_USER)")
    parser.add_argument("--api-key", default=os.environ.get("ESCI_LOADER_API_KEY"), help="$ESCI_LOADER_API_KEY")
    parser.add_argument("--ca", help="certificate authority (PEM) to trust for https")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


async def _load(args: argparse.Namespace) -> Report:
    if args.sample:
        args.products.append(SAMPLE)
    if not args.products:
        raise UnreadableFile("no products: name their files, or say --sample")
    missing = [str(path) for path in args.products if not path.is_file()]
    if missing:
        raise UnreadableFile(f"no such file: {', '.join(missing)}")
    client = await connect(Access(args.url, args.user, args.api_key, args.ca))
    try:
        await prepare_index(client, args.index, args.analyzer, args.recreate, args.append)
        locale = None if args.locale == "all" else args.locale
        return await load(client, args.index, args.products, locale, args.quiet)
    finally:
        await client.close()


def _say(report: Report) -> None:
    print(
        f"{report.indexed} products indexed, {report.rejected} rejected, {report.unreadable} unreadable records, "
        f"{report.skipped} of other locales left out"
    )
    for line in report.shown:
        print(f"  {line}", file=sys.stderr)
    hidden = report.rejected + report.unreadable - len(report.shown)
    if hidden > 0:
        print(f"  and {hidden} more", file=sys.stderr)


def _qrels(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m esci_loader qrels",
        description="Turn the official examples parquet, or JSON lines of judgements, into TREC qrels and queries.",
    )
    parser.add_argument("judgements", type=Path, help="shopping_queries_dataset_examples.parquet, or .jsonl")
    parser.add_argument("--split", default="test", help="train, test or all (default %(default)s)")
    parser.add_argument("--locale", default=DEFAULT_LOCALE, help="us, es, jp or all (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("qrels.tsv"), help="qrels file (default %(default)s)")
    parser.add_argument("--queries", type=Path, default=Path("queries.tsv"), help="queries file (default %(default)s)")
    args = parser.parse_args(arguments)
    queries, judged = write_qrels(args.judgements, args.split, args.locale, args.out, args.queries)
    print(f"{judged} judgements of {queries} queries: {args.out}, {args.queries}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
