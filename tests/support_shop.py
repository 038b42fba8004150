"""A small index whose order the dummy model changes, and proxies in front of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.support import Answer, ProxyThread, ask

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
WORDS = ["red", "blue", "warm", "light", "long", "small"]
COUNT = 60


def send(url: str, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> Answer:
    """Send a JSON request."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(url, method, path, None if body is None else json.dumps(body).encode(), {**JSON, **sent})


def blanked(body: bytes) -> bytes:
    """Return an answer less the time it took."""
    return re.sub(rb'("took"\s*:\s*)\d+', rb"\1N", body)


def ids(answer: Answer) -> list[str]:
    """Return the hits' ids in their order."""
    assert answer.status == 200, answer.body[:300]
    return [hit["_id"] for hit in json.loads(answer.body)["hits"]["hits"]]


def title(number: int) -> str:
    """Return a document's title: its number's bits as words, and the kind."""
    return " ".join([*(word for bit, word in enumerate(WORDS) if number >> bit & 1), "shoe"])


@contextmanager
def shop(url: str, name: str, settings: dict[str, Any] | None = None, **fields: Any) -> Iterator[str]:
    """Make an index of `COUNT` shoes; delete it at the end. ``fields``: of every document."""
    body = {"settings": {"number_of_shards": 1, "number_of_replicas": 0, **(settings or {})}}
    made = send(url, "PUT", f"/{name}", body)
    assert made.status == 200, made.body
    lines = []
    for number in range(COUNT):
        lines += [{"index": {"_id": str(number)}}, {"title": title(number), "n": number, **fields}]
    encoded = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    assert json.loads(ask(url, "POST", f"/{name}/_bulk?refresh=true", encoded, NDJSON).body)["errors"] is False
    try:
        yield name
    finally:
        ask(url, "DELETE", f"/{name}")


def proxy_for(url: str, *rules: Rule, **settings: Any) -> ProxyThread:
    """Return a proxy with the dummy model, to be entered."""

    def scorer() -> ThreadScorer:
        return ThreadScorer({"base": DummyModel}, MemoryScoreCache(1000), 2)

    return ProxyThread(Settings(upstream=(url,), listen=Listen("127.0.0.1", 0), rules=rules, **settings), scorer)
