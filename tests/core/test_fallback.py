"""What the client gets where the engine, the network or the model fails, and what the other pages make of it."""

from __future__ import annotations

import json

import pytest

from proxy.core.messages import (
    Forwarded,
    NeedSearch,
    Outcome,
    Reason,
    Relayed,
    Rewritten,
    Status,
    UpstreamAnswer,
    UpstreamFailure,
)
from proxy.scorer.types import ScoreResult
from tests.core.fake_engine import (
    JSON_HEADERS,
    error,
    make_search,
    ok,
    raw_hits,
    scores_by_text,
    search_answer,
)
from tests.core.one_search import LOGITS, QUERY, SIX, ask, ids, make, scores

# --- fallback ---------------------------------------------------------------------------------------------------


def shard_failure() -> UpstreamAnswer:
    good = search_answer([SIX[0].raw([], False)], 1, b"6.0")
    return ok(good.replace(b'"failed":0', b'"failed":1'))


def failed(failure: UpstreamFailure) -> UpstreamAnswer:
    return UpstreamAnswer(200, JSON_HEADERS, failure=failure)


FALLBACKS = [
    (error(400), Reason.UPSTREAM_ERROR),
    (error(413), Reason.UPSTREAM_ERROR),
    (error(500), Reason.UPSTREAM_ERROR),
    (error(201), Reason.UPSTREAM_ERROR),
    (shard_failure(), Reason.SHARD_FAILURES),
    (ok(b"<html>"), Reason.UNPARSABLE),
    (ok(b"{}"), Reason.UNPARSABLE),
    (ok(b'{"hits":{"hits":[{"_source":"\\ud800"}]}}'), Reason.UNPARSABLE),
    (ok(b'{"hits":{"hits":[{"_score":"high"}]}}'), Reason.UNPARSABLE),
    (ok(b'{"hits":{"hits":[{"_score":1.0,"fields":{"title":[%s]}}]}}' % (b"1" * 5000)), Reason.UNPARSABLE),
    (ok(b'{"_shards":"\\ud800","hits":{"hits":[]}}'), Reason.UNPARSABLE),
    (ok(b"---", [("content-type", "application/yaml")]), Reason.UNPARSABLE),
    (ok(b"{}", []), Reason.UNPARSABLE),
    (failed(UpstreamFailure.TOO_LARGE), Reason.ANSWER_TOO_LARGE),
    (failed(UpstreamFailure.BUSY), Reason.BUSY),
    (failed(UpstreamFailure.GARBLED), Reason.UNPARSABLE),
]


@pytest.mark.parametrize(("answer", "reason"), FALLBACKS)
def test_the_clients_own_request_is_sent_once(answer: UpstreamAnswer, reason: Reason) -> None:
    setup = make(search=lambda need: answer)
    outcome = Outcome(Status.FALLBACK, reason)
    assert setup.run(make_search({"query": QUERY})) == Forwarded(outcome, None)
    assert [type(need) for need in setup.needs] == [NeedSearch]
    # the other pages do not try, the page itself does
    assert setup.run(make_search({"query": QUERY, "from": 2})) == Forwarded(outcome, None)
    assert setup.needs == []
    setup.search = None
    assert setup.run(make_search({"query": QUERY})).outcome == Outcome(Status.FULL)
    # and when it goes well, so does the rest
    assert setup.run(make_search({"query": QUERY, "from": 2})).outcome == Outcome(Status.FULL)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 502, 503, 504])
def test_errors_that_are_not_ours_are_passed_on(status: int) -> None:
    setup = make(search=lambda need: error(status))
    result = setup.run(make_search({"query": QUERY}))
    assert result == Relayed(error(status), Outcome(Status.FALLBACK, Reason.UPSTREAM_ERROR))
    setup.search = None
    assert setup.run(make_search({"query": QUERY, "from": 2})).outcome == Outcome(Status.FULL)


def test_a_window_that_the_engine_has_no_room_for_brings_the_clients_own_request() -> None:
    too_much = UpstreamAnswer(429, JSON_HEADERS, b'{"error":{"type":"circuit_breaking_exception"},"status":429}')
    setup = make(search=lambda need: too_much)
    outcome = Outcome(Status.FALLBACK, Reason.UPSTREAM_ERROR)
    assert setup.run(make_search({"query": QUERY})) == Forwarded(outcome, None)
    # behind the window the request is the client's own: what the engine says to it is its word
    past = setup.run(make_search({"query": QUERY, "from": 4}))
    assert past == Relayed(too_much, Outcome(Status.SKIPPED, Reason.PAST_WINDOW))


def test_an_engine_that_cannot_be_reached() -> None:
    answer = UpstreamAnswer(0, failure=UpstreamFailure.UNREACHABLE, detail="refused")
    result = make(search=lambda need: answer).run(make_search({"query": QUERY}))
    assert result == Relayed(answer, Outcome(Status.FALLBACK, Reason.UPSTREAM_ERROR))


EXT = {"ext": {"rerank": {"query_context": {"query_text": "boots"}}}}


def test_elasticsearch_never_sees_what_is_meant_for_us() -> None:
    setup = make(search=lambda need: error(400))
    result = setup.run(make_search({"query": QUERY, **EXT}))
    assert isinstance(result, Forwarded)
    assert result.call is not None
    assert json.loads(result.call.body) == {"query": QUERY}
    again = setup.run(make_search({"query": QUERY, **EXT, "from": 2}))
    assert isinstance(again, Forwarded)
    assert again.call is not None
    assert json.loads(again.call.body) == {"query": QUERY, "from": 2}


def test_opensearch_gets_the_clients_own_bytes_since_a_default_pipeline_may_need_them() -> None:
    setup = make(search=lambda need: error(400, [("content-type", "application/json")]))
    outcome = Outcome(Status.FALLBACK, Reason.UPSTREAM_ERROR)
    assert setup.run(make_search({"query": QUERY, **EXT})) == Forwarded(outcome, None)
    assert setup.run(make_search({"query": QUERY, **EXT, "from": 2})) == Forwarded(outcome, None)


def test_a_failing_model() -> None:
    setup = make()
    setup.score = lambda need: ScoreResult([1.0, None, None, None], error="it gave nan")
    result = ask(setup, {"size": 3, "fields": ["color"]})
    assert result.outcome == Outcome(Status.FALLBACK, Reason.MODEL)
    assert setup.trace.warnings == [("model base", "it gave nan")]
    assert ids(result.body) == "abc"
    assert scores(result.body) == [6, 5, 4]
    assert json.loads(result.body)["hits"]["max_score"] == 6
    assert [json.loads(hit["fields"]) for hit in raw_hits(result.body)] == [{"color": ["red"]}] * 3
    # the other pages keep the engine's order too
    setup.score = scores_by_text(LOGITS)
    second = ask(setup, {"size": 3, "from": 3, "fields": ["color"]})
    assert (ids(second.body), second.outcome) == ("def", result.outcome)
    assert ask(setup, {"size": 3, "fields": ["color"]}).outcome == Outcome(Status.FULL)
    assert ask(setup, {"size": 3, "from": 3, "fields": ["color"]}).outcome == Outcome(Status.FULL)


def test_a_later_failure_of_the_engine_does_not_outlive_the_next_success() -> None:
    setup = make(logits={"c": None, "d": None})
    ask(setup, {"size": 2})
    setup.search = lambda need: error(500)
    assert setup.run(make_search({"query": QUERY, "size": 2, "from": 2})).outcome.status is Status.FALLBACK
    setup.search = None
    # the page that failed tries again and finds the order that the first page has shown
    assert ids(ask(setup, {"size": 2, "from": 2}).body) == "cd"
    assert ask(setup, {"size": 2, "from": 1}).outcome.status is Status.PARTIAL


# --- past the window: the engine's own words --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "relayed"),
    [
        (error(400), True),
        (error(503), True),
        (ok(b"<html>"), True),
        (UpstreamAnswer(0, failure=UpstreamFailure.UNREACHABLE), True),
        (failed(UpstreamFailure.TOO_LARGE), False),
        (failed(UpstreamFailure.GARBLED), False),
    ],
)
def test_past_the_window_nothing_is_asked_twice(answer: UpstreamAnswer, relayed: bool) -> None:
    outcome = Outcome(Status.SKIPPED, Reason.PAST_WINDOW)
    result = make(search=lambda need: answer).run(make_search({"query": QUERY, "from": 4}))
    assert result == (Relayed(answer, outcome) if relayed else Forwarded(outcome, None))


def test_failed_shards_past_the_window_are_the_engines_word() -> None:
    result = make(search=lambda need: shard_failure()).run(make_search({"query": QUERY, "from": 4}))
    assert isinstance(result, Rewritten)
    assert scores(result.body) == pytest.approx([6 / 7])


def test_past_the_window_what_is_meant_for_us_is_taken_out() -> None:
    setup = make()
    ask(setup, {**EXT, "from": 4})
    assert json.loads(setup.engine.calls[0].body) == {"query": QUERY, "from": 4}
