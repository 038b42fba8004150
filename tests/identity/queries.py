"""Strategies for queries: every kind that the engines' cores have, with texts that occur in the corpus."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import strategies as st

from tests.identity.corpus import BRANDS, DIMENSIONS, WORDS

Json = dict[str, Any]

TEXT_FIELDS = ("title", "body", "maker.name", "everything")
words = st.sampled_from(WORDS)
texts = st.lists(words, min_size=1, max_size=4).map(" ".join)
boosts = st.sampled_from((0.5, 1, 2, 3.5))
_fields = st.lists(
    st.sampled_from(("title", "title^3", "body", "maker.*", "everything", "*e", "brand")), min_size=1, max_size=3
)


def weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Return one of several strategies, each so often as its weight says (`one_of` would flatten nested choices)."""
    wheel = [position for position, (weight, _) in enumerate(choices) for _ in range(weight)]
    return st.sampled_from(wheel).flatmap(lambda position: choices[position][1])


def _optional(**options: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=options)


def _with(required: st.SearchStrategy[Json], **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.builds(lambda must, may: {**must, **may}, required, _optional(**options))


def _field_clause(kind: str, value: st.SearchStrategy[Any], field: st.SearchStrategy[str]) -> st.SearchStrategy[Json]:
    return st.builds(lambda name, options: {kind: {name: options}}, field, value)


def _query_object(text: st.SearchStrategy[str], **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return _with(st.builds(lambda value: {"query": value}, text), **options)


_text_field = st.sampled_from(TEXT_FIELDS)
_operator = st.sampled_from(("and", "or"))
_name = st.sampled_from(("first", "second"))

match = st.one_of(
    _field_clause("match", texts, _text_field),
    _field_clause(
        "match",
        _query_object(
            texts,
            operator=_operator,
            fuzziness=st.sampled_from(("AUTO", 1)),
            boost=boosts,
            minimum_should_match=st.sampled_from((1, "50%")),
            _name=_name,
            zero_terms_query=st.sampled_from(("none", "all")),
        ),
        _text_field,
    ),
)
_match_kinds = st.one_of(
    _field_clause("match_phrase", _query_object(texts, slop=st.integers(0, 4)), _text_field),
    _field_clause("match_phrase_prefix", _query_object(texts, max_expansions=st.just(20)), st.just("title")),
    _field_clause("match_bool_prefix", _query_object(texts, operator=_operator), st.sampled_from(("title", "body"))),
)
_multi_match = st.builds(
    lambda options: {"multi_match": options},
    _query_object(
        texts,
        fields=_fields,
        type=st.sampled_from(("best_fields", "most_fields", "cross_fields", "phrase", "bool_prefix")),
        tie_breaker=st.sampled_from((0.0, 0.3)),
        boost=boosts,
    ),
)
_lucene = st.sampled_from(
    ("{0} OR {1}", "+{0} -{1}", "title:({0} {1})", '"{0} {1}"~3', "{0}* {1}~1", "{0} AND brand:Acme")
)
_simple = st.sampled_from(("{0} | {1}", "+{0} -{1}", '"{0} {1}"', "{0}* {1}~1", "({0} {1})"))
_syntax = st.one_of(
    st.builds(
        lambda form, one, two, options: {"query_string": {"query": form.format(one, two), **options}},
        _lucene,
        words,
        words,
        _optional(default_field=_text_field, default_operator=_operator, lenient=st.just(True), boost=boosts),
    ),
    st.builds(
        lambda form, one, two, options: {"simple_query_string": {"query": form.format(one, two), **options}},
        _simple,
        words,
        words,
        _optional(fields=_fields, default_operator=_operator, lenient=st.just(True)),
    ),
)
_spans = st.builds(
    lambda one, two, slop, ordered: {
        "span_near": {
            "clauses": [{"span_term": {"body": one}}, {"span_term": {"body": two}}],
            "slop": slop,
            "in_order": ordered,
        }
    },
    words,
    words,
    st.integers(0, 9),
    st.booleans(),
)
_intervals = st.builds(
    lambda text, gaps: {"intervals": {"body": {"match": {"query": text, "max_gaps": gaps}}}}, texts, st.integers(-1, 9)
)
_alike = st.builds(
    lambda text: {"more_like_this": {"fields": ["title", "body"], "like": text, "min_term_freq": 1, "min_doc_freq": 1}},
    texts,
)
_combined = st.builds(lambda options: {"combined_fields": options}, _query_object(texts, operator=_operator)).map(
    lambda query: {"combined_fields": {**query["combined_fields"], "fields": ["title^2", "body"]}}
)

filters: st.SearchStrategy[Json] = st.one_of(
    st.builds(lambda brand: {"term": {"brand": brand}}, st.sampled_from(BRANDS)),
    st.builds(lambda tags: {"terms": {"tags": tags}}, st.lists(words, min_size=1, max_size=4)),
    st.builds(lambda low: {"range": {"price": {"gte": low, "lt": low + 40}}}, st.integers(0, 60)),
    st.builds(lambda month: {"range": {"added": {"gte": f"2026-{month:02}-01"}}}, st.integers(1, 9)),
    st.sampled_from(
        (
            {"exists": {"field": "title"}},
            {"term": {"available": True}},
            {"term": {"maker_brand": "Acme"}},
            {"prefix": {"brand": "Bo"}},
            {"wildcard": {"title.raw": "*e*"}},
            {"regexp": {"brand": "[AB].*"}},
            {"match_all": {}},
            {"match": {"body": "steel light red shoe"}},
        )
    ),
)

_unscored: st.SearchStrategy[Json] = st.one_of(
    filters,
    st.just({"match_none": {}}),
    st.builds(
        lambda numbers: {"ids": {"values": [f"m{one}" for one in numbers]}}, st.lists(st.integers(0, 99), max_size=9)
    ),
    st.builds(lambda word: {"fuzzy": {"title": word}}, words),
    st.just({"geo_distance": {"distance": "300km", "place": {"lat": 50.5, "lon": 10}}}),
    st.just({"distance_feature": {"field": "added", "pivot": "60d", "origin": "2026-06-01"}}),
)
vectors = st.lists(st.sampled_from((0.1, 0.4, 0.9)), min_size=DIMENSIONS, max_size=DIMENSIONS)
_knn_query = st.builds(
    lambda vector, k: {"knn": {"field": "vector", "query_vector": vector, **k, "num_candidates": 50}},
    vectors,
    st.sampled_from(({"k": 3}, {"k": 10}, {"k": 30}, {})),
)
_functions = st.sampled_from(
    (
        {"weight": 3},
        {"field_value_factor": {"field": "stock", "modifier": "log1p", "missing": 1}},
        {"functions": [{"filter": {"term": {"brand": "Acme"}}, "weight": 5}], "boost_mode": "multiply"},
        {"functions": [{"gauss": {"price": {"origin": 20, "scale": 10}}}], "score_mode": "max"},
        {"random_score": {"seed": 4, "field": "stock"}, "boost_mode": "sum"},
        {"weight": 0.0},
    )
)
_inner = st.one_of(
    st.just({}),
    st.builds(
        lambda size, more: {"inner_hits": {"size": size, **more}},
        st.integers(1, 3),
        st.sampled_from(
            ({}, {"_source": False}, {"highlight": {"fields": {"offers.note": {}}}}, {"_source": ["offers.note"]})
        ),
    ),
)


def _compound(inner: st.SearchStrategy[Json], painless: bool) -> st.SearchStrategy[Json]:
    clauses = st.lists(inner, min_size=1, max_size=2)
    several_filters = st.lists(filters, min_size=1, max_size=2)
    kinds = [
        st.builds(
            lambda options: {"bool": options},
            _with(
                st.one_of(
                    st.builds(lambda one: {"must": one}, clauses), st.builds(lambda one: {"should": one}, clauses)
                ),
                filter=st.one_of(filters, several_filters),
                must_not=filters,
                should=clauses,
                boost=boosts,
                _name=_name,
            ),
        ),
        st.builds(lambda ones: {"dis_max": {"queries": ones, "tie_breaker": 0.4}}, clauses),
        st.builds(lambda one, boost: {"constant_score": {"filter": one, "boost": boost}}, inner, boosts),
        st.builds(
            lambda one, other: {"boosting": {"positive": one, "negative": other, "negative_boost": 0.3}}, inner, filters
        ),
        st.builds(lambda one, options: {"function_score": {"query": one, **options}}, inner, _functions),
        st.builds(
            lambda text, mode, more: {
                "nested": {"path": "offers", "query": {"match": {"offers.note": text}}, "score_mode": mode, **more}
            },
            texts,
            st.sampled_from(("avg", "max", "sum", "none")),
            _inner,
        ).map(lambda nested: {"bool": {"must": nested, "should": {"match": {"title": "red"}}}}),
        st.builds(lambda one: {"wrapper": {"query": base64.b64encode(json.dumps(one).encode()).decode()}}, match),
    ]
    if painless:
        script = {"source": "_score + doc['stock'].size()"}
        kinds.append(st.builds(lambda one: {"script_score": {"query": one, "script": script}}, inner))
    return st.one_of(kinds)


def queries(engine: str) -> st.SearchStrategy[Json]:
    """Queries for an engine; most of them with a text that scores."""
    elasticsearch = engine.startswith("es")
    leaves = [match, match, _match_kinds, _multi_match, _syntax, _spans, _intervals, _alike]
    if engine != "os":
        leaves += [_combined]
    simple = st.one_of(leaves)
    compound = _compound(simple, painless=not elasticsearch)
    deep = _compound(st.one_of(simple, compound), painless=not elasticsearch)
    unscored = [_unscored, _knn_query] if elasticsearch else [_unscored]
    return weighted((9, simple), (8, compound), (2, deep), (1, st.one_of(unscored)))
