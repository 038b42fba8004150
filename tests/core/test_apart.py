"""Fields that we ask for show in more than the hits: then a search of its own fetches them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.apart import fields_would_show, texts_body, texts_params
from proxy.core.messages import NeedScores, NeedSearch, Reason, Status
from tests.core.fake_engine import error, make_search, plain
from tests.core.one_search import QUERY, SIX, ask, ids, make

FILTERED: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {"_source": "*e"}),
    ({}, {"_source": ["title"]}),
    ({}, {"_source": {"excludes": ["body"]}}),
    ({"_source": "title"}, {}),
    ({"_source_includes": "title"}, {"_source": False}),
    ({"_source_excludes": "body"}, {}),
]
UNFILTERED: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    ({}, {"_source": True}),
    ({}, {"_source": False}),
    ({}, {"_source": []}),
    ({}, {"_source": {}}),
    ({"_source": "false"}, {"_source": ["title"]}),
    ({"_source": "true"}, {}),
]
SHOWN: list[dict[str, Any]] = [
    {"aggs": {"a": {"terms": {"field": "f"}, "aggs": {"best": {"top_hits": {}}}}}},
    {"aggregations": {"best": {"top_hits": {"size": 1}}}},
    {"suggest": {"s": {"prefix": "re", "completion": {"field": "suggest"}}}},
    {"profile": True},
    {"profile": "true"},
]


@pytest.mark.parametrize(("url", "body"), FILTERED)
def test_a_filtered_source_is_written_otherwise_on_elasticsearch(url: dict[str, str], body: dict[str, Any]) -> None:
    assert fields_would_show(url, body, elasticsearch=True)
    assert fields_would_show(url, body, elasticsearch=None)
    assert not fields_would_show(url, body, elasticsearch=False)


@pytest.mark.parametrize(("url", "body"), UNFILTERED)
def test_a_whole_source_is_not(url: dict[str, str], body: dict[str, Any]) -> None:
    assert not fields_would_show(url, body, elasticsearch=True)


@pytest.mark.parametrize("body", SHOWN)
@pytest.mark.parametrize("elasticsearch", [True, False, None])
def test_other_sections_show_fields_on_both_engines(body: dict[str, Any], elasticsearch: bool | None) -> None:
    assert fields_would_show({}, body, elasticsearch)


def test_other_aggregations_and_suggestions_do_not() -> None:
    body = {
        "profile": False,
        "aggs": {"a": {"avg": {"field": "price"}}},
        "suggest": {"s": {"text": "x", "term": {"field": "title"}}},
    }
    assert not fields_would_show({}, body, elasticsearch=True)


def test_the_search_for_texts_keeps_what_decides_about_the_hits() -> None:
    body = b'{ "query":{"n":1.10}, "highlight":{}, "aggs":{"a":1}, "min_score":0.50, "explain":true, "fields":["x"] }'
    bare = texts_body(body, ["title", "body"], keep_aggregations=False)
    assert bare == b'{ "query":{"n":1.10}, "min_score":0.50,"_source":false,"fields":["title","body"] }'
    kept = texts_body(body, ["title"], keep_aggregations=True)
    assert json.loads(kept)["aggs"] == {"a": 1}
    assert texts_body(b"{}", ["t"], keep_aggregations=False) == b'{"_source":false,"fields":["t"]}'


def test_parameters_of_what_is_shown_go_and_others_stay() -> None:
    shown = ["_source", "filter_path", "explain", "_source_excludes", "_source_exclude_vectors"]
    assert texts_params(["routing", *shown, "preference", "q", "search_type"]) == shown


COMPLETION: dict[str, Any] = {"suggest": {"s": {"prefix": "re", "completion": {"field": "suggest"}}}}
"""Shows added fields, and cannot be had in two phases."""


def test_the_clients_search_goes_out_without_our_fields() -> None:
    setup = make()
    answer = ask(setup, {**COMPLETION, "size": 3})
    first, second = (need.call for need in setup.needs if isinstance(need, NeedSearch))
    assert json.loads(first.body) == {"query": QUERY, **COMPLETION, "size": 4}
    assert json.loads(second.body) == {"query": QUERY, "_source": False, "size": 4, "fields": ["title"]}
    assert ids(answer.body) == "dbc"
    assert b"fields" not in answer.body
    assert answer.outcome.status is Status.FULL


@pytest.mark.parametrize(
    "ending",
    [
        {"query": QUERY, "terminate_after": 5},
        {"retriever": {"standard": {"query": QUERY, "terminate_after": 5}}},
    ],
)
def test_aggregations_stay_where_they_decide_when_collecting_ends(ending: dict[str, Any]) -> None:
    setup = make()
    best = {"best": {"top_hits": {}}}
    setup.run(make_search({**ending, "aggs": best}))
    _, texts = (json.loads(need.call.body) for need in setup.needs if isinstance(need, NeedSearch))
    assert (texts["aggs"], texts["fields"]) == (best, ["title"])


def test_a_filtered_source_is_asked_for_by_a_search_of_its_own() -> None:
    """The window comes with the texts alone, the page with all that the client asks for."""
    setup = make()
    ask(setup, {"_source": ["name"], "size": 3})
    bodies = [json.loads(need.call.body) for need in setup.needs if isinstance(need, NeedSearch)]
    assert [("fields" in body, body["_source"]) for body in bodies] == [(True, False), (False, ["name"])]


@pytest.mark.parametrize(("asked", "searches"), [(["color"], 1), (["color", "size"], 2), (["col*"], 2), (["*"], 1)])
def test_fields_are_not_added_to_several_others(asked: list[str], searches: int) -> None:
    """One field has no order, and where the client asks for ours himself nothing is added."""
    setup = make()
    answer = ask(setup, {"fields": asked, "size": 2})
    assert sum(isinstance(need, NeedSearch) for need in setup.needs) == searches
    assert ids(answer.body) == "db"
    assert answer.body.count(b'"color": ["red"]') == 2


def test_a_filtered_source_alone_comes_with_the_page_and_the_texts_with_the_window() -> None:
    setup = make()
    answer = ask(setup, {"_source": ["name"], "size": 2})
    window, page = (json.loads(need.call.body) for need in setup.needs if isinstance(need, NeedSearch))
    assert (window["_source"], window["fields"], window["size"]) == (False, ["title"], 4)
    assert (page["_source"], page["track_total_hits"], "fields" in page) == (["name"], False, False)
    wanted = [{"term": {"_index": "products"}}, {"ids": {"values": ["d", "b"]}}]
    assert page["post_filter"]["bool"]["should"] == [{"bool": {"filter": wanted}}]
    assert ids(answer.body) == "db"


@pytest.mark.parametrize(
    "more",
    [
        {"stored_fields": ["title"]},
        {"stored_fields": "*"},
        {"script_fields": {"title": {"script": "1"}}},
        {"stored_fields": ["title"], "fields": ["title"]},
    ],
)
def test_stored_values_and_those_of_scripts_are_no_texts(more: dict[str, Any]) -> None:
    """The first may be missing, the others are another thing under the field's name."""
    setup = make()
    answer = ask(setup, {**more, "size": 3})
    window, page = (json.loads(need.call.body) for need in setup.needs if isinstance(need, NeedSearch))
    assert (window["fields"], more.keys() & window.keys() - {"fields"}) == (["title"], set())
    assert {key: page[key] for key in more} == more
    assert ids(answer.body) == "dbc"
    assert answer.outcome.status is Status.FULL


def test_pages_of_such_a_search_have_one_order() -> None:
    setup = make()
    bodies = [ask(setup, {"_source": ["name"], "from": start, "size": 2}).body for start in (0, 2, 4)]
    # The third page lies behind the window.
    assert [ids(body) for body in bodies] == ["db", "ca", "ef"]


def test_a_hit_that_is_gone_meanwhile_has_no_text() -> None:
    setup = make()
    calls = []

    def without_the_third(need: NeedSearch) -> Any:
        calls.append(need)
        if len(calls) == 2:
            setup.engine.hits = [hit for hit in SIX if hit.id != "c"]
        return setup.engine.search(need.call)

    setup.search = without_the_third
    answer = ask(setup, {**COMPLETION, "size": 4})
    scored = next(need for need in setup.needs if isinstance(need, NeedScores))
    assert [plain(document) for document in scored.documents] == ["a", "b", "d"]
    assert sorted(ids(answer.body)) == ["a", "b", "c", "d"]


def test_if_the_texts_cannot_be_had_the_page_is_the_engines() -> None:
    setup = make()

    def refuse_texts(need: NeedSearch) -> Any:
        return error(400) if b'"_source":false' in need.call.body else setup.engine.search(need.call)

    setup.search = refuse_texts
    answer = ask(setup, {**COMPLETION, "size": 3})
    assert ids(answer.body) == "abc"
    assert answer.outcome.status is Status.FALLBACK
    assert answer.outcome.reason is Reason.UPSTREAM_ERROR


def test_once_opensearch_has_answered_a_filtered_source_needs_one_search_only() -> None:
    setup = make()
    setup.context.elasticsearch = False
    ask(setup, {"_source": ["name"]})
    assert sum(isinstance(need, NeedSearch) for need in setup.needs) == 1
    setup.run(make_search({"query": QUERY}))
    assert setup.context.elasticsearch is True  # the fake engine says so
