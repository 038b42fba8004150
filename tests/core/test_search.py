"""One search through the core's generator, with an engine and a scorer that do as the test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.context import IDENTITY
from proxy.core.messages import (
    Forwarded,
    NeedLookup,
    NeedScores,
    NeedSearch,
    Outcome,
    Reason,
    Rewritten,
    SearchCall,
    Status,
    UpstreamAnswer,
)
from proxy.core.params import Params
from proxy.core.ranking import HIGHEST, sigmoid
from proxy.core.search import WindowTrace
from tests.core.fake_engine import (
    FINISHED,
    StoredHit,
    error,
    make_context,
    make_search,
    ok,
    plain,
    raw_hits,
    scores_by_text,
    search_answer,
)
from tests.core.one_search import LOGITS, NAMES, QUERY, RULE, SIX, ask, ids, make, scores, stored
from tests.core.test_mapping import caps, mapping

# --- full -------------------------------------------------------------------------------------------------------


def test_full() -> None:
    setup = make()
    result = ask(setup)
    assert result.outcome == Outcome(Status.FULL)
    assert [type(need) for need in setup.needs] == [NeedSearch, NeedScores]
    assert setup.needs[0] == NeedSearch(
        SearchCall(
            Params(""), b'{"query": {"match": {"title": "red shoes"}},"size":10,"fields":["title"]}', "application/json"
        )
    )
    # the window of four in its new order, ties as they were, then the tail
    assert ids(result.body) == "dbcaef"
    assert scores(result.body) == pytest.approx(
        [1 + sigmoid(5), 1 + sigmoid(2), 1 + sigmoid(2), 1 + sigmoid(-1), 2 / 3, 0.5]
    )
    whole = json.loads(result.body)
    assert whole["hits"]["max_score"] == pytest.approx(1 + sigmoid(5))
    assert whole["took"] == 7 + 30
    assert whole["aggregations"] == {"a": {"value": 1.5}}
    assert b'"a":{"value":1.50}' in result.body
    assert all("fields" not in hit for hit in raw_hits(result.body))


def test_what_is_asked_of_the_scorer() -> None:
    setup = make(rule=replace(RULE, document_tokens=77, model="other", budget_ms=250))
    ask(setup)
    need = setup.needs[1]
    assert isinstance(need, NeedScores)
    assert (need.model, need.query, need.document_tokens) == ("other", "red shoes", 77)
    assert [plain(document) for document in need.documents] == list("abcd")
    # the budget runs from the end of the engine's answer
    assert need.deadline == FINISHED + 0.250


@pytest.mark.parametrize(
    ("body", "query_string", "page", "asked"),
    [
        ({}, "", "dbcaef", 10),
        ({"size": 2}, "", "db", 4),
        ({"from": 2, "size": 2}, "", "ca", 4),
        ({"from": 3, "size": 2}, "", "ae", 5),
        ({"from": 3, "size": 9}, "", "aef", 12),
        ({}, "from=1&size=1", "b", 4),
        ({"from": 0, "size": 5}, "from=3", "aef", 8),
    ],
)
def test_pages_in_and_across_the_window(body: dict[str, Any], query_string: str, page: str, asked: int) -> None:
    setup = make()
    result = ask(setup, body, query_string)
    assert ids(result.body) == page
    assert json.loads(setup.engine.calls[0].body)["size"] == asked
    assert json.loads(result.body)["hits"]["max_score"] == pytest.approx(1 + sigmoid(5))


def test_past_the_window() -> None:
    setup = make()
    result = ask(setup, {"from": 4, "size": 2})
    assert result.outcome == Outcome(Status.SKIPPED, Reason.PAST_WINDOW)
    assert len(setup.needs) == 1
    assert json.loads(setup.engine.calls[0].body) == {"query": QUERY, "from": 4, "size": 2}
    assert ids(result.body) == "ef"
    assert scores(result.body) == pytest.approx([2 / 3, 0.5])


def max_score(result: Rewritten) -> Any:
    return json.loads(result.body)["hits"]["max_score"]


@pytest.mark.parametrize("start", [4, 5, 40])
def test_behind_the_window_max_score_is_the_one_that_the_window_was_shown_with(start: int) -> None:
    setup, behind = make(), {"from": start, "size": 2}
    assert max_score(ask(setup, behind)) == HIGHEST  # nothing is known yet, and nothing is asked for to know it
    assert max_score(ask(setup, {"size": 1})) == max_score(ask(setup, behind)) == pytest.approx(1 + sigmoid(5))
    assert max_score(ask(setup, {**behind, "query": {"match": {"title": "blue"}}})) == HIGHEST
    assert len(setup.needs) == 1
    # another order of the engine's is another window
    setup.engine.max_score = b"6.5"
    assert max_score(ask(setup, behind)) == HIGHEST
    setup.engine.max_score = b"null"
    assert max_score(ask(setup, behind)) is None


def test_behind_a_window_that_keeps_the_engines_order_max_score_is_the_engines() -> None:
    setup = make()
    setup.search = lambda need: error(500)
    assert setup.run(make_search({"query": QUERY, "size": 2})).outcome.status is Status.FALLBACK
    setup.search = None
    assert max_score(ask(setup, {"from": 4})) == 6.0
    ask(setup, {"size": 2})
    assert max_score(ask(setup, {"from": 4})) == pytest.approx(1 + sigmoid(5))


def test_past_the_last_hit() -> None:
    result = ask(make(), {"from": 40, "size": 2})
    assert result.outcome.reason is Reason.PAST_WINDOW
    assert raw_hits(result.body) == []


def test_no_hits() -> None:
    setup = make([])
    result = ask(setup)
    assert result.outcome == Outcome(Status.FULL)
    assert len(setup.needs) == 1
    assert result.body == search_answer([], 0, b"null")


def test_max_score_null_stays_null_and_sort_values_too() -> None:
    hits = [replace(hit, own={"sort": b'[6.0,"x"]'}) for hit in SIX]
    setup = make(hits)
    setup.engine.max_score = b"null"
    result = ask(setup, {"sort": ["_score", "name"]})
    assert json.loads(result.body)["hits"]["max_score"] is None
    assert all(hit["sort"] == b'[6.0,"x"]' for hit in raw_hits(result.body))


def test_took_is_left_alone_where_it_is_so_set() -> None:
    setup = make(context=make_context(add_took=False))
    assert json.loads(ask(setup).body)["took"] == 7


def test_scores_keep() -> None:
    setup = make(rule=replace(RULE, scores="keep"))
    result = ask(setup)
    assert ids(result.body) == "dbcaef"
    wanted = {hit.id: raw_hits(search_answer([hit.raw([], False)], 1, b"0"))[0] for hit in SIX}
    assert raw_hits(result.body) == [wanted[name] for name in "dbcaef"]
    assert json.loads(result.body)["hits"]["max_score"] == 6.0
    behind = setup.run(make_search({"query": QUERY, "from": 4}))
    assert behind == Forwarded(Outcome(Status.SKIPPED, Reason.PAST_WINDOW), None)


def test_blend() -> None:
    result = ask(make(rule=replace(RULE, blend=1.0)))
    assert ids(result.body) == "abcdef"
    assert scores(result.body)[:4] == pytest.approx([2, 1 + 2 / 3, 1 + 1 / 3, 1])


def test_pretty_answer() -> None:
    setup = make()
    setup.engine.pretty = True
    result = ask(setup, query_string="pretty")
    assert result.body.endswith(b"}\n")
    assert b'"max_score" : 1.9933071' in result.body
    assert ids(result.body) == "dbcaef"


# --- explanations -----------------------------------------------------------------------------------------------


def explained(result: Rewritten) -> list[tuple[float, str, Any]]:
    rows = []
    for hit in raw_hits(result.body):
        explanation = json.loads(hit["_explanation"])
        assert explanation["value"] == json.loads(hit["_score"])
        rows.append((explanation["value"], explanation["description"], explanation["details"]))
    return rows


EXPLAINED = [replace(hit, own={"_explanation": b'{"value":%s,"description":"bm25"}' % hit.score}) for hit in SIX]


def test_explanations_wrap_the_engines() -> None:
    rows = explained(ask(make(EXPLAINED), {"explain": True}))
    assert rows[0][1] == "reranked by model base, logit 5: 1 + sigmoid(logit)"
    assert rows[0][2] == [{"value": 3.0, "description": "bm25"}]
    assert rows[4][1].startswith("past the reranked window")


def test_explanations_behind_the_window() -> None:
    rows = explained(ask(make(EXPLAINED), {"explain": True, "from": 5}))
    assert rows[0][1].startswith("past the reranked window")
    assert rows[0][2] == [{"value": 1.0, "description": "bm25"}]


def test_explanations_of_what_was_not_scored_and_of_a_remembered_order() -> None:
    setup = make(EXPLAINED, logits={"c": None, "d": None})
    for body in ({"explain": True}, {"explain": True, "size": 6}):
        how = [description for _, description, _ in explained(ask(setup, body))[:4]]
        assert [text.split()[0] for text in how] == ["reranked", "reranked", "not", "not"]
        assert "logit 2:" in how[0]
    rows = explained(ask(make(EXPLAINED, rule=replace(RULE, blend=0.5)), {"explain": True}))
    assert "blend of logit and engine score (0.5, min_max)" in rows[0][1]


# --- partial ----------------------------------------------------------------------------------------------------


def test_partial() -> None:
    setup = make(logits={"c": None, "d": None})
    result = ask(setup)
    assert str(result.outcome) == "partial; reason=budget; scored=2/4"
    assert ids(result.body) == "bacdef"
    assert scores(result.body) == pytest.approx([1 + sigmoid(2), 1 + sigmoid(-1), 0.8, 0.75, 2 / 3, 0.5])


def test_nothing_scored_in_time() -> None:
    result = ask(make(logits=dict.fromkeys(NAMES)))
    assert str(result.outcome) == "partial; reason=budget; scored=0/4"
    assert ids(result.body) == "abcdef"
    assert json.loads(result.body)["hits"]["max_score"] == pytest.approx(6 / 7)


def test_the_other_pages_take_the_order_of_a_partial_one() -> None:
    setup = make(logits={"c": None, "d": None})
    assert ids(ask(setup, {"size": 2}).body) == "ba"
    setup.score = scores_by_text(LOGITS)  # everything is in the cache by now
    second = ask(setup, {"size": 2, "from": 2})
    assert ids(second.body) == "cd"
    assert str(second.outcome) == "partial; reason=budget; scored=2/4"
    assert not any(isinstance(need, NeedScores) for need in setup.needs)
    # the page that met it tries again, and when it goes well, all pages do
    first = ask(setup, {"size": 2})
    assert (ids(first.body), first.outcome.status) == ("db", Status.FULL)
    assert ids(ask(setup, {"size": 2, "from": 2}).body) == "ca"


def test_other_hits_are_another_window() -> None:
    setup = make(logits={"c": None, "d": None})
    ask(setup, {"size": 2})
    setup.engine.hits = SIX[1:]
    setup.score = scores_by_text(LOGITS)
    assert ask(setup, {"size": 2, "from": 2}).outcome.status is Status.FULL


def test_without_memory_each_page_stands_alone() -> None:
    setup = make(logits={"c": None, "d": None}, context=make_context(ttl_s=0))
    ask(setup, {"size": 2})
    setup.score = scores_by_text(LOGITS)
    assert ask(setup, {"size": 2, "from": 2}).outcome.status is Status.FULL


def test_what_is_remembered_of_one_text_is_not_used_for_another() -> None:
    setup = make(logits={"c": None, "d": None})
    ext = {"ext": {"rerank": {"query_context": {"query_text": "blue"}}}}
    ask(setup, {"size": 2, **ext})
    ext = {"ext": {"rerank": {"query_context": {"query_text": "green"}}}}
    ask(setup, {"size": 2, "from": 2, **ext})
    assert isinstance(setup.needs[-1], NeedScores)
    assert setup.needs[-1].query == "green"


# --- no text ----------------------------------------------------------------------------------------------------


def test_a_hit_without_text_keeps_its_place() -> None:
    hits = [SIX[0], stored("b", "5.0", None), *SIX[2:]]
    setup = make(hits)
    result = ask(setup)
    assert result.outcome == Outcome(Status.FULL)
    assert ids(result.body) == "dbcaef"
    assert scores(result.body)[1] == scores(result.body)[0]
    assert isinstance(setup.needs[1], NeedScores)
    assert len(setup.needs[1].documents) == 3


def test_or_stands_below_all_that_are_scored() -> None:
    hits = [stored("a", "6.0", None), *SIX[1:]]
    setup = make(hits, rule=replace(RULE, textless_hits="below"), logits={"c": None})
    result = ask(setup, {"explain": True})
    assert str(result.outcome) == "partial; reason=budget; scored=2/3"
    assert ids(result.body) == "dbacef"
    assert scores(result.body) == pytest.approx([1 + sigmoid(5), 1 + sigmoid(2), 6 / 7, 0.8, 2 / 3, 0.5])
    setup = make(hits, rule=replace(RULE, textless_hits="below"))
    assert ask(setup).outcome == Outcome(Status.FULL)


def without_text(count: int) -> list[StoredHit]:
    return [stored(hit.id, hit.score.decode(), None if place < count else "") for place, hit in enumerate(SIX)]


def test_half_with_text_is_enough() -> None:
    assert ask(make(without_text(2))).outcome == Outcome(Status.FULL)


def test_too_few_with_text() -> None:
    setup = make([replace(hit, index="i2" if place else "i1") for place, hit in enumerate(without_text(3))])
    result = ask(setup, {"fields": ["color"]})
    assert result.outcome == Outcome(Status.SKIPPED, Reason.NO_TEXT)
    assert ids(result.body) == "abcdef"
    assert scores(result.body) == [6, 5, 4, 3, 2, 1]
    assert json.loads(result.body)["took"] == 7
    assert [json.loads(hit["fields"]) for hit in raw_hits(result.body)] == [{"color": ["red"]}] * 6
    assert [subject for subject, _ in setup.trace.warnings] == ["index i1", "index i2"]
    # the other pages of the window do not try; those behind it stay below all that the window's may have
    assert setup.run(make_search({"query": QUERY, "fields": ["color"], "from": 2})) == Forwarded(result.outcome, None)
    assert scores(ask(setup, {"fields": ["color"], "from": 4}).body) == pytest.approx([2 / 3, 0.5])
    # and are reranked again when the first page finds texts
    setup.engine.hits = SIX
    assert ask(setup, {"fields": ["color"]}).outcome.status is Status.FULL
    assert ask(setup, {"fields": ["color"], "from": 2}).outcome.status is Status.FULL


def too_wide(need: NeedSearch, mark: bytes) -> UpstreamAnswer | None:
    """Refuse more than two hits of what is marked, as an engine does."""
    if mark not in need.call.params.raw.encode() + need.call.body or json.loads(need.call.body)["size"] <= 2:
        return None
    return UpstreamAnswer(400, body=b"Result window is too large, from + size must be less than or equal to: [2] but")


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (({}, "index=narrow"), ({}, "index=wide")),
        (({"pit": {"id": "narrow"}}, ""), ({"pit": {"id": "wide"}}, "")),
    ],
)
def test_what_some_indices_allow_says_nothing_of_others(
    narrow: tuple[dict[str, Any], str], wide: tuple[dict[str, Any], str]
) -> None:
    """Neither has a target in its path."""
    setup = make(rule=replace(RULE, pit=True))
    setup.search = lambda need: too_wide(need, b"narrow") or setup.engine.search(need.call)
    windows = []
    for body, query_string in (narrow, narrow, wide):
        ask(setup, {"size": 2, **body}, query_string, target="")
        windows.append(setup.trace.decisions["page"]["window"])
    assert windows == [2, 2, 4]


# --- fields that are asked for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "sent", "left"),
    [
        ({}, ["title"], None),
        ({"fields": ["color"]}, ["color", "title"], {"color": ["red"]}),
        ({"fields": ["ti*"]}, ["ti*"], {"title": ["d"]}),
        ({"fields": [{"field": "title"}]}, [{"field": "title"}], {"title": ["d"]}),
        ({"fields": ["title", "color"]}, ["title", "color"], {"color": ["red"], "title": ["d"]}),
        ({"_source": False}, ["title"], None),
    ],
)
def test_only_our_own_fields_are_taken_out(body: dict[str, Any], sent: list[Any], left: dict[str, Any] | None) -> None:
    setup = make()
    result = ask(setup, body)
    assert json.loads(setup.engine.calls[0].body)["fields"] == sent
    first = raw_hits(result.body)[0]
    assert (json.loads(first["fields"]) if "fields" in first else None) == left


def test_a_field_that_the_client_gets_by_other_means_stays() -> None:
    setup = make([replace(hit, own={"fields": b'{"title":["%s"]}' % hit.id.encode()}) for hit in SIX])
    setup.engine.hits = [replace(hit, fields={}) for hit in setup.engine.hits]
    result = ask(setup, {"collapse": {"field": "title"}})
    assert "fields" not in json.loads(setup.engine.calls[0].body)
    assert result.outcome == Outcome(Status.FULL)
    assert json.loads(raw_hits(result.body)[0]["fields"]) == {"title": ["d"]}


# --- without a template -----------------------------------------------------------------------------------------


def lookups(**more: UpstreamAnswer) -> Callable[[NeedLookup], UpstreamAnswer]:
    answers = {"_field_caps": ok(caps(title="text", brand="keyword")), "_mapping": ok(b"{}"), **more}
    return lambda need: answers.get(need.api, error(404))


def test_the_template_follows_from_query_and_mapping() -> None:
    setup = make(rule=replace(RULE, text=None), look_up=lookups())
    result = ask(setup)
    assert result.outcome == Outcome(Status.FULL)
    assert [type(need) for need in setup.needs] == [NeedLookup, NeedLookup, NeedLookup, NeedSearch, NeedScores]
    assert setup.trace.decisions["text"] == "{title}"
    assert setup.trace.decisions["mapping"] == "read"
    ask(setup)
    assert not any(isinstance(need, NeedLookup) for need in setup.needs)


def test_a_mapping_that_may_not_be_read() -> None:
    setup = make(rule=replace(RULE, text=None), look_up=lambda need: error(403))
    assert ask(setup).outcome == Outcome(Status.FULL)
    assert "not readable" in setup.trace.decisions["mapping"]
    result = setup.run(make_search({"query": {"query_string": {"query": "x"}}}))
    assert result == Forwarded(Outcome(Status.SKIPPED, Reason.TEXT_UNAVAILABLE), None)


def test_indices_without_source_have_no_text() -> None:
    bare = ok(json.dumps({"i": {"mappings": {"_source": {"enabled": False}}}}).encode())
    setup = make(rule=replace(RULE, text=None), look_up=lookups(_mapping=bare))
    assert setup.run(make_search({"query": QUERY})).outcome == Outcome(Status.SKIPPED, Reason.TEXT_UNAVAILABLE)


def test_copies_are_read_where_they_come_from() -> None:
    answers = lookups(
        _field_caps=ok(caps(title="text", all="text")),
        _mapping=ok(mapping({"title": {"type": "text", "copy_to": "all"}, "all": {"type": "text"}})),
    )
    setup = make(rule=replace(RULE, text=None), look_up=answers)
    ask(setup, {"query": {"match": {"all": "red shoes"}}})
    assert setup.trace.decisions["text"] == "{title}"


# --- skipped ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "more", "reason"),
    [
        ({"query": {"match_all": {}}}, {}, Reason.NO_QUERY_TEXT),
        ({"size": 0}, {}, Reason.SIZE_ZERO),
        ({"sort": ["price"]}, {}, Reason.SORT),
        ({}, {"asked_to_skip": True}, Reason.ASKED),
        ({}, {"query_string": "scroll=1m"}, Reason.SCROLL),
    ],
)
def test_skipped(body: dict[str, Any], more: dict[str, Any], reason: Reason) -> None:
    setup = make()
    result = setup.run(make_search({"query": QUERY, **body}, **more))
    assert result == Forwarded(Outcome(Status.SKIPPED, reason), None)
    assert setup.needs == []


def test_q_gives_the_query_text() -> None:
    setup = make()
    result = setup.run(make_search(b"", "q=title:shoes+-blue&routing=a"))
    assert result.outcome == Outcome(Status.FULL)
    assert isinstance(setup.needs[1], NeedScores)
    assert setup.needs[1].query == "shoes"
    assert setup.engine.calls[0].params == Params("q=title:shoes+-blue&routing=a")


def test_a_given_text_takes_the_place_of_the_querys() -> None:
    setup = make()
    setup.run(make_search({"query": {"match_all": {}}}, query_text="boots"))
    assert isinstance(setup.needs[1], NeedScores)
    assert setup.needs[1].query == "boots"


# --- identity ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 3])
def test_identity_changes_no_byte(start: int) -> None:
    setup = make(rule=replace(RULE, model=IDENTITY, text=None))
    search = make_search({"query": {"match_all": {}}, "from": start, "size": 2})
    result = setup.run(search)
    assert isinstance(result, Rewritten)
    assert result.outcome == Outcome(Status.FULL)
    assert json.loads(setup.engine.calls[0].body) == {"query": {"match_all": {}}, "size": 4 if start == 0 else 5}
    assert result.body == setup.engine.search(SearchCall(search.params, search.body, search.content_type)).body
    behind = setup.run(make_search({"query": QUERY, "from": 4}))
    assert behind == Forwarded(Outcome(Status.SKIPPED, Reason.PAST_WINDOW), None)


# --- what the explain page is told ------------------------------------------------------------------------------


def test_trace() -> None:
    setup = make([SIX[0], stored("b", "5.0", None), *SIX[2:]], logits={"d": None})
    ask(setup, {"from": 1, "size": 2})
    decisions = setup.trace.decisions
    assert decisions["page"] == {"from": 1, "size": 2, "window": 4}
    assert decisions["query_text"] == {"text": "red shoes", "source": "match"}
    assert decisions["text"] == "{title}"
    window = decisions["window"]
    assert isinstance(window, WindowTrace)
    assert window.logits == [-1.0, None, 2.0, None]
    assert window.ranking is not None
    assert window.ranking.order == (2, 1, 0, 3)
    assert setup.trace.hits == 4
    assert list(setup.trace.timings_ms) == ["upstream", "score"]
    assert setup.trace.timings_ms["upstream"] == pytest.approx(50)
    assert setup.trace.timings_ms["score"] == pytest.approx(30)
