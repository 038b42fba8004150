"""Two searches for one: which can be had so, what is sent, and what becomes of failures."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.messages import NeedSearch, Status, UpstreamAnswer, UpstreamFailure
from proxy.core.two_phase import can_split
from tests.core.fake_engine import Setup, error, ok, search_answer
from tests.core.one_search import RULE, ask, ids, make, scores

RESCORE: dict[str, Any] = {"query": {"rescore_query": {"match": {"title": {"query": "red"}}}}}
NAMED: dict[str, Any] = {"query": {"rescore_query": {"match": {"title": {"query": "red", "_name": "again"}}}}}


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ({}, {}),
        ({}, {"rescore": RESCORE}),
        ({}, {"rescore": [RESCORE, RESCORE]}),
        ({}, {"query": NAMED["query"]["rescore_query"]}),
        ({"explain": "true"}, {}),
        ({"explain": "false"}, {"rescore": RESCORE}),
    ],
)
def test_a_page_alone_has_all_that_is_told_of_its_hits(url: dict[str, str], body: dict[str, Any]) -> None:
    assert can_split(url, body)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ({}, {"rescore": NAMED}),
        ({}, {"rescore": [RESCORE, NAMED]}),
        ({}, {"rescore": RESCORE, "explain": True}),
        ({"explain": ""}, {"rescore": RESCORE}),
    ],
)
def test_what_a_rescorer_says_of_a_hit_needs_the_rescorer(url: dict[str, str], body: dict[str, Any]) -> None:
    assert not can_split(url, body)


def in_two(**rule: Any) -> Setup:
    return make(rule=replace(RULE, two_phase_bytes=0, **rule))


def searches(setup: Setup) -> list[dict[str, Any]]:
    return [json.loads(need.call.body) for need in setup.needs if isinstance(need, NeedSearch)]


def test_the_window_comes_bare_and_the_page_as_it_is_asked_for() -> None:
    setup = in_two()
    more = {"highlight": {}, "aggs": {"n": {}}, "post_filter": {"term": {"n": 1}}, "size": 2}
    answer = ask(setup, more)
    window, page = searches(setup)
    assert {key: window[key] for key in ("_source", "fields", "size", "aggs", "post_filter")} == {
        "_source": False,
        "fields": ["title"],
        "size": 4,
        "aggs": {"n": {}},
        "post_filter": {"term": {"n": 1}},
    }
    assert "highlight" not in window
    assert page["highlight"] == {}
    assert "aggs" not in page
    assert page["post_filter"]["bool"]["filter"][0] == {"term": {"n": 1}}
    assert ids(answer.body) == "db"
    assert b'"n":1.10' in answer.body


def fails_at(setup: Setup, number: int, reply: UpstreamAnswer) -> None:
    """Let the search of this number (from 1) be answered so."""
    seen = []

    def search(need: NeedSearch) -> UpstreamAnswer:
        seen.append(need)
        return reply if len(seen) == number else setup.engine.search(need.call)

    setup.search = search


GONE = UpstreamAnswer(0, failure=UpstreamFailure.UNREACHABLE)


OURS = [error(400), error(500), ok(b"no JSON")]
THEIRS = [error(503), GONE, ok(search_answer([], 0, b"null"))]
"""As the answer for a window these are passed on: no second search would help."""


@pytest.mark.parametrize(("number", "reply"), [*((1, one) for one in OURS), *((2, one) for one in OURS + THEIRS)])
def test_what_fails_in_two_is_had_in_one_and_from_then_on_always(number: int, reply: UpstreamAnswer) -> None:
    setup = in_two()
    fails_at(setup, number, reply)
    answer = ask(setup, {"size": 2})
    assert ids(answer.body) == "db"
    assert answer.outcome.status is Status.FULL
    assert len(searches(setup)) == number + 1
    setup.search = None
    assert ids(ask(setup, {"size": 2}).body) == "db"
    assert len(searches(setup)) == 1


def test_scores_stay_those_of_the_window() -> None:
    """A rescorer is not asked again for the page: what it made of the scores would be lost."""
    setup = in_two(scores="keep")
    bodies = []

    def search(need: NeedSearch) -> UpstreamAnswer:
        bodies.append(json.loads(need.call.body))
        answer = setup.engine.search(need.call)
        return ok(answer.body.replace(b'"_score":5.0', b'"_score":0.5')) if len(bodies) == 2 else answer

    setup.search = search
    answer = ask(setup, {"size": 2, "rescore": RESCORE | {"window_size": 9}})
    assert "rescore" in bodies[0]
    assert "rescore" not in bodies[1]
    assert ids(answer.body) == "db"
    assert scores(answer.body) == [3.0, 5.0]
