"""What a search shows: pages, sources, fields, highlights, sorting, counting."""

from __future__ import annotations

from typing import Any

import pytest

from tests.embedded.conftest import Talk

RAW = b'{ "price": 1.10,\n "title":"na\\u00efve caf\xc3\xa9", "big": 12345678901234567890123, "list": [1.0, 2e0] }'


async def _search(talk: Talk, path: str = "/shop/_search", **body: Any) -> Any:
    return await talk.ok("POST", path, body)


async def test_the_answer_has_the_engines_form(shop: Talk) -> None:
    answer = await _search(shop, query={"term": {"brand": "Borealis"}})
    assert list(answer) == ["took", "timed_out", "_shards", "hits"]
    assert answer["_shards"] == {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    assert list(answer["hits"]) == ["total", "max_score", "hits"]
    assert list(answer["hits"]["hits"][0]) == ["_index", "_id", "_score", "_source"]


async def test_an_unfiltered_source_is_the_clients_own_bytes(talk: Talk) -> None:
    await talk.raw("PUT", "/shop/_doc/1?refresh=true", RAW)
    for path in ("/shop/_search", "/shop/_doc/1"):
        _, body = await talk.raw("GET", path)
        assert RAW in body
    _, body = await talk.raw("GET", "/shop/_search?_source_includes=price")
    assert b'"_source":{"price":1.1}' in body


async def test_url_counts_more_than_body(shop: Talk) -> None:
    answer = await _search(shop, "/shop/_search?size=1&from=1&q=brand:Acme", size=5, query={"match_none": {}})
    assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["3"]
    assert answer["hits"]["total"]["value"] == 3


async def test_pages_keep_total_and_best_score(shop: Talk) -> None:
    first = (await _search(shop, query={"match": {"title": "phone"}}, size=1))["hits"]
    past = (await _search(shop, query={"match": {"title": "phone"}}, size=1, **{"from": 50}))["hits"]
    assert past == {**first, "hits": []}
    assert first["max_score"] == first["hits"][0]["_score"]
    nothing = (await _search(shop, size=0))["hits"]
    assert nothing == {"total": {"value": 5, "relation": "eq"}, "max_score": None, "hits": []}


@pytest.mark.parametrize("body", [{"from": 9_991}, {"size": 10_001}, {"from": 10_000, "size": 1}])
async def test_a_window_beyond_the_limit_is_refused(shop: Talk, body: dict[str, int]) -> None:
    status, content = await shop("POST", "/shop/_search", body)
    assert (status, content["error"]["type"]) == (400, "search_phase_execution_exception")
    assert content["error"]["root_cause"][0]["type"] == "illegal_argument_exception"
    assert "10000" in content["error"]["failed_shards"][0]["reason"]["reason"]
    assert (await _search(shop, **{"from": 9_990}))["hits"]["hits"] == []


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (True, {"a": {"b": 1, "c": 2}, "d.e": 3, "list": [{"x": 1, "y": 2}, {"y": 3}]}),
        ("a", {"a": {"b": 1, "c": 2}}),
        (["a.b", "nothing"], {"a": {"b": 1}}),
        (["*.e", "list.x"], {"d.e": 3, "list": [{"x": 1}]}),
        ({"excludes": ["a.*", "list"]}, {"a": {}, "d.e": 3}),
        ({"includes": ["a"], "excludes": ["*.c"]}, {"a": {"b": 1}}),
        ([], {"a": {"b": 1, "c": 2}, "d.e": 3, "list": [{"x": 1, "y": 2}, {"y": 3}]}),
    ],
)
async def test_source_filter(talk: Talk, asked: Any, shown: Any) -> None:
    source = {"a": {"b": 1, "c": 2}, "d.e": 3, "list": [{"x": 1, "y": 2}, {"y": 3}]}
    await talk.index("shop", {"1": source})
    (hit,) = (await _search(talk, _source=asked))["hits"]["hits"]
    assert hit["_source"] == shown


async def test_source_can_be_left_out(shop: Talk) -> None:
    for hit in (await _search(shop, _source=False))["hits"]["hits"]:
        assert "_source" not in hit
    answer = await _search(shop, "/shop/_search?_source=true", _source=False)
    assert "_source" in answer["hits"]["hits"][0]


async def test_fields_are_arrays_in_the_mappings_type(shop: Talk) -> None:
    await shop.ok("PUT", "/shop/_doc/6?refresh=true", {"title": "t", "price": "7", "stock": 2.9, "added": "2026-02-03"})
    answer = await _search(shop, query={"ids": {"values": ["6"]}}, fields=["t*", {"field": "price"}, "stock", "added"])
    assert answer["hits"]["hits"][0]["fields"] == {
        "title": ["t"],
        "title.english": ["t"],
        "price": [7.0],
        "stock": [2],
        "added": ["2026-02-03T00:00:00.000Z"],
    }


LONG = "one two three " * 20 + "phone case " + "four five six " * 20 + "a second phone at the end"


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        ({"number_of_fragments": 0}, [LONG.replace("phone", "<em>phone</em>")]),
        (
            {"pre_tags": ["{"], "post_tags": ["}"], "fragment_size": 12, "number_of_fragments": 1},
            ["three {phone} case"],
        ),
    ],
)
async def test_highlight(talk: Talk, options: dict[str, Any], fragments: list[str]) -> None:
    await talk.index("shop", {"1": {"title": LONG, "other": "phone"}})
    query = {"match": {"title": "Phone"}}
    answer = await _search(talk, query=query, highlight={"fields": {"*": {}}, **options})
    assert answer["hits"]["hits"][0]["highlight"] == {"title": fragments}


async def test_highlight_cuts_out_the_places(talk: Talk) -> None:
    await talk.index("shop", {"1": {"title": LONG}})
    answer = await _search(talk, query={"match": {"title": "phone"}}, highlight={"fields": {"title": {}}})
    first, second = answer["hits"]["hits"][0]["highlight"]["title"]
    assert first.count("<em>phone</em>") == second.count("<em>phone</em>") == 1
    for fragment in (first, second):
        assert fragment.replace("<em>", "").replace("</em>", "") in LONG
        assert len(fragment) < 140


async def test_highlight_marks_what_was_matched_after_stemming(shop: Talk) -> None:
    query = {"match": {"title.english": "cases"}}
    answer = await _search(shop, query=query, highlight={"fields": {"title*": {}}})
    assert {"title.english": ["red phone <em>case</em>"]} in [hit["highlight"] for hit in answer["hits"]["hits"]]


@pytest.mark.parametrize(
    ("sort", "ids", "first"),
    [
        ("price", ["1", "2", "4", "5", "3"], [9.5]),
        ([{"price": "desc"}], ["3", "5", "4", "2", "1"], [499.0]),
        ([{"brand": {"order": "desc"}}, {"price": "asc"}], ["4", "2", "1", "5", "3"], ["Cumulus", 20.0]),
        ([{"stock": "desc"}, "_doc"], ["3", "1", "4", "2", "5"], [7, 2]),
        ([{"stock": {"order": "asc", "missing": "_first"}}], ["5", "2", "1", "4", "3"], [None]),
    ],
)
async def test_sort(shop: Talk, sort: Any, ids: list[str], first: list[Any]) -> None:
    answer = await _search(shop, sort=sort)
    hits = answer["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == ids
    assert hits[0]["sort"] == first
    assert {hit["_score"] for hit in hits} == {None}
    assert answer["hits"]["max_score"] is None


async def test_sort_by_score_shows_scores(shop: Talk) -> None:
    query = {"match": {"title": "phone case"}}
    plain = (await _search(shop, query=query))["hits"]
    assert (await _search(shop, query=query, sort=["_score"]))["hits"] == plain
    then = (await _search(shop, query=query, sort=["_score", {"price": "desc"}]))["hits"]
    assert then["max_score"] is None
    assert [hit["sort"][0] for hit in then["hits"]] == [hit["_score"] for hit in plain["hits"]]
    tracked = (await _search(shop, query=query, sort="price", track_scores=True))["hits"]
    assert tracked["max_score"] == plain["max_score"]


@pytest.mark.parametrize(
    ("body", "params", "total"),
    [
        ({}, "", {"value": 5, "relation": "eq"}),
        ({"track_total_hits": 1}, "", {"value": 1, "relation": "gte"}),
        ({"track_total_hits": 5}, "", {"value": 5, "relation": "eq"}),
        ({"track_total_hits": True}, "", {"value": 5, "relation": "eq"}),
        ({}, "?rest_total_hits_as_int=true", 5),
        ({"track_total_hits": False}, "", None),
    ],
)
async def test_total(shop: Talk, body: dict[str, Any], params: str, total: Any) -> None:
    assert (await shop.ok("POST", f"/shop/_search{params}", body))["hits"].get("total") == total


async def test_min_score_and_post_filter(shop: Talk) -> None:
    query = {"match": {"title": "red phone"}}
    hits = (await _search(shop, query=query))["hits"]["hits"]
    above = await _search(shop, query=query, min_score=hits[1]["_score"])
    assert above["hits"]["hits"] == [hit for hit in hits if hit["_score"] >= hits[1]["_score"]]
    assert above["hits"]["total"]["value"] == len(above["hits"]["hits"])
    filtered = await _search(shop, query=query, post_filter={"term": {"brand": "Acme"}})
    assert filtered["hits"]["hits"] == [hit for hit in hits if hit["_source"]["brand"] == "Acme"]


async def test_terms_aggregation(shop: Talk) -> None:
    aggs = {"brands": {"terms": {"field": "brand", "size": 2}}, "stock": {"terms": {"field": "stock"}}}
    answer = await _search(shop, size=0, aggs=aggs, post_filter={"match_none": {}})
    brands = [{"key": "Acme", "doc_count": 3}, {"key": "Borealis", "doc_count": 1}]
    expected = {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 1, "buckets": brands}
    assert answer["aggregations"]["brands"] == expected
    assert answer["aggregations"]["stock"]["buckets"][0] == {"key": 3, "doc_count": 2}
    assert "sterms#brands" in (await _search(shop, "/shop/_search?typed_keys", size=0, aggs=aggs))["aggregations"]


@pytest.mark.parametrize(
    ("target", "indices"),
    [
        ("/_search", ["other", "shop"]),
        ("/_all/_search", ["other", "shop"]),
        ("/s*,other/_search", ["other", "shop"]),
        ("/*,-o*/_search", ["shop"]),
        ("/_search?index=other", ["other"]),
        ("/shop,missing/_search?ignore_unavailable=true", ["shop"]),
    ],
)
async def test_targets(shop: Talk, target: str, indices: list[str]) -> None:
    await shop.index("other", {"1": {"title": "elsewhere"}})
    answer = await shop.ok("GET", target)
    assert sorted({hit["_index"] for hit in answer["hits"]["hits"]}) == indices
    assert answer["_shards"]["total"] == len(indices)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"no_such_key": 1}, "[no_such_key]"),
        ({"rescore": {}}, "[rescore]"),
        ({"search_after": [1]}, "[search_after]"),
        ({"explain": True}, "[explain]"),
        ({"query": None}, "[query]"),
        ({"size": "many"}, "[size]"),
        ({"from": -1}, "[from]"),
        ({"fields": "title"}, "[fields]"),
        ({"fields": [{"field": "added", "format": "yyyy"}]}, "[format]"),
        ({"highlight": {"fields": {"title": {"type": "fvh"}}}}, "[fvh]"),
        ({"highlight": {}}, "[fields]"),
        ({"aggs": {"a": {"avg": {"field": "price"}}}}, "[a]"),
        ({"aggs": {"a": {"terms": {"field": "title"}}}}, "[title]"),
        ({"sort": ["nothing"]}, "[nothing]"),
        ({"sort": ["title"]}, "[title]"),
        ({"sort": [{"price": "up"}]}, "[price]"),
        ({"_source": {"only": "title"}}, "[only]"),
        ({"track_total_hits": "some"}, "[track_total_hits]"),
        ([], "object"),
    ],
    ids=str,
)
async def test_a_search_that_is_not_understood_is_refused(shop: Talk, body: Any, named: str) -> None:
    _, reason = await shop.refusal("POST", "/shop/_search", body)
    assert named in reason
