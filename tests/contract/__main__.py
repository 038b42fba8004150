"""Sends each row to the engines, directly and through the proxy, and writes seen.json and docs/compatibility.md."""

from __future__ import annotations

import argparse
import json

from proxy.settings import Rule
from tests.contract.corpus import corpus
from tests.contract.rows import ROWS
from tests.contract.seen import ENGINES, PAGE, SEEN, key_of, observed, page, read_seen, send_row
from tests.contract.wire import WIRE_ROWS, mark, status_of
from tests.engines import start
from tests.support_shop import proxy_for


def main() -> None:
    """Run all rows on the engines that are named, by default on all, one engine after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract", description=__doc__)
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=f"of {', '.join(ENGINES)}; the others' marks stay")
    chosen = parser.parse_args().engines or list(ENGINES)
    if unknown := set(chosen) - set(ENGINES):
        parser.error(f"no such engine: {', '.join(sorted(unknown))}; there are {', '.join(ENGINES)}")
    seen = read_seen() | {name: _marks(name) for name in chosen}
    ordered = {name: seen[name] for name in ENGINES if name in seen}
    SEEN.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(ordered), encoding="utf-8")
    print(f"wrote {PAGE}")


def _marks(name: str) -> dict[str, str]:
    """Run all rows on an engine."""
    marks: dict[str, str] = {}
    engine = start(name)
    try:
        with corpus(engine), proxy_for(engine.url, Rule(target="*", budget_ms=600_000, window=20)) as proxy:
            for row in ROWS:
                marks[key_of(row)] = observed(send_row(engine.url, row), send_row(proxy.url, row))
                print(f"{name}: {key_of(row)}: {marks[key_of(row)]}", flush=True)
            for wire in WIRE_ROWS:
                marks[key_of(wire)] = mark(status_of(engine.url, wire), status_of(proxy.url, wire))
                print(f"{name}: {key_of(wire)}: {marks[key_of(wire)]}", flush=True)
    finally:
        engine.stop()
    return marks


if __name__ == "__main__":
    main()
