"""Sends each row to the engines, directly and through the proxy, and writes seen.json and docs/compatibility.md."""

from __future__ import annotations

import json

from proxy.settings import Rule
from tests.contract.corpus import corpus
from tests.contract.rows import ROWS
from tests.contract.seen import ENGINES, PAGE, SEEN, key_of, observed, page, send_row
from tests.contract.wire import WIRE_ROWS, mark, status_of
from tests.engines import start
from tests.support_shop import proxy_for


def main() -> None:
    """Run all rows on all engines, one engine after the other."""
    seen: dict[str, dict[str, str]] = {}
    for name in ENGINES:
        engine = start(name)
        try:
            with corpus(engine), proxy_for(engine.url, Rule(target="*", budget_ms=600_000, window=20)) as proxy:
                marks = seen[name] = {}
                for row in ROWS:
                    marks[key_of(row)] = observed(send_row(engine.url, row), send_row(proxy.url, row))
                    print(f"{name}: {key_of(row)}: {marks[key_of(row)]}", flush=True)
                for wire in WIRE_ROWS:
                    marks[key_of(wire)] = mark(status_of(engine.url, wire), status_of(proxy.url, wire))
                    print(f"{name}: {key_of(wire)}: {marks[key_of(wire)]}", flush=True)
        finally:
            engine.stop()
    SEEN.write_text(json.dumps(seen, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(seen), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
