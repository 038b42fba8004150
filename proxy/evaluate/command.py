"""``rerank-proxy evaluate``: is the proxy's order better than the engine's, on judged queries?"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxy.evaluate.qrels import Judgements
    from proxy.evaluate.report import Measured
    from proxy.evaluate.searches import BuildBody, Side

DATA = Path(__file__).parent.parent / "demo" / "data"
SAMPLE_FIELDS = "title^2,brand,bullets,description"
DEFAULT_FIELDS = "title"
DEFAULT_GAINS = "0=0,1=0.01,2=0.1,3=1"
MAX_HITS = 10_000

EXIT_OK, EXIT_INCOMPLETE, EXIT_WRONG, EXIT_INTERRUPTED = 0, 1, 2, 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``rerank-proxy evaluate``."""
    parser.description = (
        "Runs judged queries on the engine and through the proxy and compares both orders: nDCG@10, MAP, MRR. "
        f"Exit code {EXIT_OK}: measured; {EXIT_INCOMPLETE}: measured, but some searches failed and are left out; "
        f"{EXIT_WRONG}: wrong input, or nothing to measure."
    )
    where = parser.add_argument_group("what is measured")
    where.add_argument("--url", default="http://127.0.0.1:9700", help="the proxy (default %(default)s)")
    where.add_argument(
        "--engine",
        help="the engine; without it the proxy is asked for the engine's order too (header X-Rerank-Skip: true)",
    )
    where.add_argument("--index", default="products", help="index, alias or pattern to search (default %(default)s)")
    where.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="sent to both; repeatable"
    )
    where.add_argument("--ca", type=Path, metavar="FILE", help="certificate authority (PEM) to trust for https")
    where.add_argument("--timeout-s", type=_positive_float, default=60.0, help="per search (default %(default)s)")

    judged = parser.add_argument_group("judged queries (one of these)")
    judged.add_argument("--sample", action="store_true", help="the queries of the sample catalogue")
    judged.add_argument(
        "--qrels", type=Path, metavar="FILE", help="TREC lines with --queries, or CSV/TSV (see --queries)"
    )
    judged.add_argument(
        "--queries",
        type=Path,
        metavar="FILE",
        help="with TREC qrels: lines of query id, tab, query; a table with a header has query, document_id and grade",
    )
    judged.add_argument("--examples", type=Path, metavar="FILE", help="the official ESCI examples parquet")
    judged.add_argument(
        "--judgments", type=Path, metavar="FILE", help='JSON lines {"query": …, "labels": {id: E|S|C|I}}'
    )
    judged.add_argument("--split", default="test", help="with --examples: train, test or all (default %(default)s)")
    judged.add_argument("--locale", default="us", help="with --examples: us, es, jp or all (default %(default)s)")

    how = parser.add_argument_group("the search")
    search = how.add_mutually_exclusive_group()
    search.add_argument(
        "--fields",
        help=f"fields to search, such as title^2,brand (default {DEFAULT_FIELDS}; with --sample {SAMPLE_FIELDS})",
    )
    search.add_argument("--body", type=Path, metavar="FILE", help='search body (JSON) with "{query}" for the query')
    how.add_argument("--size", type=_hits, default=100, help="hits asked for; MAP and MRR see no more (default 100)")
    how.add_argument(
        "--judged-only",
        action="store_true",
        help="rank only each query's judged documents, all of them; --size is then their number",
    )

    grades = parser.add_argument_group("the measures")
    grades.add_argument("--gains", default=DEFAULT_GAINS, help="nDCG gain of each grade (default %(default)s)")
    grades.add_argument(
        "--relevant-from",
        type=_grade,
        metavar="GRADE",
        help="lowest grade that MAP and MRR call relevant (default 2, or the highest grade if that is lower)",
    )
    grades.add_argument("--json", type=Path, metavar="FILE", help="write everything, each query too, to this file")


def run(args: argparse.Namespace) -> int:
    """Measure and print; return the exit code. What is wrong is said in one line on standard error."""
    from proxy.evaluate.qrels import BadInput
    from proxy.evaluate.searches import Unusable

    try:
        return asyncio.run(_evaluate(_plan(args)))
    except (BadInput, Unusable) as error:
        print(f"rerank-proxy evaluate: {error}", file=sys.stderr)
        return EXIT_WRONG
    except KeyboardInterrupt:
        print("rerank-proxy evaluate: interrupted, nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED


@dataclass(frozen=True, slots=True)
class _Plan:
    """The options, read and checked."""

    engine: Side
    proxy: Side
    engine_through_proxy: bool
    index: str
    judgements: Judgements
    build: BuildBody
    search_shown: str
    size: int
    judged_only: bool
    gains: Mapping[int, Fraction]
    gains_shown: str
    relevant_from: int
    json: Path | None
    ca: ssl.SSLContext | None
    timeout_s: float


def _plan(args: argparse.Namespace) -> _Plan:
    from proxy.edge.headers import SKIP_HEADER
    from proxy.evaluate.measures import parse_gains
    from proxy.evaluate.qrels import BadInput
    from proxy.evaluate.searches import Side, from_fields, from_template

    headers = dict(_header(text) for text in args.header)
    proxy = Side("proxy", _root(args.url, "--url"), headers)
    if args.engine is None:
        engine = Side("engine (through the proxy)", proxy.url, {**headers, SKIP_HEADER: "true"})
    else:
        engine = Side("engine", _root(args.engine, "--engine"), headers)
    if args.json is not None and (args.json.is_dir() or not args.json.parent.is_dir()):
        raise BadInput(f"--json {args.json}: not a file in a folder that exists")
    gains = parse_gains(args.gains)
    judgements = _judgements(args)
    highest = max(grade for judged in judgements.grades.values() for grade in judged.values())
    fields = args.fields or (SAMPLE_FIELDS if args.sample else DEFAULT_FIELDS)
    return _Plan(
        engine=engine,
        proxy=proxy,
        engine_through_proxy=args.engine is None,
        index=args.index,
        judgements=judgements,
        build=from_template(args.body) if args.body else from_fields(fields),
        search_shown=f"body {args.body}" if args.body else f"fields {fields}",
        size=args.size,
        judged_only=args.judged_only,
        gains=gains,
        gains_shown=args.gains,
        relevant_from=max(1, min(2, highest)) if args.relevant_from is None else args.relevant_from,
        json=args.json,
        ca=_trusted(args.ca),
        timeout_s=args.timeout_s,
    )


def _judgements(args: argparse.Namespace) -> Judgements:
    from proxy.evaluate.qrels import BadInput, read_examples, read_judgments_jsonl, read_trec
    from proxy.evaluate.table import has_header, read_table

    trec = args.qrels is not None or args.queries is not None
    if sum([args.sample, trec, args.examples is not None, args.judgments is not None]) != 1:
        raise BadInput("give one of --sample, --qrels with --queries, --examples or --judgments")
    if args.sample:
        return read_trec(DATA / "qrels.tsv", DATA / "queries.tsv")
    if args.examples is not None:
        wanted = (None if value == "all" else value for value in (args.split, args.locale))
        return read_examples(args.examples, *wanted)
    if args.judgments is not None:
        return read_judgments_jsonl(args.judgments)
    if args.qrels is not None and args.queries is None and has_header(args.qrels):
        return read_table(args.qrels)
    if args.qrels is None or args.queries is None:
        raise BadInput("--qrels and --queries go together: one has the grades, the other the query texts")
    return read_trec(args.qrels, args.queries)


async def _evaluate(plan: _Plan) -> int:
    from proxy.evaluate.measures import measure
    from proxy.evaluate.report import as_text, build, write_json

    # Before the searches, which may take long: a grade without a gain is found at once.
    measure(dict.fromkeys(plan.judgements.queries, ()), plan.judgements.grades, plan.gains, plan.relevant_from)
    measured, failures = await _search_all(plan)
    values = {
        "engine": {one.qid: one.engine.ids for one in measured},
        "proxy": {one.qid: one.proxy.ids for one in measured},
    }
    report = build(
        measured,
        {
            side: measure(rankings, plan.judgements.grades, plan.gains, plan.relevant_from)
            for side, rankings in values.items()
        },
        _settings(plan, len(measured)),
        _notes(plan, measured),
        failures,
    )
    print(as_text(report))
    if plan.json is not None:
        write_json(report, plan.json)
    return EXIT_INCOMPLETE if failures else EXIT_OK


async def _search_all(plan: _Plan) -> tuple[list[Measured], dict[str, str]]:
    """Return the measured queries, and of those that failed the reason."""
    import aiohttp
    from tqdm import tqdm

    from proxy.evaluate.searches import SearchFailed, Unusable, check

    measured: list[Measured] = []
    failures: dict[str, str] = {}
    timeout = aiohttp.ClientTimeout(total=plan.timeout_s)
    connector = aiohttp.TCPConnector(ssl=plan.ca if plan.ca is not None else True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        for side in (plan.engine, plan.proxy):
            await check(session, side, plan.index)
        for number, qid in enumerate(tqdm(plan.judgements.queries, desc="searching", unit="query", disable=None)):
            try:
                measured.append(await _search_one(session, plan, qid, engine_first=number % 2 == 0))
            except SearchFailed as error:
                failures[qid] = str(error)
    if not measured:
        qid, reason = next(iter(failures.items()))
        raise Unusable(f"all {len(failures)} queries failed; the first, {qid}: {reason}")
    return measured, failures


async def _search_one(session: Any, plan: _Plan, qid: str, engine_first: bool) -> Measured:
    """Search one query on both sides, in turns first: whoever is second finds the engine's caches warm."""
    from proxy.evaluate.report import Measured, outcome_of
    from proxy.evaluate.searches import Answer, SearchFailed, Unusable, among, search, sized

    query, judged = plan.judgements.queries[qid], plan.judgements.grades[qid]
    body = plan.build(query)
    body = among(body, list(judged)[:MAX_HITS]) if plan.judged_only else sized(body, plan.size)
    answers: dict[str, Answer] = {}
    for side in (plan.engine, plan.proxy) if engine_first else (plan.proxy, plan.engine):
        try:
            answers[side.name] = await search(session, side, plan.index, body)
        except SearchFailed as error:
            raise SearchFailed(f"{side.name}: {error}") from None
    engine, proxy = answers[plan.engine.name], answers[plan.proxy.name]
    if plan.engine_through_proxy and outcome_of(engine.status)[0] not in ("skipped", "no status"):
        raise Unusable(
            f"{plan.proxy.shown} reranks although asked not to (X-Rerank-Skip); give the engine with --engine"
        )
    return Measured(qid=qid, query=query, engine=engine, proxy=proxy, judged=frozenset(judged))


def _settings(plan: _Plan, queries: int) -> dict[str, Any]:
    return {
        "index": plan.index,
        "queries": queries,
        "judgements": plan.judgements.count,
        "search": plan.search_shown,
        "hits": "the judged ones" if plan.judged_only else plan.size,
        "gains": plan.gains_shown,
        "relevant": f"grade {plan.relevant_from} and up",
        "proxy": plan.proxy.shown,
        "engine": "the proxy with X-Rerank-Skip" if plan.engine_through_proxy else plan.engine.shown,
    }


def _notes(plan: _Plan, measured: list[Measured]) -> list[str]:
    judgements, notes = plan.judgements, []
    without = sum(all(not plan.gains[grade] for grade in judgements.grades[one.qid].values()) for one in measured)
    if without:
        notes.append(f"note: {without} queries have no document with a gain; their nDCG is 0 on both sides")
    if judgements.unjudged_queries:
        notes.append(f"note: {judgements.unjudged_queries} queries without any judgement are left out")
    if judgements.textless_queries:
        notes.append(f"note: {judgements.textless_queries} judged query ids without a query text are left out")
    if all(one.proxy.status is None for one in measured):
        notes.append(
            f"note: no answer has X-Rerank-Status; is {plan.proxy.shown} the proxy, with a rule for the index?"
        )
    if not any(one.engine.ids for one in measured):
        notes.append(f"note: the engine found nothing for any query; are the fields right? ({plan.search_shown})")
    return notes


def _header(text: str) -> tuple[str, str]:
    from proxy.evaluate.qrels import BadInput

    name, colon, value = text.partition(":")
    if not (colon and name.strip()) or not text.isprintable():
        raise BadInput("--header: expected 'NAME: VALUE'")  # not shown as it came: it may be a secret
    return name.strip(), value.strip()


def _root(text: str, option: str) -> Any:
    from yarl import URL

    from proxy.evaluate.qrels import BadInput

    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise BadInput(f"{option}: expected an address such as http://localhost:9200")
    return url


def _trusted(ca: Path | None) -> ssl.SSLContext | None:
    from proxy.evaluate.qrels import BadInput

    if ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise BadInput(f"--ca {ca}: {error.strerror or error}") from None


def _hits(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_HITS:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MAX_HITS}, found {text!r}")


def _grade(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a grade from 1 on, found {text!r}")


def _positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value
