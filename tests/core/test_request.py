"""Reading a search: the page, the window, what forbids reranking, and the calls that go out instead."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.messages import Reason, Search, SearchCall, Status
from proxy.core.params import Params
from proxy.core.request import Plan, is_json_type, read_search
from proxy.settings import Rule
from tests.core.fake_engine import make_search

MATCH = {"match": {"title": "x"}}
WINDOW = 50


def plan_of(search: Search, window: int = WINDOW) -> Plan:
    plan = read_search(search, Rule(window=window))
    assert isinstance(plan, Plan), plan
    return plan


def skipped(search: Search) -> tuple[Reason | None, SearchCall | None]:
    result = read_search(search, Rule(window=WINDOW))
    assert not isinstance(result, Plan)
    outcome, call = result
    assert outcome.status is Status.SKIPPED
    return outcome.reason, call


@pytest.mark.parametrize(
    ("body", "query_string", "page"),
    [
        ({}, "", (0, 10)),
        (b"", "", (0, 10)),
        ({"from": 5, "size": 20}, "", (5, 20)),
        ({}, "from=5&size=20", (5, 20)),
        ({"from": 1, "size": 2}, "size=20", (1, 20)),
        ({"from": 1, "size": 2}, "from=5;size=20", (5, 20)),
        ({"from": "5", "size": "2"}, "", (5, 2)),
        (b'{"from":2.7,"size":1e1}', "", (2, 10)),
        ({"from": "2.7", "size": "1e1"}, "", (2, 10)),
        ({}, "size=1&size=3", (0, 3)),
        ({"from": 10**12}, "", (10**12, 10)),
    ],
)
def test_page(body: Any, query_string: str, page: tuple[int, int]) -> None:
    plan = plan_of(make_search(body, query_string))
    assert plan.page == page
    assert plan.page_end == sum(page)
    call = plan.widened_call([])
    assert json.loads(call.body)["size"] == max(WINDOW, sum(page))
    assert "from" not in json.loads(call.body)
    assert not {"from", "size"} & call.params.as_dict().keys()


@pytest.mark.parametrize(
    ("body", "query_string", "reason"),
    [
        ({"size": 0}, "", Reason.SIZE_ZERO),
        ({}, "size=0", Reason.SIZE_ZERO),
        ({"size": 0.9}, "", Reason.SIZE_ZERO),
        ({"size": -1}, "", Reason.PARAMETER),
        ({"from": -1}, "", Reason.PARAMETER),
        ({"size": None}, "", Reason.PARAMETER),
        ({"size": "ten"}, "size=5", Reason.PARAMETER),
        ({"size": -1}, "size=5", Reason.PARAMETER),
        ({"size": 2**31}, "size=5", Reason.PARAMETER),
        ({"size": None}, "size=5", Reason.PARAMETER),
        ({"from": -1}, "from=0", Reason.PARAMETER),
        ({"from": []}, "from=0", Reason.PARAMETER),
        ({"size": True}, "", Reason.PARAMETER),
        ({"size": "ten"}, "", Reason.PARAMETER),
        ({}, "size=", Reason.PARAMETER),
        ({}, "size=2.7", Reason.PARAMETER),
        ({}, "from=1e1", Reason.PARAMETER),
        ({"search_after": [1]}, "", Reason.SEARCH_AFTER),
        ({"slice": {"id": 0, "max": 2}}, "", Reason.SCROLL),
        ({}, "scroll=1m", Reason.SCROLL),
        ({"pit": {"id": "x"}}, "", Reason.PIT),
        ({"search_pipeline": "p"}, "verbose_pipeline=true", Reason.PIPELINE),
        ({"verbose_pipeline": True}, "", Reason.PIPELINE),
        ({"rank": {"rrf": {}}}, "", Reason.RANK),
        ({"sub_searches": []}, "", Reason.RANK),
        ({"sort": ["price"]}, "", Reason.SORT),
        ({}, "sort=price", Reason.SORT),
        ({"sort": [{"_score": "asc"}]}, "", Reason.SORT),
        ({"retriever": {"standard": {"sort": ["price"]}}}, "", Reason.SORT),
        ({"retriever": {"standard": {"sort": [{"_score": "asc"}]}}}, "", Reason.SORT),
        ({"retriever": {"standard": {"sort": ["price"], "search_after": [5]}}}, "", Reason.SEARCH_AFTER),
        ({"retriever": {"standard": {"query": {"knn": {"field": "v"}}}}, "from": 5}, "", Reason.KNN),
        ({"retriever": {"text_similarity_reranker": {}}}, "", Reason.RETRIEVER),
        ({"retriever": {"knn": {"field": "v"}}}, "", Reason.KNN),
        ({"knn": {"field": "v"}, "from": 1}, "", Reason.KNN),
        ({"knn": {"field": "v"}, "from": 9}, "", Reason.KNN),
        ({"query": {"knn": {"field": "v"}}, "from": 49, "size": 90}, "", Reason.KNN),
        ({"query": {"knn": {"field": "v"}}}, "from=1", Reason.KNN),
        ({"stored_fields": "_none_"}, "", Reason.STORED_FIELDS),
        ({"stored_fields": ["_none_"]}, "", Reason.STORED_FIELDS),
        ({}, "stored_fields=_none_", Reason.STORED_FIELDS),
        ({"stored_fields": 5}, "", Reason.PARAMETER),
        ({}, "filter_path=took,hits.total", Reason.FILTER_PATH),
        ({}, "filter_path=-hits.hits", Reason.FILTER_PATH),
        ({}, "filter_path=hits.hits,-hits", Reason.FILTER_PATH),
        ({}, "format=yaml", Reason.FORMAT),
        ({"fields": "title"}, "", Reason.PARAMETER),
        ({"fields": None}, "", Reason.PARAMETER),
        ({"fields": [5]}, "", Reason.PARAMETER),
        ({"fields": [{"format": "x"}]}, "", Reason.PARAMETER),
        ({"docvalue_fields": {"field": "a"}}, "", Reason.PARAMETER),
        ({"rescore": "x"}, "", Reason.PARAMETER),
        ({"rescore": {"window_size": 0}}, "", Reason.PARAMETER),
        (b"[]", "", Reason.BODY),
        (b'{"size":5', "", Reason.BODY),
        (b'{"size":5,"size":5}', "", Reason.BODY),
        (b'/* hi */{"size":5}', "", Reason.BODY),
        (b'\xef\xbb\xbf{"size":5}', "", Reason.BODY),
        (b'{"query":{"match":{"title":"\\ud800"}}}', "", Reason.BODY),
        (b'{"query":{"match":{"title":"\xff"}}}', "", Reason.BODY),
        (b'{"query":' * 100_000, "", Reason.BODY),
        (b'{"query":' + b"[" * 900 + b"]" * 900 + b"}", "", Reason.BODY),
        ({"size": 5}, "source=%7B%7D&source_content_type=application/json", Reason.PARAMETER),
        (b"", "source=%7B%7D", Reason.PARAMETER),
        (b"", "source=a&source_content_type=application/yaml", Reason.FORMAT),
        (b"", "source=%7B%7D&source_content_type=application/vnd.elasticsearch%2Bjson", Reason.FORMAT),
        (b" ", "source=%7B%7D&source_content_type=application/json", Reason.PARAMETER),
    ],
)
def test_left_alone(body: Any, query_string: str, reason: Reason) -> None:
    assert skipped(make_search(body, query_string)) == (reason, None)


@pytest.mark.parametrize(
    ("body", "query_string"),
    [
        ({"sort": ["_score"]}, ""),
        ({"sort": [{"_score": "desc"}, {"price": "asc"}]}, ""),
        ({"collapse": {"field": "brand"}}, ""),
        ({"knn": {"field": "v", "k": 10, "num_candidates": 50}}, ""),
        ({"search_pipeline": "_none"}, ""),
        ({"search_pipeline": "p"}, "search_pipeline=_none"),
        ({"stored_fields": ["title"]}, ""),
        ({"min_score": 1, "track_scores": True, "profile": True}, "track_total_hits=false"),
        ({"aggs": {}, "suggest": {}}, "format=json&filter_path="),
    ],
)
def test_not_left_alone(body: Any, query_string: str) -> None:
    assert plan_of(make_search(body, query_string)).window == WINDOW


@pytest.mark.parametrize("body", [b'{"query":{"match_all":{}}}', b""])
@pytest.mark.parametrize(
    "accept", ["application/yaml", "application/vnd.elasticsearch+cbor;compatible-with=8", "text/plain"]
)
def test_other_formats_asked_for(accept: str, body: bytes) -> None:
    assert skipped(make_search(body, accept=accept)) == (Reason.FORMAT, None)


@pytest.mark.parametrize(
    "accept",
    ["application/json, text/plain, */*", "text/html,application/xml;q=0.9,*/*;q=0.8", "application/yaml, */*"],
)
def test_a_list_of_accepted_types_is_answered_in_json(accept: str) -> None:
    assert plan_of(make_search({}, accept=accept)).page == (0, 10)


@pytest.mark.parametrize("content_type", [None, "application/yaml", "text/plain", "application/jsonx"])
def test_other_formats_sent(content_type: str | None) -> None:
    search = Search("products", Params(""), b"{}", content_type)
    assert skipped(search) == (Reason.FORMAT, None)


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        (" application/vnd.elasticsearch+json;compatible-with=9", True),
        ("application/x-ndjson", False),
        ("application/vnd.elasticsearch+x-ndjson", False),
        ("", False),
        (None, False),
    ],
)
def test_is_json_type(content_type: str | None, is_json: bool) -> None:
    assert is_json_type(content_type) is is_json


VENDOR = "application/vnd.elasticsearch+json; compatible-with=8"


@pytest.mark.parametrize(
    ("body", "query_string", "content_type", "accept", "sent_type"),
    [
        (b"{}", "", "application/json", "*/*", "application/json"),
        (b"{}", "", VENDOR, VENDOR, VENDOR),
        # a body comes to be where there was none: its type is that of the answer asked for
        (b"", "", None, None, "application/json"),
        (b"", "", None, VENDOR, VENDOR),
        (b"", "", "application/json", "*/*", "application/json"),
        (b"", "", VENDOR, VENDOR, VENDOR),
        (b"", "source=%7B%7D&source_content_type=application%2Fjson", None, VENDOR, VENDOR),
        (b"", "source=%7B%7D&source_content_type=application%2Fjson", "text/plain", None, "application/json"),
    ],
)
def test_content_type_of_the_widened_search(
    body: bytes, query_string: str, content_type: str | None, accept: str | None, sent_type: str
) -> None:
    plan = plan_of(Search("products", Params(query_string), body, content_type, accept))
    call = plan.widened_call([])
    assert call == SearchCall(Params(""), b'{"size":50}', sent_type)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        # the engines answer in the type of a body that is not there, and refuse one that is blank
        (b"", "application/yaml", Reason.FORMAT),
        (b"", "junk", Reason.FORMAT),
        (b"", VENDOR, Reason.FORMAT),
        (b" \n", None, Reason.FORMAT),
        (b" \n", "application/json", Reason.BODY),
    ],
)
def test_a_search_without_a_body_to_be_read(body: bytes, content_type: str | None, reason: Reason) -> None:
    assert skipped(Search("products", Params("q=red"), body, content_type, "*/*")) == (reason, None)


def test_a_body_in_the_url_is_moved_to_where_bodies_stand() -> None:
    query_string = (
        "routing=a%2Fb&source=%7B%22from%22%3A3%2C%22query%22%3A%7B%7D%7D&source_content_type=application/json"
    )
    plan = plan_of(Search("products", Params(query_string), b""))
    assert plan.page == (3, 10)
    assert plan.own_call is None
    assert plan.widened_call([]) == SearchCall(Params("routing=a%2Fb"), b'{"query":{},"size":50}', "application/json")


@pytest.mark.parametrize(
    ("body", "added", "sent"),
    [
        (b"{}", [], b'{"size":50}'),
        (b" { } ", [], b' {"size":50} '),
        (b'{"size": 5 , "from":1}', [], b'{"size": 50}'),
        (b'{"from":1}', [], b'{"size":50}'),
        (b'{\n  "from" : 1,\n  "query":{"a":1.10}\n}\n', [], b'{\n  "query":{"a":1.10},"size":50\n}\n'),
        (
            b'{"query":{"range":{"n":{"gte":1.10,"lt":1e400,"x":"\\u00e9"}}},"size":5,  "aggs":{}}',
            [],
            b'{"query":{"range":{"n":{"gte":1.10,"lt":1e400,"x":"\\u00e9"}}},"size":50,  "aggs":{}}',
        ),
        (b"{}", ["title", 'a"b'], b'{"size":50,"fields":["title","a\\"b"]}'),
        (b'{"fields":[]}', ["title"], b'{"fields":["title"],"size":50}'),
        (b'{"fields":[ ],"size":5}', ["title"], b'{"fields":[ "title"],"size":50}'),
        (
            b'{"fields":[ "x", {"field":"d","format":"yyyy"} ]}',
            ["title", "brand"],
            b'{"fields":[ "x", {"field":"d","format":"yyyy"} ,"title","brand"],"size":50}',
        ),
    ],
)
def test_the_widened_body_keeps_every_other_byte(body: bytes, added: list[str], sent: bytes) -> None:
    assert plan_of(make_search(body)).widened_call(added).body == sent


@given(
    st.dictionaries(
        st.sampled_from(["query", "aggs", "_source", "min_score", "ext"]),
        st.sampled_from(['{"a":1.10}', "[1e400, 2]", '"\\u00e9 \\/"', "true", "{ }"]),
    ),
    st.sampled_from([None, "3", '"3"', "3.0"]),
    st.sampled_from([None, "0", '"4"', "4.9"]),
    st.permutations([0, 1, 2, 3, 4, 5, 6]),
    st.sampled_from(["", " ", "\n  "]),
)
def test_widening_any_body(
    others: dict[str, str], size: str | None, start: str | None, order: list[int], space: str
) -> None:
    members = [*others.items(), *([("size", size)] if size else []), *([("from", start)] if start else [])]
    members = [members[place] for place in order if place < len(members)]
    body = "{" + ",".join(f'{space}"{key}"{space}:{space}{value}{space}' for key, value in members) + "}"
    sent = plan_of(make_search(body.encode())).widened_call(["title"]).body.decode()
    assert {**json.loads(sent), "size": 0} == {
        **{k: json.loads(v) for k, v in others.items()},
        "size": 0,
        "fields": ["title"],
    }
    assert json.loads(sent)["size"] == WINDOW
    for key, value in others.items():
        assert f'"{key}"{space}:{space}{value}' in sent


@pytest.mark.parametrize(
    ("body", "page", "window", "asked"),
    [
        ({"rescore": {"window_size": 20}}, (0, 10), 20, 20),
        ({"rescore": {"window_size": 20}}, (15, 10), 20, 25),
        ({"rescore": {"window_size": 200}}, (0, 10), 50, 50),
        ({"retriever": {"standard": {"query": MATCH}}}, (45, 10), 50, 55),
        ({"retriever": {"standard": {"query": MATCH, "sort": ["_score", "price"]}}}, (45, 10), 50, 55),
        # only the outermost retriever's order is that of the hits
        (
            {"retriever": {"rrf": {"retrievers": [{"standard": {"sort": ["price"]}}], "rank_window_size": 30}}},
            (0, 10),
            30,
            30,
        ),
        ({"retriever": {"rrf": {"retrievers": [], "rank_window_size": 30}}}, (0, 10), 30, 30),
        # the engine refuses more than that and has no more hits: the page is cut out of what there is
        ({"retriever": {"rrf": {"retrievers": [], "rank_window_size": 30}}}, (25, 10), 30, 30),
        ({"retriever": {"rrf": {"retrievers": [], "rank_window_size": 100}}}, (45, 60), 50, 100),
        # the client's own mistake: the engine is to say so
        ({"retriever": {"rrf": {"retrievers": [], "rank_window_size": 30}}}, (0, 40), 30, 40),
    ],
)
def test_bounded_windows(body: dict[str, Any], page: tuple[int, int], window: int, asked: int) -> None:
    plan = plan_of(make_search({**body, "from": page[0], "size": page[1]}))
    assert plan.window == window
    assert json.loads(plan.widened_call([]).body)["size"] == asked


OPEN_KNN: dict[str, Any] = {"knn": {"field": "v", "query_vector": [1.0]}}


@pytest.mark.parametrize(
    ("page", "query_string", "window"),
    [
        ({}, "", 10),
        ({"size": 5}, "", 5),
        ({"size": 80}, "", WINDOW),
        ({"from": 10}, "", 10),
        ({"from": 50, "size": 80}, "", WINDOW),
        ({"size": 80, "rescore": {"window_size": 20}}, "", 20),
        # which of the two is taken for `k` depends on where the vector search stands
        ({"size": 5}, "size=7", 7),
        ({"from": 3}, "from=0&size=7", 7),
    ],
)
def test_a_vector_search_without_k_is_asked_with_the_clients_own_page(
    page: dict[str, Any], query_string: str, window: int
) -> None:
    body = json.dumps({**OPEN_KNN, **page}).encode()
    plan = plan_of(make_search(body, query_string))
    assert plan.window == window
    assert plan.widened_call([]) == SearchCall(Params(query_string), body, "application/json")
    assert json.loads(plan.widened_call(["title"]).body) == {**json.loads(body), "fields": ["title"]}
    assert plan.shape() is None


@pytest.mark.parametrize(
    ("body", "query_string", "asked"),
    [
        ({}, "", ()),
        ({"fields": ["a", {"field": "b*"}]}, "", ("a", "b*")),
        ({"docvalue_fields": ["a", {"field": "b", "format": "x"}]}, "docvalue_fields=c,d", ("a", "b", "c", "d")),
        ({"stored_fields": ["a"]}, "", ("a",)),
        ({"stored_fields": "a"}, "", ("a",)),
        ({"stored_fields": ["a"]}, "stored_fields=b", ("b",)),
        ({"script_fields": {"a": {"script": "x"}}}, "", ("a",)),
        ({"collapse": {"field": "a"}}, "", ("a",)),
        ({"retriever": {"standard": {"collapse": {"field": "a"}}}}, "", ("a",)),
    ],
)
def test_what_else_stands_in_fields(body: Any, query_string: str, asked: tuple[str, ...]) -> None:
    assert plan_of(make_search(body, query_string)).asked_fields == asked


EXT = {"rerank": {"query_context": {"query_text": "given"}}}


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"ext":{"rerank":{}},"size":5}', b'{"size":5}'),
        (b'{"size":5, "ext" : {"rerank":{}} }', b'{"size":5 }'),
        (
            b'{"ext":{"rerank":{"query_context":{"query_text":"x"}},"other":1.10},"size":5}',
            b'{"ext":{"other":1.10},"size":5}',
        ),
        (b'{"ext":{"other":1,"rerank":{}}}', b'{"ext":{"other":1}}'),
        (b'{"ext":{"rerank":null}}', b"{}"),
    ],
)
def test_what_is_meant_for_us_is_taken_out(body: bytes, sent: bytes) -> None:
    plan = plan_of(make_search(body, "routing=x"))
    assert plan.own_call == SearchCall(Params("routing=x"), sent, "application/json")
    assert "rerank" not in plan.widened_call([]).body.decode()


@pytest.mark.parametrize("body", [{}, {"ext": {}}, {"ext": {"other": {}}}, {"ext": "rerank"}])
def test_nothing_is_taken_out_where_nothing_is_ours(body: Any) -> None:
    assert plan_of(make_search(body)).own_call is None


def test_it_is_taken_out_of_a_search_that_is_left_alone_too() -> None:
    stripped = SearchCall(Params(""), b'{"size": 0}', "application/json")
    assert skipped(make_search({"ext": EXT, "size": 0})) == (Reason.SIZE_ZERO, stripped)
    stripped = SearchCall(Params(""), b'{"size": "many"}', "application/json")
    assert skipped(make_search({"ext": EXT, "size": "many"})) == (Reason.PARAMETER, stripped)
    stripped = SearchCall(Params(""), b"{}", "application/json")
    assert skipped(make_search({"ext": EXT}, asked_to_skip=True)) == (Reason.ASKED, stripped)


def test_it_stays_where_a_pipeline_may_need_it() -> None:
    assert skipped(make_search({"ext": EXT, "size": 0}, "search_pipeline=p")) == (Reason.SIZE_ZERO, None)
    assert skipped(make_search({"ext": EXT, "search_pipeline": {}}, asked_to_skip=True)) == (Reason.ASKED, None)


@pytest.mark.parametrize(
    ("rerank", "header", "text"),
    [
        ({"query_context": {"query_text": "given"}}, None, "given"),
        ({"query_context": {"query_text": "given"}}, "header", "header"),
        ({"query_context": {"query_text": "given"}}, "  ", "given"),
        ({"query_context": {"query_text_path": "query.match.title"}}, None, "x"),
        ({"query_context": {"query_text_path": "query.match.title.more"}}, None, None),
        ({"query_context": {"query_text_path": "query.match"}}, None, None),
        ({"query_context": {"query_text_path": "a." * 10_000}}, None, None),
        ({"query_context": {"query_text": " "}}, None, None),
        ({"query_context": {"query_text": 5}}, None, None),
        ({"query_context": []}, None, None),
        ([], "header", "header"),
    ],
)
def test_given_text(rerank: Any, header: str | None, text: str | None) -> None:
    search = make_search({"query": MATCH, "ext": {"rerank": rerank}}, query_text=header)
    assert plan_of(search).query_text == text


@pytest.mark.parametrize(
    ("query_string", "query"),
    [
        ("q=red+shoes", {"query_string": {"query": "red shoes"}}),
        ("q=red&df=title", {"query_string": {"query": "red", "default_field": "title"}}),
        ("df=title", MATCH),
    ],
)
def test_q_wins_over_the_body(query_string: str, query: Any) -> None:
    plan = plan_of(make_search({"query": MATCH}, query_string))
    assert plan.body["query"] == query
    assert json.loads(plan.widened_call([]).body)["query"] == MATCH
    assert plan.widened_call([]).params == Params(query_string)


@pytest.mark.parametrize(
    ("body", "query_string", "on"),
    [
        ({"explain": True}, "", True),
        ({"explain": "true"}, "", True),
        ({}, "explain", True),
        ({"explain": False}, "", False),
        ({}, "", False),
    ],
)
def test_explain(body: Any, query_string: str, on: bool) -> None:
    assert plan_of(make_search(body, query_string)).explain is on


BASE: dict[str, Any] = {"body": b'{"query":{"a":1},"size":7}', "query_string": "routing=a"}


@pytest.mark.parametrize(
    "other",
    [
        {"body": b'{"query":{"a":1}}'},
        {"body": b'{"from":14,"query":{"a":1}, "size":7}'},
        {"body": b'{"query":{"a":1},"from":"7"}', "query_string": "routing=a&size=3"},
        {"body": b'{"query":{"a":1}}', "query_string": "from=20&routing=a&size=3"},
        {"body": b'{"query":{"a":1},"size":7,"ext":{"rerank":{"x":1}}}'},
    ],
)
def test_pages_of_one_search_have_one_key(other: dict[str, Any]) -> None:
    assert plan_of(make_search(**{**BASE, **other})).key == plan_of(make_search(**BASE)).key


@pytest.mark.parametrize(
    "other",
    [
        {"body": b'{"query":{"a":2},"size":7}'},
        {"query_string": "routing=b"},
        {"query_string": ""},
        {"target": "others"},
        {"identity": b"somebody else"},
        {"query_text": "given"},
        {"body": b'{"query":{"a":1},"size":7,"ext":{"rerank":{"query_context":{"query_text":"given"}}}}'},
    ],
)
def test_different_searches_have_different_keys(other: dict[str, Any]) -> None:
    assert plan_of(make_search(**{**BASE, **other})).key != plan_of(make_search(**BASE)).key


KEYS = [
    "from", "size", "sort", "query", "knn", "retriever", "rescore", "fields", "docvalue_fields", "stored_fields",
    "script_fields", "collapse", "ext", "rerank", "query_context", "query_text", "query_text_path", "explain", "pit",
    "search_pipeline", "rrf", "standard", "retrievers", "window_size", "k", "match", "bool", "must", "title", "boost",
]  # fmt: skip
JSON = st.recursive(
    st.sampled_from([None, True, 0, -1, 7, 2.5, 10**400, "", "_none_", "x", "5", "_score"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=6), st.sampled_from(["", "size=x&q=y&sort=a", "source"]))
def test_no_body_makes_it_fail(body: dict[str, Any], query_string: str) -> None:
    result = read_search(make_search(body, query_string), Rule(window=WINDOW))
    if isinstance(result, Plan):
        sent = json.loads(result.widened_call(["title"]).body)
        assert sent.keys() - {"size", "fields"} == body.keys() - {"size", "from", "fields", "ext"} | (
            sent.keys() & {"ext"}
        )
    else:
        assert result[0].status is Status.SKIPPED


@pytest.mark.parametrize(
    ("overrides", "text", "status"),
    [
        (("query_header", "query_context"), "of the header", None),
        (("query_context",), "of the context", None),
        (("query_header",), "of the header", None),
        (("none",), None, None),
        (("skip_header",), None, Reason.ASKED),
    ],
)
def test_a_client_overrides_what_the_rule_allows(
    overrides: tuple[str, ...], text: str | None, status: Reason | None
) -> None:
    body = {"query": MATCH, "ext": {"rerank": {"query_context": {"query_text": "of the context"}}}}
    search = replace(make_search(body), query_text="of the header", asked_to_skip=True)
    result = read_search(search, Rule(overrides=overrides))
    if status is not None:
        assert not isinstance(result, Plan)
        assert result[0].reason is status
        return
    assert isinstance(result, Plan)
    assert result.query_text == text
    assert result.own_call is not None
    assert b"ext" not in result.own_call.body
