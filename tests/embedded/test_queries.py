"""Which documents each query finds, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.embedded.conftest import Talk

ALL = ["1", "2", "3", "4", "5"]
PHRASE = {"multi_match": {"query": "card holder", "fields": ["title", "colors"], "type": "phrase"}}
CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({"match_all": {}}, set(ALL)),
    ({"match_none": {}}, set()),
    ({"match": {"title": "RED phone"}}, {"1", "2", "3", "5"}),
    ({"match": {"title": {"query": "red phone", "operator": "and"}}}, {"1"}),
    ({"match": {"title": {"query": "red phone case", "minimum_should_match": 2}}}, {"1", "2"}),
    ({"match": {"title": {"query": "red phone case", "minimum_should_match": "-34%"}}}, {"1", "2"}),
    ({"match": {"title": "phones"}}, set()),
    ({"match": {"title.english": "phones"}}, {"1", "2", "3"}),
    ({"match": {"title.english": "the"}}, set()),
    ({"match": {"brand": "Acme"}}, {"1", "3", "5"}),
    ({"match": {"brand": "acme"}}, set()),
    ({"match": {"stock": "3"}}, {"1", "4"}),
    ({"match": {"new": True}}, {"1"}),
    ({"match": {"unknown": "x"}}, set()),
    ({"multi_match": {"query": "blue", "fields": ["title", "colors"]}}, {"2", "4"}),
    ({"multi_match": {"query": "blue", "fields": ["t*", "co*"]}}, {"2", "4"}),
    ({"multi_match": {"query": "blue"}}, {"2", "4"}),
    (PHRASE, {"2", "4"}),
    ({"match_phrase": {"title": "phone case"}}, {"1", "2"}),
    ({"match_phrase": {"title": "case phone"}}, set()),
    ({"match_phrase": {"title": {"query": "blue case", "slop": 1}}}, {"2"}),
    ({"match_phrase": {"title.english": "case with a card"}}, set()),
    ({"match_phrase": {"title.english": "cases with card"}}, {"2"}),
    ({"term": {"brand": "Borealis"}}, {"2"}),
    ({"term": {"brand": {"value": "Borealis", "boost": 2}}}, {"2"}),
    ({"term": {"title": "Red"}}, set()),
    ({"term": {"price": 12}}, {"2"}),
    ({"term": {"new": "false"}}, {"2"}),
    ({"term": {"added": "2026-01-31"}}, {"3"}),
    ({"term": {"_id": "4"}}, {"4"}),
    ({"terms": {"colors": ["blue", "green"]}}, {"4"}),
    ({"terms": {"stock": [0, 7]}}, {"2", "3"}),
    ({"terms": {"stock": []}}, set()),
    ({"range": {"price": {"gte": 12, "lt": 59.9}}}, {"2", "4"}),
    ({"range": {"price": {"gt": 12}}}, {"3", "4", "5"}),
    ({"range": {"price": {}}}, set(ALL)),
    ({"range": {"stock": {"gt": 2.5, "lte": 6.9}}}, {"1", "4"}),
    ({"range": {"stock": {"lt": 3}}}, {"2"}),
    ({"range": {"added": {"gte": "2026-01-05", "lte": "2026-01-31"}}}, {"1", "3"}),
    ({"range": {"added": {"gt": "2026-01-05"}}}, {"3"}),
    ({"range": {"added": {"lt": "2026-02"}}}, {"1", "3"}),
    ({"range": {"brand": {"gt": "Acme", "lte": "Borealis"}}}, {"2"}),
    ({"exists": {"field": "colors"}}, {"4", "5"}),
    ({"exists": {"field": "size"}}, {"5"}),
    ({"exists": {"field": "size.eu"}}, {"5"}),
    ({"ids": {"values": ["2", "9"]}}, {"2"}),
    ({"prefix": {"brand": "Bo"}}, {"2"}),
    ({"prefix": {"title": {"value": "ca"}}}, {"1", "2", "4"}),
    ({"bool": {"must": {"match": {"title": "phone"}}, "filter": {"term": {"brand": "Acme"}}}}, {"1", "3"}),
    ({"bool": {"must": [{"match": {"title": "phone"}}], "must_not": [{"match": {"title": "case"}}]}}, {"3"}),
    ({"bool": {"must_not": [{"match": {"title": "phone"}}]}}, {"4", "5"}),
    ({"bool": {"should": [{"term": {"stock": 3}}, {"match": {"title": "phone"}}]}}, {"1", "2", "3", "4"}),
    (
        {
            "bool": {
                "should": [{"term": {"stock": 3}}, {"match": {"title": "phone"}}],
                "minimum_should_match": 2,
            }
        },
        {"1"},
    ),
    ({"bool": {"filter": {"match_all": {}}, "should": {"term": {"stock": 3}}}}, set(ALL)),
    ({"bool": {}}, set(ALL)),
    ({"dis_max": {"queries": [{"match": {"title": "shoe"}}, {"term": {"stock": 0}}]}}, {"2", "5"}),
    ({"constant_score": {"filter": {"match": {"title": "card"}}}}, {"2", "4"}),
    ({"query_string": {"query": "card shoe", "default_field": "title"}}, {"2", "4", "5"}),
    ({"query_string": {"query": "card AND holder NOT phone", "default_field": "title"}}, {"4"}),
    ({"query_string": {"query": "+red -phone", "fields": ["title", "colors"]}}, {"4", "5"}),
    ({"query_string": {"query": 'brand:Acme AND "phone case"', "default_field": "title"}}, {"1"}),
    ({"query_string": {"query": "-title:phone"}}, {"4", "5"}),
    ({"query_string": {"query": "*:*"}}, set(ALL)),
    ({"query_string": {"query": "the AND phones", "default_field": "title.english"}}, {"1", "2", "3"}),
]


@pytest.mark.parametrize(("query", "expected"), CASES, ids=str)
async def test_query_finds(shop: Talk, query: dict[str, Any], expected: set[str]) -> None:
    found = await shop.ids(query)
    assert set(found) == expected
    assert len(found) == len(expected)
    assert (await shop.ok("POST", "/shop/_count", {"query": query}))["count"] == len(expected)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"no_such_query": {}}, "[no_such_query]"),
        ({"bool": {"must": [{"function_score": {}}]}}, "[function_score]"),
        ({"match": {"title": {"query": "x", "fuzziness": "AUTO"}}}, "[fuzziness]"),
        ({"multi_match": {"query": "x", "fields": ["title"], "type": "cross_fields"}}, "[cross_fields]"),
        ({"match": {"title": "a", "brand": "b"}}, "[match]"),
        ({"match": {"title": None}}, "[query]"),
        ({"bool": {"some": []}}, "[some]"),
        ({"range": {"price": {"from": 1}}}, "[from]"),
        ({"term": {"stock": "many"}}, "[stock]"),
        ({"range": {"added": {"gte": "yesterday"}}}, "[added]"),
        ({"prefix": {"stock": "1"}}, "[prefix]"),
        ({"query_string": {"query": "red~2"}}, "[red~2]"),
        ({"query_string": {"query": "(red OR blue)"}}, "[(red]"),
        ({"match": {"title": {"query": "x", "operator": "xor"}}}, "[xor]"),
        ({"match": {"title": {"query": "x", "minimum_should_match": "most"}}}, "[most]"),
        ({"match": {"title": {"query": "x", "boost": "big"}}}, "[boost]"),
        ({"dis_max": {}}, "[dis_max]"),
        ({"match_all": {}, "match_none": {}}, "one key"),
        ([], "one key"),
    ],
    ids=str,
)
async def test_query_is_refused_by_name(shop: Talk, query: Any, named: str) -> None:
    _, reason = await shop.refusal("POST", "/shop/_search", {"query": query})
    assert named in reason


async def test_a_query_for_no_index_is_checked_too(talk: Talk) -> None:
    assert await talk.ids({"match_all": {}}, "no*") == []
    _, reason = await talk.refusal("POST", "/_search", {"query": {"no_such_query": {}}})
    assert "[no_such_query]" in reason


async def test_too_deep_a_query_is_refused(shop: Talk) -> None:
    query: dict[str, Any] = {"match_all": {}}
    for _ in range(40):
        query = {"bool": {"must": [query]}}
    _, reason = await shop.refusal("POST", "/shop/_search", {"query": query})
    assert "nested" in reason


async def test_order_is_by_score_then_by_writing(talk: Talk) -> None:
    documents = {f"{number}": {"title": "phone " * (1 + number % 3) + "case"} for number in range(40)}
    await talk.index("shop", documents)
    assert await talk.ids({"match_all": {}}) == list(documents)
    by_score = await talk.ids({"match": {"title": "phone"}})
    assert by_score == sorted(documents, key=lambda doc_id: (-(int(doc_id) % 3), int(doc_id)))


async def test_pages_of_any_size_join_to_the_same_list(talk: Talk) -> None:
    """Also where the documents came in many parts, so that the index has segments out of their order."""
    for part in range(12):
        documents = {f"{part}-{number}": {"title": f"phone {'case ' * (number % 2)}"} for number in range(11)}
        lines = "".join(
            f'{{"index":{{"_id":"{key}"}}}}\n{{"title":"{doc["title"]}"}}\n' for key, doc in documents.items()
        )
        await talk.raw("POST", "/shop/_bulk?refresh=true", lines.encode())
    everything = [f"{part}-{number}" for part in range(12) for number in range(11)]
    for query in (
        {"match_all": {}},
        {"match": {"title": "phone case"}},
        {"constant_score": {"filter": {"match_all": {}}}},
    ):
        whole = await talk.ids(query, size=200)
        assert sorted(whole) == sorted(everything)
        for size in (1, 7, 50):
            pages = [await talk.ids(query, size=size, **{"from": start}) for start in range(0, 132, size)]
            assert [doc_id for page in pages for doc_id in page] == whole
    assert await talk.ids({"match_all": {}}, size=200) == everything


async def test_boosts_change_the_order(shop: Talk) -> None:
    def query(title: int, colors: int) -> dict[str, Any]:
        return {"multi_match": {"query": "red", "fields": [f"title^{title}", f"colors^{colors}"]}}

    assert (await shop.ids(query(9, 1)))[-1] == "4"
    assert (await shop.ids(query(1, 9)))[-1] == "1"
