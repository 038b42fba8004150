"""The search APIs: one search, several, and the count."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from proxy.embedded.engine import Engine, read_settings
from proxy.embedded.errors import EngineError, bad
from proxy.embedded.index import Index
from proxy.embedded.messages import Answer, Request
from proxy.embedded.search import Run, count
from proxy.embedded.search_request import Search, query_of, read_search
from proxy.embedded.values import known_keys, parse_object, words

_MSEARCH_KEYS = words(
    "index ignore_unavailable allow_no_indices expand_wildcards preference request_cache search_type"
    " ccs_minimize_roundtrips allow_partial_search_results"
)


def _body(request: Request) -> dict[str, Any]:
    return parse_object(request.body, "a search") if request.body.strip() else {}


def _target(request: Request) -> str | None:
    return request.parts.get("index") or request.params.get("index")


def _or_nothing(indices: Sequence[Index]) -> Sequence[Index]:
    """Where there is no index at all, an empty one sees to it that mistakes in the search are told."""
    return indices or [Index("none", read_settings({}), {})]


def search(engine: Engine, request: Request) -> Answer:
    """``_search``."""
    parsed = read_search(request.params, _body(request))
    indices = engine.resolve(_target(request), request.params)
    return Answer(200, _run(parsed, indices))


def _run(parsed: Search, indices: Sequence[Index]) -> dict[str, Any]:
    answer = Run(parsed, _or_nothing(indices)).answer()
    if not indices:
        answer["_shards"] |= {"total": 0, "successful": 0}
    return answer


def count_documents(engine: Engine, request: Request) -> Answer:
    """``_count``."""
    body = known_keys("count", _body(request), {"query"})
    indices = engine.resolve(_target(request), request.params)
    found = count(_or_nothing(indices), query_of(request.params, body))
    shards = {"total": len(indices), "successful": len(indices), "skipped": 0, "failed": 0}
    return Answer(200, {"count": found, "_shards": shards})


def multi_search(engine: Engine, request: Request) -> Answer:
    """``_msearch``: searches one after the other; a missing index fails only its own, a mistake in a body all."""
    started = time.monotonic()
    if not request.body.endswith(b"\n"):
        raise bad("the msearch request must be terminated by a newline [\\n]")
    lines = request.body.split(b"\n")[:-1]
    if len(lines) % 2 and not lines[-1].strip():
        lines.pop()  # one blank line at the end is fine
    if len(lines) % 2 or not lines:
        raise bad("an msearch needs a line with a header and one with a body for each search")
    searches = []
    for header, body in zip(lines[::2], lines[1::2], strict=True):
        options = parse_object(header, "a header") if header.strip() else {}
        known_keys("msearch header", options, _MSEARCH_KEYS)
        searches.append((options, read_search(request.params, parse_object(body, "a search"))))
    responses = [_one_of_many(engine, request, *pair) for pair in searches]
    return Answer(200, {"took": round((time.monotonic() - started) * 1000), "responses": responses})


def _one_of_many(engine: Engine, request: Request, options: dict[str, Any], parsed: Search) -> dict[str, Any]:
    target = options.get("index") or request.parts.get("index")
    target = ",".join(map(str, target)) if isinstance(target, list) else target
    params = {key: str(value).lower() for key, value in options.items() if key != "index"}
    try:
        return {**_run(parsed, engine.resolve(target, params)), "status": 200}
    except EngineError as error:
        if error.kind == "parsing_exception":
            raise
        return error.body()
