"""The paging law: whatever the hits, the scores and the pages, a walk over all pages shows each hit once, unchanged."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.messages import NeedScores, Outcome, Reason, Status
from proxy.core.ranking import HIGHEST, sigmoid
from proxy.scorer.types import ScoreResult
from proxy.settings import Rule, parse_template
from tests.core.fake_engine import FINISHED, FakeEngine, Setup, StoredHit, make_search, own_call, plain, raw_hits

MAX_WINDOW = 8
SOURCES = [
    b"{}",
    b'{"price":1.10,"big":1e400,"long":123456789012345678901234567890}',
    b'{ "a" : [ 1 , {"_score":9.0,"hits":{"hits":[]}} ],\n "s":"\\u00e9\\/ \\"}{" }',
    '{"emoji":"\U0001f600 caf\u00e9"}'.encode(),
    b'{"nested":[[[]],[{}]],"n":null,"f":-0.0,"_id":"1"}',
]
OWN = [
    {},
    {"sort": b'[1.10,"x"]'},
    {"highlight": b'{"title":["<em>a</em>"]}', "matched_queries": b'["a"]'},
    {"_routing": b'"r"', "_version": b"3"},
]
LOGITS = st.sampled_from([-4.0, 0.0, 0.25, 3.0, 80.0, 90.0]) | st.floats(-1e6, 1e6)
ENGINE_SCORES = st.sampled_from([0.0, 0.5, 1.0, 12.25, 6.17e-9]) | st.floats(0, width=32, allow_infinity=False)


@dataclass(frozen=True)
class World:
    """An index, what the model thinks of it, and when."""

    hits: list[StoredHit]
    logits: dict[str, float]
    """By text."""
    scored_from: dict[str, int]
    """By text: the call to the scorer by which it has been scored. Scores stay known (they are cached)."""
    rule: Rule
    pretty: bool
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self.hits)


def as_java(score: float) -> bytes:
    """Write a score as an engine does: the shortest text of the 32-bit value, such as ``6.17E-9``."""
    text = str(np.float32(score))
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}E{int(power)}".encode() if exponent else text.encode()


@st.composite
def worlds(draw: st.DrawFn, partial: bool = False, texts: bool = False, mode: str | None = None) -> World:
    count = draw(st.integers(0, 20))
    scores = sorted(draw(st.lists(ENGINE_SCORES, min_size=count, max_size=count)), reverse=True)
    hits = []
    for place, score in enumerate(scores):
        fields: dict[str, list[Any]] = {"color": ["red"]} if draw(st.booleans()) else {}
        if texts or draw(st.integers(0, 3)):
            fields["title"] = [f"text {place}"]
        hits.append(
            StoredHit(
                # ids repeat over indices
                id=str(place // 2),
                index=f"i{place % 2}",
                score=as_java(score),
                source=draw(st.sampled_from(SOURCES)),
                fields=fields,
                own=draw(st.sampled_from(OWN)),
            )
        )
    names = [f"text {place}" for place in range(count)]
    calls = st.integers(0, 3) if partial else st.just(0)
    return World(
        hits,
        {name: draw(LOGITS) for name in names},
        {name: draw(calls) for name in names},
        Rule(
            text=parse_template("{title}"),
            window=draw(st.integers(1, MAX_WINDOW)),
            blend=0.0,
            scores=mode or draw(st.sampled_from(["replace", "keep"])),  # type: ignore[arg-type]
        ),
        draw(st.booleans()),
        draw(st.sampled_from([{}, {"fields": ["color"]}, {"fields": ["title"]}, {"fields": []}])),
    )


@st.composite
def pages(draw: st.DrawFn, count: int) -> list[tuple[int, int]]:
    """Cut all hits, and a little more, into pages (from, size), in the order in which they are asked for."""
    cut: list[tuple[int, int]] = []
    start = 0
    while start < count + 2:
        size = draw(st.integers(1, 12))
        cut.append((start, size))
        start += size
    return draw(st.permutations(cut)) if draw(st.booleans()) else cut


class Model:
    """Scores what is due by the number of calls; fails at the calls that it is told to."""

    def __init__(self, world: World, failing: frozenset[int] = frozenset()) -> None:
        self.world = world
        self.failing = failing
        self.calls = 0

    def __call__(self, need: NeedScores) -> ScoreResult:
        call, self.calls = self.calls, self.calls + 1
        texts = [plain(document) for document in need.documents]
        assert all(text.startswith("text ") for text in texts)
        if call in self.failing:
            return ScoreResult([None] * len(texts), error="out of order")
        logits = [self.world.logits[text] if self.world.scored_from[text] <= call else None for text in texts]
        return ScoreResult(logits, started=FINISHED, finished=FINISHED)


@dataclass
class Walk:
    """What a client has seen, in the order of the pages' places."""

    hits: list[dict[str, bytes]]
    max_scores: dict[int, Any]
    """By the page's ``from``, in the order in which they were asked for."""
    outcomes: dict[int, Outcome]


def walk(world: World, cut: list[tuple[int, int]], model: Model) -> Walk:
    setup = Setup(FakeEngine(world.hits, world.pretty), model, world.rule)
    seen: dict[int, list[dict[str, bytes]]] = {}
    max_scores, outcomes = {}, {}
    for start, size in cut:
        body = {"query": {"match": {"title": "x"}}, **world.body, "from": start, "size": size}
        answer = setup.answer(make_search(body))
        seen[start] = raw_hits(answer)
        assert len(seen[start]) == max(0, min(size, world.count - start))
        whole = json.loads(answer)
        max_scores[start] = whole["hits"]["max_score"]
        assert whole["aggregations"] == {"a": {"value": 1.5}}
        assert answer.endswith(b"\n") is world.pretty
        assert setup.outcome is not None
        outcomes[start] = setup.outcome
    return Walk([hit for start in sorted(seen) for hit in seen[start]], max_scores, outcomes)


def place_of(hit: dict[str, bytes]) -> int:
    return 2 * int(json.loads(hit["_id"])) + int(json.loads(hit["_index"])[1:])


def check_each_hit_once_unchanged(world: World, found: Walk) -> None:
    """Every hit is there once, and all its members are byte for byte the engine's; in order too."""
    asked = world.body.get("fields", [])
    assert sorted(place_of(hit) for hit in found.hits) == list(range(world.count))
    for hit in found.hits:
        stored = world.hits[place_of(hit)]
        raw = stored.raw(asked, world.pretty)
        wanted = raw_hits(b'{"hits":{"hits":[' + raw + b"]}}")[0]
        assert list(hit) == list(wanted)
        same = hit.keys() if world.rule.scores == "keep" else hit.keys() - {"_score"}
        assert {key: hit[key] for key in same} == {key: wanted[key] for key in same}


def check_scores_never_rise(world: World, found: Walk) -> None:
    """Over all pages; and none is negative, or 0 where the engine's is not."""
    scores = [float(hit["_score"]) for hit in found.hits]
    assert all(before >= after for before, after in pairwise(scores)), scores
    for hit, score in zip(found.hits, scores, strict=True):
        assert score > 0 or float(world.hits[place_of(hit)].score) == score == 0


def check_max_scores_agree(world: World, found: Walk) -> None:
    """Every page has the window's, but one that came before any of the window: no score is above what that has."""
    highest = max((float(hit["_score"]) for hit in found.hits), default=0.0)
    asked = list(found.max_scores)
    first = next(number for number, start in enumerate(asked) if start < world.rule.window)
    unknown = [found.max_scores[start] for start in asked[:first]]
    known = {found.max_scores[start] for start in asked[first:]}
    if not world.hits:
        assert {*unknown, *known} == {None}
        return
    assert unknown == [HIGHEST] * first
    assert len(known) == 1
    assert known.pop() >= highest


def check_tail_in_engine_order(world: World, found: Walk) -> None:
    tail = [place_of(hit) for hit in found.hits[world.rule.window :]]
    assert tail == list(range(world.rule.window, world.count))


@given(st.data())
def test_a_whole_walk_that_is_fully_scored(data: st.DataObject) -> None:
    world = data.draw(worlds(texts=True))
    cut = data.draw(pages(world.count))
    found = walk(world, cut, Model(world))
    check_each_hit_once_unchanged(world, found)
    check_tail_in_engine_order(world, found)
    window = [place_of(hit) for hit in found.hits[: world.rule.window]]
    # by logit, not by the rounded score; ties in the engine's order
    assert window == sorted(window, key=lambda place: (-world.logits[f"text {place}"], place))
    inside = {start for start, _ in cut if start < world.rule.window}
    assert all(found.outcomes[start] == Outcome(Status.FULL) for start in inside)
    assert all(found.outcomes[start].reason is Reason.PAST_WINDOW for start, _ in cut if start not in inside)
    if world.rule.scores == "replace" and world.count:
        check_scores_never_rise(world, found)
        check_max_scores_agree(world, found)
        highest = 1 + sigmoid(world.logits[f"text {window[0]}"])
        assert all(abs(found.max_scores[start] - highest) < 1e-6 for start in inside)


@given(st.data())
def test_a_whole_walk_in_which_time_runs_out(data: st.DataObject) -> None:
    world = data.draw(worlds(partial=True))
    cut = data.draw(pages(world.count))
    model = Model(world)
    found = walk(world, cut, model)
    check_each_hit_once_unchanged(world, found)
    check_tail_in_engine_order(world, found)
    if world.rule.scores == "replace":
        check_scores_never_rise(world, found)
        check_max_scores_agree(world, found)
    window = [place_of(hit) for hit in found.hits[: world.rule.window]]
    texts = [place for place in window if "title" in world.hits[place].fields]
    if 2 * len(texts) < len(window):
        assert window == sorted(window)
        return
    # the first page inside decided; what it had scored comes first, by logit, the rest in the engine's order
    scored = [place for place in texts if world.scored_from[f"text {place}"] == 0]
    unscored = [place for place in texts if world.scored_from[f"text {place}"] > 0]
    assert texts == scored + unscored
    assert scored == sorted(scored, key=lambda place: (-world.logits[f"text {place}"], place))
    assert unscored == sorted(unscored)


@given(st.data())
def test_a_whole_walk_that_begins_with_a_failing_model(data: st.DataObject) -> None:
    world = data.draw(worlds(texts=True, mode="replace"))
    cut = data.draw(pages(world.count))
    found = walk(world, cut, Model(world, failing=frozenset({0})))
    check_each_hit_once_unchanged(world, found)
    check_scores_never_rise(world, found)
    check_max_scores_agree(world, found)
    assert [place_of(hit) for hit in found.hits] == list(range(world.count))


@given(st.data(), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from(["min_max", "z_score", "rrf"]))
@pytest.mark.parametrize("textless", ["stay", "below"])
def test_a_whole_walk_by_any_rule(textless: str, data: st.DataObject, blend: float, blend_by: str) -> None:
    world = data.draw(worlds(partial=True, mode="replace"))
    rule = replace(world.rule, textless_hits=textless, blend=blend, blend_by=blend_by)  # type: ignore[arg-type]
    found = walk(replace(world, rule=rule), data.draw(pages(world.count)), Model(world))
    check_each_hit_once_unchanged(world, found)
    check_tail_in_engine_order(world, found)
    check_scores_never_rise(world, found)
    check_max_scores_agree(world, found)
    window = [place_of(hit) for hit in found.hits[: rule.window]]
    textless_ones = [place for place in window if "title" not in world.hits[place].fields]
    assert textless_ones == sorted(textless_ones)
    scored = [place for place in window if place not in textless_ones and world.scored_from.get(f"text {place}") == 0]
    if textless == "below" and scored and 2 * len(textless_ones) <= len(window):
        assert set(window[: len(scored)]) == set(scored)
    if textless == "stay" and len(scored) + len(textless_ones) == len(window):
        assert all(window[place] == place for place in textless_ones)


@given(st.data())
def test_identity_gives_the_engines_own_bytes(data: st.DataObject) -> None:
    world = data.draw(worlds())
    setup = Setup(FakeEngine(world.hits, world.pretty), Model(world), replace(world.rule, model="identity", text=None))
    for start, size in data.draw(pages(world.count)):
        search = make_search({"query": {"match": {"title": "x"}}, **world.body, "from": start, "size": size})
        assert setup.answer(search) == setup.engine.search(own_call(search)).body
