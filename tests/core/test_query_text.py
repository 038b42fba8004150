"""The text that a search asks for, out of the scoring clauses of the query DSL."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from proxy.core.query_text import MAX_QUERY_CHARACTERS, QueryText, TextClause, find_query_text, normalise
from proxy.settings import parse_template

MATCH = {"match": {"title": "red shoes"}}


EMBEDDED = {"query_vector_builder": {"text_embedding": {"model_id": "m", "model_text": "red  shoes"}}}


def find(query: Any, given: str | None = None) -> QueryText | None:
    return find_query_text({"query": query}, given)


def fields_of(query: Any) -> list[tuple[str, float]]:
    found = find(query)
    assert found is not None
    return [field for clause in found.clauses for field in clause.fields]


@pytest.mark.parametrize(
    ("query", "source", "fields"),
    [
        (MATCH, "match", [("title", 1.0)]),
        ({"match": {"title": {"query": "red shoes", "boost": 3}}}, "match", [("title", 3.0)]),
        ({"match": {"boost": "red shoes"}}, "match", [("boost", 1.0)]),
        ({"match_phrase": {"title": "red shoes"}}, "match_phrase", [("title", 1.0)]),
        ({"match_phrase_prefix": {"title": {"query": "red shoes"}}}, "match_phrase_prefix", [("title", 1.0)]),
        ({"match_bool_prefix": {"title": "red shoes"}}, "match_bool_prefix", [("title", 1.0)]),
        (
            {"multi_match": {"query": "red shoes", "fields": ["title^3", "brand", "tit*^0.5"]}},
            "multi_match",
            [("title", 3.0), ("brand", 1.0), ("tit*", 0.5)],
        ),
        ({"multi_match": {"query": "red shoes", "fields": "title^2", "boost": 2}}, "multi_match", [("title", 4.0)]),
        ({"multi_match": {"query": "red shoes"}}, "multi_match", []),
        ({"multi_match": {"query": "red shoes", "fields": ["*"]}}, "multi_match", []),
        ({"combined_fields": {"query": "red shoes", "fields": ["title"]}}, "combined_fields", [("title", 1.0)]),
        (
            {"query_string": {"query": "title:red +shoes -blue", "fields": ["title"]}},
            "query_string",
            [("title", 1.0)],
        ),
        ({"query_string": {"query": "red shoes", "default_field": "title^2"}}, "query_string", [("title", 2.0)]),
        ({"simple_query_string": {"query": "+red +shoes -blue"}}, "simple_query_string", []),
        ({"bool": {"must": MATCH}}, "bool.must.match", [("title", 1.0)]),
        ({"bool": {"must": [{"bool": {"must": [MATCH]}}], "boost": 2}}, "bool.must.bool.must.match", [("title", 2.0)]),
        ({"bool": {"should": [MATCH]}}, "bool.should.match", [("title", 1.0)]),
        ({"dis_max": {"queries": [MATCH]}}, "dis_max.match", [("title", 1.0)]),
        ({"hybrid": {"queries": [MATCH]}}, "hybrid.match", [("title", 1.0)]),
        ({"function_score": {"query": MATCH, "functions": []}}, "function_score.match", [("title", 1.0)]),
        ({"script_score": {"query": MATCH, "script": {}}}, "script_score.match", [("title", 1.0)]),
        ({"constant_score": {"filter": MATCH, "boost": 2}}, "constant_score.match", [("title", 2.0)]),
        (
            {"boosting": {"positive": MATCH, "negative": {"match": {"title": "used"}}}},
            "boosting.match",
            [("title", 1.0)],
        ),
        ({"nested": {"path": "offer", "query": {"match": {"offer.title": "red shoes"}}}}, "nested.match", None),
        ({"pinned": {"ids": ["1"], "organic": MATCH}}, "pinned.match", [("title", 1.0)]),
        ({"semantic": {"field": "body", "query": "red shoes"}}, "semantic", [("body", 1.0)]),
        ({"sparse_vector": {"field": "v", "query": "red shoes"}}, "sparse_vector", [("v", 1.0)]),
        ({"text_expansion": {"v": {"model_text": "red shoes"}}}, "text_expansion", []),
        ({"neural": {"v": {"query_text": "red shoes", "k": 5}}}, "neural", []),
        ({"knn": {"field": "v", "k": 5, **EMBEDDED}}, "knn", []),
        (
            {"wrapper": {"query": base64.b64encode(json.dumps(MATCH).encode()).decode()}},
            "wrapper.match",
            [("title", 1.0)],
        ),
    ],
)
def test_each_query_that_holds_a_text(query: Any, source: str, fields: list[tuple[str, float]] | None) -> None:
    found = find(query)
    assert found is not None
    assert found.text == "red shoes"
    assert found.source == source
    if fields is not None:
        assert fields_of(query) == fields


@pytest.mark.parametrize(
    "query",
    [
        None,
        {},
        [],
        "red shoes",
        {"match_all": {}},
        {"term": {"brand": "acme"}},
        {"terms": {"brand": ["acme"]}},
        {"range": {"price": {"gte": 1}}},
        {"prefix": {"title": "re"}},
        {"bool": {"filter": [MATCH]}},
        {"bool": {"must_not": MATCH}},
        {"bool": {"filter": {"bool": {"must": [MATCH]}}}},
        {"bool": []},
        {"boosting": {"negative": MATCH}},
        {"function_score": {"functions": [{"filter": MATCH}]}},
        {"match": {"title": "  "}},
        {"match": {"price": 5}},
        {"match": {"title": {"query": ["red"]}}},
        {"match": {"title": {"operator": "and"}}},
        {"multi_match": {"query": 5}},
        {"query_string": {"query": "*:*"}},
        {"wrapper": {"query": "%%%"}},
        {"wrapper": {"query": base64.b64encode(b"[").decode()}},
        {"wrapper": {}},
        {"semantic": {"field": 5, "query": "x"}},
        {"neural": {"v": {"query_image": "x"}}},
        {"knn": {"field": "v", "query_vector": [1.0], "k": 5, "filter": MATCH}},
    ],
)
def test_no_text(query: Any) -> None:
    assert find(query) is None


def test_what_filters_give_nothing_beside_a_clause_that_scores() -> None:
    query = {
        "bool": {
            "must": {"match": {"title": "red shoes"}},
            "filter": [{"match": {"brand": "acme"}}],
            "must_not": [{"match": {"title": "used"}}],
        }
    }
    found = find(query)
    assert found is not None
    assert found.text == "red shoes"
    assert fields_of(query) == [("title", 1.0)]


def test_a_query_beside_knn() -> None:
    found = find_query_text({"knn": {"field": "v", "k": 5, "filter": {"match": {"a": "no"}}}, "query": MATCH}, None)
    assert found is not None
    assert found.text == "red shoes"


@pytest.mark.parametrize(
    ("retriever", "text"),
    [
        ({"standard": {"query": MATCH}}, "red shoes"),
        ({"standard": {"query": MATCH, "filter": {"match": {"title": "no"}}}}, "red shoes"),
        ({"rescorer": {"retriever": {"standard": {"query": MATCH}}, "rescore": {}}}, "red shoes"),
        ({"rrf": {"retrievers": [{"knn": {"field": "v"}}, {"standard": {"query": MATCH}}]}}, "red shoes"),
        ({"linear": {"retrievers": [{"retriever": {"standard": {"query": MATCH}}, "weight": 2}]}}, "red shoes"),
        ({"rrf": {"retrievers": 5}}, None),
        ({"knn": {"field": "v"}}, None),
        ({"standard": []}, None),
        ([], None),
    ],
)
def test_retrievers(retriever: Any, text: str | None) -> None:
    found = find_query_text({"retriever": retriever}, None)
    assert (found.text if found else None) == text


def many(*texts: str, key: str = "must") -> dict[str, Any]:
    return {"bool": {key: [{"match": {f"f{position}": text}} for position, text in enumerate(texts)]}}


@pytest.mark.parametrize(
    ("query", "text", "fields"),
    [
        # several required ones are joined in order, duplicates dropped (letter case and white space count not)
        (many("red", "shoes"), "red shoes", ["f0", "f1"]),
        (many("red shoes", " Red  SHOES ", "for men"), "red shoes for men", ["f0", "f1", "f2"]),
        # required before should
        ({"bool": {"should": [{"match": {"a": "maybe"}}], "must": [{"match": {"b": "sure"}}]}}, "sure", ["b"]),
        # a should clause with the required text still tells of fields
        (
            {"bool": {"should": [{"match": {"a": "Sure"}}, {"match": {"c": "x"}}], "must": [{"match": {"b": "sure"}}]}},
            "sure",
            ["b", "a"],
        ),
        # what stands under should is not required, whatever lies between
        ({"bool": {"should": [{"bool": {"must": [{"match": {"a": "x"}}]}}, {"match": {"b": "y"}}]}}, "x", ["a"]),
        ({"dis_max": {"queries": [{"bool": {"must": {"match": {"a": "x"}}}}, {"match": {"b": "y"}}]}}, "x", ["a"]),
        # among shoulds: what most share, then the first
        (many("one", "two", "Two", key="should"), "two", ["f1", "f2"]),
        (many("one", "two", key="should"), "one", ["f0"]),
        (many("one", "two", "two", "one", key="should"), "one", ["f0", "f3"]),
        # required through wrappers
        (
            {
                "function_score": {
                    "query": {"bool": {"must": [{"match": {"a": "x"}}], "should": [{"match": {"b": "y"}}]}}
                }
            },
            "x",
            ["a"],
        ),
    ],
)
def test_choice_among_several(query: Any, text: str, fields: list[str]) -> None:
    found = find(query)
    assert found is not None
    assert found.text == text
    assert [name for name, _ in fields_of(query)] == fields


def test_boosts_multiply_on_the_way_down() -> None:
    query = {
        "bool": {
            "boost": 2,
            "must": {"function_score": {"boost": "3", "query": {"match": {"title": {"query": "x", "boost": 5}}}}},
        }
    }
    assert fields_of(query) == [("title", 30.0)]


@pytest.mark.parametrize("boost", [True, "x", None, [], 10**400])
def test_boosts_that_are_none_count_as_one(boost: Any) -> None:
    assert fields_of({"match": {"title": {"query": "x", "boost": boost}}}) == [("title", 1.0)]


def test_the_given_text_wins_and_all_clauses_tell_of_fields() -> None:
    query = {"bool": {"must": MATCH, "should": [{"match": {"brand": "acme"}}]}}
    found = find(query, "  running \n shoes ")
    assert found is not None
    assert (found.text, found.source) == ("running shoes", "given")
    assert [name for clause in found.clauses for name, _ in clause.fields] == ["title", "brand"]


def test_the_given_text_needs_no_query() -> None:
    assert find_query_text({}, "shoes") == QueryText("shoes", "given", ())


def test_a_blank_given_text_counts_as_none() -> None:
    found = find(MATCH, "  ")
    assert found is not None
    assert found.source == "match"


def test_normalise() -> None:
    assert normalise(" a\t\n b\u00a0c ") == "a b c"
    assert len(normalise("ab " * 10_000)) == MAX_QUERY_CHARACTERS
    assert normalise(" " * 100_000) == ""


def test_a_query_nested_too_deep_holds_no_text() -> None:
    query: dict[str, Any] = MATCH
    for _ in range(70):
        query = {"bool": {"must": query}}
    assert find(query) is None
    retriever: dict[str, Any] = {"standard": {"query": MATCH}}
    for _ in range(70):
        retriever = {"rescorer": {"retriever": retriever}}
    assert find_query_text({"retriever": retriever}, None) is None


def test_many_different_clauses_are_joined_and_cut() -> None:
    found = find(many(*[f"word{number}" for number in range(20_000)]))
    assert found is not None
    assert found.text.startswith("word0 word1 word2 ")
    assert len(found.text) <= MAX_QUERY_CHARACTERS


def test_a_clause_says_where_it_stands() -> None:
    found = find({"bool": {"must": [MATCH], "should": [MATCH]}})
    assert found is not None
    assert found.source == "bool.must.match, bool.should.match"
    assert found.clauses == (
        TextClause("bool.must.match", "red shoes", (("title", 1.0),), True),
        TextClause("bool.should.match", "red shoes", (("title", 1.0),), False),
    )


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{query.bool.must.0.match.title}", "red shoes"),
        ("{query.bool.must.match.title}", "red shoes"),
        ("{query.bool.must.1.match.brand.name} {query.bool.must.0.match.title}", "acme red shoes"),
        ("{query.bool.must.0.match.title} by {query.bool.must.9.match.brand}", "red shoes"),
        ("{query.bool.must.9.match.brand}: {query.bool.must.0.match.title}", ": red shoes"),
        ("about {query.bool.must.0.match.title}!", "about red shoes!"),
        ("{query.bool.filter.term.words}", "a b"),
    ],
)
def test_a_template_takes_texts_from_anywhere_in_the_body(template: str, text: str) -> None:
    body = {
        "query": {
            "bool": {
                "must": [{"match": {"title": {"query": "red  shoes"}}}, {"match": {"brand.name": "acme"}}],
                "filter": {"term": {"words": ["a", "b", 3]}},
            }
        }
    }
    found = find_query_text(body, None, parse_template(template))
    assert found is not None
    assert (found.text, found.source) == (text, f"template {template}")
    assert {clause.fields[0][0] for clause in found.clauses} == {"title", "brand.name"}


@pytest.mark.parametrize("template", ["{query.match.other}", "{query.match.title.x}", "{size}", "{query}", "only {a}"])
def test_a_template_that_leads_nowhere_leaves_it_to_the_query(template: str) -> None:
    found = find_query_text({"query": {"match": {"title": "shoes"}}, "size": 3}, None, parse_template(template))
    assert found is not None
    assert (found.text, found.source) == ("shoes", "match")


def test_what_a_client_gives_wins_over_the_template() -> None:
    found = find_query_text({"query": {"match": {"title": "shoes"}}}, "boots", parse_template("{query.match.title}"))
    assert found is not None
    assert (found.text, found.source) == ("boots", "given")


@pytest.mark.parametrize(
    ("body", "source"),
    [
        ({"knn": {"field": "v", "k": 5, **EMBEDDED}}, "knn"),
        ({"knn": [{"field": "w", "query_vector": [1], "k": 5}, {"field": "v", "k": 5, **EMBEDDED}]}, "knn"),
        ({"retriever": {"knn": {"field": "v", "k": 5, **EMBEDDED}}}, "knn"),
        ({"query": MATCH, "knn": {"field": "v", "k": 5, **EMBEDDED}}, "match, knn"),
    ],
)
def test_a_text_of_which_the_cluster_makes_a_vector(body: dict[str, Any], source: str) -> None:
    found = find_query_text(body, None)
    assert found is not None
    assert (found.text, found.source) == ("red shoes", source)


@pytest.mark.parametrize("builder", [None, "x", {}, {"text_embedding": "x"}, {"text_embedding": {"model_text": " "}}])
def test_a_vector_without_a_text_has_none(builder: object) -> None:
    assert find_query_text({"knn": {"field": "v", "k": 5, "query_vector_builder": builder}}, None) is None
