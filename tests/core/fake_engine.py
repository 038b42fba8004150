"""A search engine in memory for the core's generator: it gives bytes, so that tests can compare bytes."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from proxy.core.context import Context
from proxy.core.facts import FactsMemory, TargetLookup
from proxy.core.messages import (
    Forwarded,
    Need,
    NeedLookup,
    NeedScores,
    NeedSearch,
    Outcome,
    Refused,
    Relayed,
    Reply,
    RerankGenerator,
    Result,
    Rewritten,
    Search,
    SearchCall,
    Trace,
    UpstreamAnswer,
)
from proxy.core.outcomes import OutcomeMemory
from proxy.core.params import Params
from proxy.core.takeover import rerank
from proxy.scorer.types import Document, ScoreResult
from proxy.settings import Rule

JSON_HEADERS = (("X-elastic-product", "Elasticsearch"), ("content-type", "application/json"))
FINISHED = 100.0
"""When the engine's answers end, on the test's clock."""


@dataclass(frozen=True)
class StoredHit:
    """A document at its place in the engine's order."""

    id: str
    score: bytes
    """As the engine writes it."""
    source: bytes = b'{"title":"x"}'
    fields: Mapping[str, list[Any]] = field(default_factory=dict)
    """What a search can ask for through ``fields``."""
    own: Mapping[str, bytes] = field(default_factory=dict)
    """Further members of the hit, whatever was asked for."""
    index: str = "products"

    def raw(self, asked: Sequence[str], pretty: bool) -> bytes:
        """Return the hit's bytes."""
        members = {
            "_index": json.dumps(self.index).encode(),
            "_id": json.dumps(self.id).encode(),
            "_score": self.score,
            "_source": self.source,
            **self.own,
        }
        given = {
            name: values
            for name, values in self.fields.items()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in asked)
        }
        if given:
            members["fields"] = json.dumps(given).encode()
        return write_object(members, pretty)


def write_object(members: Mapping[str, bytes], pretty: bool = False) -> bytes:
    colon, comma, opening, closing = (b" : ", b",\n  ", b"{\n  ", b"\n}") if pretty else (b":", b",", b"{", b"}")
    return opening + comma.join(json.dumps(key).encode() + colon + value for key, value in members.items()) + closing


class FakeEngine:
    """Answers searches with pages of one list of hits."""

    def __init__(self, hits: Sequence[StoredHit], pretty: bool = False, max_score: bytes | None = None) -> None:
        self.hits = hits
        self.pretty = pretty
        self.max_score = max_score or (hits[0].score if hits else b"null")
        self.calls: list[SearchCall] = []

    def search(self, call: SearchCall) -> UpstreamAnswer:
        """Answer a search as an engine does: the URL's values win over the body's, what it does not know is 400."""
        self.calls.append(call)
        url = call.params.as_dict()
        body = json.loads(call.body) if call.body.strip() else {}
        if "ext" in body and "rerank" in body["ext"]:
            return error(400)
        start = int(url.get("from", body.get("from", 0)))
        size = int(url.get("size", body.get("size", 10)))
        asked = [entry if isinstance(entry, str) else entry["field"] for entry in body.get("fields", [])]
        page = [hit.raw(asked, self.pretty) for hit in self.hits[start : start + size]]
        return ok(search_answer(page, len(self.hits), self.max_score, self.pretty))


def search_answer(hits: Sequence[bytes], total: int, max_score: bytes, pretty: bool = False) -> bytes:
    """Return an answer's bytes, its keys in the engines' order."""
    array = b"[" + b",".join(hits) + b"]"
    if pretty:
        array = b"[\n" + b",\n".join(hits) + b"\n]" if hits else b"[ ]"
    inner = {
        "total": write_object({"value": str(total).encode(), "relation": b'"eq"'}, pretty),
        "max_score": max_score,
        "hits": array,
    }
    members = {
        "took": b"7",
        "timed_out": b"false",
        "_shards": b'{"total":1,"successful":1,"skipped":0,"failed":0}',
        "hits": write_object(inner, pretty),
        "aggregations": b'{"a":{"value":1.50}}',
    }
    return write_object(members, pretty) + (b"\n" if pretty else b"")


def ok(body: bytes, headers: Sequence[tuple[str, str]] = JSON_HEADERS) -> UpstreamAnswer:
    return UpstreamAnswer(200, headers, body, started=FINISHED - 0.05, finished=FINISHED)


def error(status: int, headers: Sequence[tuple[str, str]] = JSON_HEADERS) -> UpstreamAnswer:
    body = json.dumps({"error": {"type": "x", "reason": "y"}, "status": status}).encode()
    return UpstreamAnswer(status, headers, body, started=FINISHED - 0.05, finished=FINISHED)


def scores_by_text(logits: Mapping[str, float | None]) -> Callable[[NeedScores], ScoreResult]:
    """Return a scorer that knows a logit for each document text; None: its time was up."""

    def score(need: NeedScores) -> ScoreResult:
        found = [logits[plain(document)] for document in need.documents]
        return ScoreResult(found, started=FINISHED, finished=FINISHED + 0.030)

    return score


def plain(document: Document) -> str:
    return "".join(segment.text for segment in document)


class UncheckedFacts(FactsMemory):
    """Knows of no target whether its fields exist: most tests are not about that."""

    def check(self, search: Search, names: Sequence[str], all_named: bool = True) -> TargetLookup:
        return None
        yield


def make_context(ttl_s: float = 30, add_took: bool = True, facts: type[FactsMemory] = UncheckedFacts) -> Context:
    """Memories on a clock that stands still."""
    return Context(OutcomeMemory(100, ttl_s, lambda: 0.0), facts(60, lambda: 0.0), add_took)


@dataclass
class Setup:
    """An engine, a scorer and a rule, and what a client gets of them."""

    engine: FakeEngine
    score: Callable[[NeedScores], ScoreResult]
    rule: Rule
    context: Context = field(default_factory=make_context)
    look_up: Callable[[NeedLookup], UpstreamAnswer] = lambda need: error(404)
    search: Callable[[NeedSearch], UpstreamAnswer] | None = None
    """Replaces the engine's answers to what the core asks for."""
    needs: list[Need] = field(default_factory=list)
    trace: Trace = field(default_factory=Trace)
    outcome: Outcome | None = None
    """Of the last search."""

    def reply(self, need: Need) -> Reply:
        self.needs.append(need)
        if isinstance(need, NeedSearch):
            return self.search(need) if self.search else self.engine.search(need.call)
        if isinstance(need, NeedLookup):
            return self.look_up(need)
        return self.score(need)

    def run(self, search: Search) -> Result:
        self.needs = []
        self.trace = Trace()
        result = drive(rerank(search, self.rule, self.context, self.trace), self.reply)
        self.outcome = result.outcome
        return result

    def answer(self, search: Search) -> bytes:
        """Return the body that the client gets, wherever it comes from."""
        result = self.run(search)
        if isinstance(result, Forwarded):
            return self.engine.search(result.call or own_call(search)).body
        return result.answer.body if isinstance(result, Relayed) else result.body


def drive(generator: RerankGenerator, reply: Callable[[Need], Reply]) -> Result:
    try:
        need = next(generator)
        while True:
            need = generator.send(reply(need))
    except StopIteration as stop:
        result: Result = stop.value
        assert isinstance(result, (Forwarded, Refused, Relayed, Rewritten))
        return result


def make_search(body: Any, query_string: str = "", target: str = "products", **more: Any) -> Search:
    """Return a search; ``body``: bytes as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Search(target, Params(query_string), raw, content_type="application/json", **more)


def own_call(search: Search) -> SearchCall:
    return SearchCall(search.params, search.body, search.content_type)


def raw_hits(body: bytes) -> list[dict[str, bytes]]:
    """Take an answer's hits apart; each value as its own bytes."""
    top = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    inner = msgspec.json.decode(top["hits"], type=dict[str, msgspec.Raw])
    hits = msgspec.json.decode(inner["hits"], type=list[dict[str, msgspec.Raw]])
    return [{key: bytes(value) for key, value in hit.items()} for hit in hits]
