"""Turns logs of User Behavior Insights (UBI) into judgements that `rerank-proxy evaluate` and the training read.

    python scripts/ubi_judgements.py --queries ubi_queries.ndjson --events ubi_events.ndjson --out judgements.csv
    python scripts/ubi_judgements.py --url http://localhost:9200 --out judgements.csv

Clicks, carts and purchases count; the bias of the position is taken out. docs/training-data.md says how, how much log
that needs, and what it cannot do.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from proxy.evaluate.qrels import BadInput
from training import ubi
from training.options import Options

COLUMNS = ("query_id", "query", "document_id", "grade", "relevance", "weight", "impressions", "clicks")
_PLAIN = ubi.Settings()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the judgements and print a summary; return 0, or 2 where there is nothing to write."""
    given = {name: value for name, value in vars(_parser().parse_args(arguments)).items() if value is not None}
    out: Path = given.pop("out")
    given["actions"] = dict(given.pop("action")) if "action" in given else ubi.ACTIONS
    options = Options(given, given, "ubi_judgements")

    def say(line: str) -> None:
        print(f"note: {line}", file=sys.stderr)

    try:
        if out.is_dir():
            raise BadInput(f"{out}: it is a folder; name the file to write")
        if not out.parent.is_dir():
            raise BadInput(f"{out}: no such folder")
        judged = ubi.judge(ubi.read_log(options, say), ubi.settings(options), say)
        write(judged, out)
    except (BadInput, OSError) as error:
        print(f"ubi_judgements: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ubi_judgements: interrupted, nothing was written", file=sys.stderr)
        return 130
    print(summary(judged))
    print(f"wrote {out}")
    return 0


def write(judged: ubi.Judged, out: Path) -> None:
    """Write a table: all of it, or nothing."""
    numbers = {query: number for number, query in enumerate(dict.fromkeys(pair.query for pair in judged.pairs), 1)}
    partial = out.with_name(f"{out.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for pair in judged.pairs:
            row = [f"q{numbers[pair.query]}", pair.query, pair.document_id, pair.level]
            table.writerow([*row, f"{pair.relevance:.4f}", f"{pair.weight:.4f}", pair.impressions, pair.clicks])
    partial.replace(out)


def summary(judged: ubi.Judged) -> str:
    """Return how much came out, and each rank's propensity; ranks of one group stand together."""
    found = judged.propensities
    lines = [
        f"{judged.queries} queries, {len(judged.pairs)} pairs, from {judged.searches} searches "
        f"with {judged.clicks} clicked documents",
        f"propensity by rank ({found.method}, {found.clicks} clicks):",
    ]
    start = 0
    for rank, value in enumerate(found.by_rank, start=1):
        if rank == len(found.by_rank) or found.by_rank[rank] != value:
            lines.append(f"  {start + 1}-{rank}: {value:.3f}" if rank > start + 1 else f"  {rank}: {value:.3f}")
            start = rank
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ubi_judgements", description="Turn logs of User Behavior Insights into judgements."
    )
    where = parser.add_argument_group("the log: files, or a cluster")
    where.add_argument("--queries", type=Path, metavar="FILE", help="ubi_queries: JSON lines or an array, .gz, .zst")
    where.add_argument("--events", type=Path, metavar="FILE", help="ubi_events: the same")
    where.add_argument("--url", help="read the indices of this cluster")
    where.add_argument("--queries-index", help="default ubi_queries")
    where.add_argument("--events-index", help="default ubi_events")
    where.add_argument("--user", default=os.environ.get("UBI_USER"), help="name:password ($UBI_USER)")
    where.add_argument("--api-key", default=os.environ.get("UBI_API_KEY"), help="$UBI_API_KEY")
    where.add_argument("--ca", help="certificate authority (PEM) to trust for https")
    where.add_argument("--since", metavar="DATE", help="leave out what is older")
    where.add_argument("--skip-malformed", action="store_true", help="count lines that are no JSON, go on")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="where the judgements go")
    how = parser.add_argument_group("how")
    how.add_argument("--method", choices=ubi.METHODS, help=f"default {_PLAIN.method}: pbm if the log has enough for it")
    how.add_argument(
        "--action", action="append", type=_action, metavar="NAME=WORTH", help="replaces the actions; repeatable"
    )
    how.add_argument("--impressions", action="append", metavar="NAME", help="action of being shown (impression)")
    for name, kind, text in (
        ("prior", float, "looks of mean worth added to each pair"),
        ("min-impressions", int, "pairs shown less often are left out"),
        ("max-rank", int, "what was shown behind is left out"),
        ("first-ordinal", int, "of the first hit"),
        ("max-clicks-per-hour", int, "more is a bot"),
        ("max-searches-per-hour", int, "more is a bot"),
        ("repeat-minutes", float, "the same results within it are one search"),
    ):
        default = getattr(_PLAIN, name.replace("-", "_"))
        how.add_argument(f"--{name}", type=kind, metavar="N", help=f"{text} (default {default:g})")
    return parser


def _action(text: str) -> tuple[str, float]:
    name, sign, worth = text.rpartition("=")
    try:
        if not sign or not name:
            raise ValueError
        return name, float(worth)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=WORTH such as purchase=3, found {text!r}") from None


if __name__ == "__main__":
    sys.exit(main())
