"""The same requests to an engine and through the proxy: no difference but in what changes from call to call anyway."""

from __future__ import annotations

import gzip
import re

import pytest

from proxy.settings import Listen, Rule, Settings
from tests.e2e.requests import (
    Request,
    all_requests,
    search_errors,
    search_parameters,
    searches,
    setup,
    teardown,
)
from tests.engines import Engine
from tests.support import Answer, ProxyThread, ask

pytestmark = pytest.mark.engine

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_MEASURED = {"TASK_RESOURCE_USAGE"}
"""Holds the CPU time of the very call (OpenSearch)."""

_VOLATILE = [
    (re.compile(rb'("took(?:_in_millis)?"\s*:\s*)\d+'), rb"\1N"),
    (re.compile(rb'("(?:[a-z_]*time_in_(?:millis|nanos)|timestamp|start_time[a-z_]*)"\s*:\s*)"?[\d.:TZ-]+"?'), rb"\1N"),
    (re.compile(rb'("(?:uuid|creation_date|_scroll_id|pit_id|id|index_uuid)"\s*:\s*)"[^"]*"'), rb"\1N"),
    (re.compile(rb"(took: )\d+"), rb"\1N"),
    (re.compile(rb'("trace"|"stack_trace")\s*:\s*"(?:[^"\\]|\\.)*"'), rb"\1:N"),
    # Objects and threads of the engine's own process show up in some messages.
    (re.compile(rb"@[0-9a-f]{5,8}\b"), rb"@N"),
    (re.compile(rb"(index_uuid|uuid)(=|:)[\w-]+"), rb"\1\2N"),
    (re.compile(rb"(127\.0\.0\.1|\[::1\]):\d+"), rb"HOST"),
]


def normalised(answer: Answer) -> bytes:
    """Blank what differs between two calls of the engine itself; a compressed body is unpacked for that."""
    body = gzip.decompress(answer.body) if answer.header("Content-Encoding") == "gzip" else answer.body
    for pattern, replacement in _VOLATILE:
        body = pattern.sub(replacement, body)
    return body


def headers_of(answer: Answer) -> list[tuple[str, str]]:
    """The end-to-end fields in their order."""
    return [
        (name, "" if name in _MEASURED else value) for name, value in answer.headers if name.lower() not in _HOP_BY_HOP
    ]


def run(url: str, requests: list[Request]) -> list[Answer]:
    """Send all of them in order."""
    return [ask(url, one.method, one.path, one.body, one.headers) for one in requests]


def test_no_difference_without_rules(engine: Engine) -> None:
    requests = all_requests()
    assert len({str(one) for one in requests}) >= 200
    with ProxyThread(Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=())) as proxy:
        direct = run(engine.url, requests)
        again = run(engine.url, requests)
        through = run(proxy.url, requests)
    # The engine is compared with itself too: what it answers differently the second time proves nothing.
    unstable = {
        position
        for position, (first, second) in enumerate(zip(direct, again, strict=True))
        if normalised(first) != normalised(second) or first.status != second.status
    }
    assert len(unstable) <= len(requests) // 20, [str(requests[position]) for position in unstable]
    differences = []
    for position, (one, ours, theirs) in enumerate(zip(requests, through, direct, strict=True)):
        if position in unstable:
            continue
        for what, left, right in (
            ("status", (ours.status, ours.reason), (theirs.status, theirs.reason)),
            ("headers", headers_of(ours), headers_of(theirs)),
            ("body", normalised(ours), normalised(theirs)),
        ):
            if left != right:
                differences.append(f"{one}\n  {what} through the proxy: {left!r}\n  {what} directly: {right!r}")
    assert not differences, "\n".join(differences[:10])
    assert sum(answer.status < 400 for answer in direct) >= 120
    assert sum(answer.status >= 400 for answer in direct) >= 40


def test_identity_changes_no_byte(engine: Engine) -> None:
    """With the model that keeps the engine's order, searches are widened and cut, and still nothing differs."""
    before, after = list(setup()), list(teardown())
    requests = [*searches(), *search_parameters(), *search_errors()]
    settings = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(Rule(model="identity"),))
    with ProxyThread(settings) as proxy:
        run(engine.url, before)
        direct = run(engine.url, requests)
        again = run(engine.url, requests)
        through = run(proxy.url, requests)
        run(engine.url, after)
    differences = []
    full = 0
    for one, ours, theirs, second in zip(requests, through, direct, again, strict=True):
        full += ours.header("X-Rerank-Status") == "full"
        if normalised(theirs) != normalised(second):
            continue
        if (ours.status, normalised(ours)) != (theirs.status, normalised(theirs)):
            differences.append(f"{one}\n  {ours.header('X-Rerank-Status')}: {ours.body!r}\n  directly: {theirs.body!r}")
    assert not differences, "\n".join(differences[:10])
    assert full >= 50  # most of them really went through the whole of it
