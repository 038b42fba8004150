"""What was seen of each row on each engine: kept in seen.json, compared by the tests, shown on the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.contract.rows import ROWS, Claim, Row
from tests.contract.wire import SECTION, WIRE_ROWS, WireRow
from tests.support import Answer, ask

SEEN = Path(__file__).with_name("seen.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
ENGINES = {"es8": "Elasticsearch 8", "es9": "Elasticsearch 9", "os": "OpenSearch 2", "os3": "OpenSearch 3"}

_INTRO = """# Compatibility

What becomes of each endpoint, URL parameter and body key. Each row is a request that a test sends to real engines, directly
and through the proxy; this page is written from what the tests have seen (`python -m tests.contract`).

- **reranked**: the order is ours; every other byte is the engine's, but for `_score`, `max_score`, `took` and what the row says.
- **passed**: the engine's own answer, byte for byte.
- **opt-in**: passed, unless the rule says otherwise.

Columns of engines: `full` (reranked), `skipped; …` (passed, with the reason in `X-Rerank-Status`), `passed` (no rule is
asked), or the status with which the engine itself refuses the request: then the client sees that error. The engines are
8.19, 9.5, 2.19 and 3.8, all without commercial or neural plugins.

On every row a second proxy that keeps the engine's order (`model: identity`, `scores: keep`) gave the engine's own bytes.
Requests generated over all of these together are compared in `tests/identity`, the engine's own REST tests in
`tests/rest_suite`.
"""

_HTTP = f"""
## {SECTION}

Requests as bytes, and the status of their answer: the engine's and, where it is another one, the proxy's. Refusals of the
proxy's own have the engines' error form.

"""

_NOT_HERE = """
## Not run on a real engine

What these engines come without was tested on a scripted upstream only: `_async_search` (tests/edge/test_async_search.py),
`text_similarity_reranker` answered by the cluster itself, `rrf`, `linear` and `pinned` retrievers beyond the refusal above,
security (`Authorization` is sent on as it came), and OpenSearch's neural queries and rerank processors.
"""


def blanked(body: bytes) -> bytes:
    """Return an answer less times, and less ids that each request gets anew."""
    body = re.sub(rb'("(?:took|time_in_nanos|[a-z_]+_time|[a-z_]+time_in_\w+)"\s*:\s*)\d+', rb"\1N", body)
    body = re.sub(rb"(?m)^took: \d+$", b"took: N", body)
    body = re.sub(rb'("phase_took"\s*:\s*)\{[^{}]*\}', rb"\1N", body)
    body = re.sub(rb'"(id|pit_id|_scroll_id)"\s*:\s*"[^"]{40,}"', rb'"\1":"X"', body)
    return re.sub(rb'"(creation_time|timestamp|_seq_no|_version)"\s*:\s*\d+', rb'"\1":N', body)


def send_row(url: str, row: Row) -> Answer:
    """Send a row's request."""
    return ask(url, row.method, row.path, row.body, row.headers)


def observed(direct: Answer, through: Answer) -> str:
    """Return in a word what became of a row."""
    if direct.status >= 400 and through.status == direct.status:
        return str(direct.status)
    return through.header("X-Rerank-Status") or "passed"


def read_seen() -> dict[str, dict[str, str]]:
    """Return what was seen, by engine and row."""
    found: dict[str, dict[str, str]] = json.loads(SEEN.read_text(encoding="utf-8"))
    return found


def key_of(row: Row | WireRow) -> str:
    """Return a row's key."""
    return f"{SECTION if isinstance(row, WireRow) else row.section}: {row.name}"


def page(seen: dict[str, dict[str, str]]) -> str:
    """Return docs/compatibility.md."""
    parts = [_INTRO]
    for section in dict.fromkeys(row.section for row in ROWS):
        rows = [row for row in ROWS if row.section == section]
        parts += [
            f"\n## {section}\n\n",
            _line("what", "claim", *ENGINES.values(), "how"),
            _rule(3 + len(ENGINES)),
        ]
        parts += [_line(f"`{row.name}`", str(row.claim), *_marks(seen, row), row.how) for row in rows]
    parts += [_HTTP, _line("what", *ENGINES.values(), "how"), _rule(2 + len(ENGINES))]
    parts += [_line(row.name, *_marks(seen, row), row.how) for row in WIRE_ROWS]
    return "".join(parts) + _NOT_HERE


def _marks(seen: dict[str, dict[str, str]], row: Row | WireRow) -> list[str]:
    return [seen.get(engine, {}).get(key_of(row), "not run") for engine in ENGINES]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _rule(columns: int) -> str:
    return "|" + columns * "---|" + "\n"


def holds(row: Row, mark: str) -> bool:
    """Say whether what was seen is what is claimed. A refusal of the engine's own speaks for neither."""
    if mark.isdigit():
        return True
    reranked = mark == "full" or "full=" in mark
    return reranked == (row.claim is Claim.RERANKED)
