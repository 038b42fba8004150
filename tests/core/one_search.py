"""Six hits, a model that knows their logits, and short ways to ask for them."""

from __future__ import annotations

import json
from typing import Any

from proxy.core.messages import (
    Rewritten,
)
from proxy.settings import Rule, parse_template
from tests.core.fake_engine import (
    FakeEngine,
    Setup,
    StoredHit,
    make_search,
    raw_hits,
    scores_by_text,
)

QUERY = {"match": {"title": "red shoes"}}
RULE = Rule(text=parse_template("{title}"), window=4, budget_ms=500, blend=0.0)
NAMES = "abcdef"
LOGITS: dict[str, float | None] = {"a": -1.0, "b": 2.0, "c": 2.0, "d": 5.0, "e": 9.0, "f": 9.0}


def stored(name: str, score: str, title: str | None = "", **more: Any) -> StoredHit:
    """Return a hit whose title is its name; None: it has no title."""
    fields = {"color": ["red"]} if title is None else {"title": [title or name], "color": ["red"]}
    return StoredHit(name, score.encode(), b'{"n":1.10,"name":"%s"}' % name.encode(), fields, **more)


SIX = [stored(name, f"{6 - place}.0") for place, name in enumerate(NAMES)]


def make(
    hits: list[StoredHit] | None = None,
    rule: Rule = RULE,
    logits: dict[str, float | None] | None = None,
    **more: Any,
) -> Setup:
    engine = FakeEngine(SIX if hits is None else hits)
    return Setup(engine, scores_by_text({**LOGITS, **(logits or {})}), rule, **more)


def ask(setup: Setup, body: dict[str, Any] | None = None, query_string: str = "", **more: Any) -> Rewritten:
    result = setup.run(make_search({"query": QUERY, **(body or {})}, query_string, **more))
    assert isinstance(result, Rewritten), result
    return result


def ids(body: bytes) -> str:
    return "".join(json.loads(hit["_id"]) for hit in raw_hits(body))


def scores(body: bytes) -> list[float]:
    return [float(hit["_score"]) for hit in raw_hits(body)]
