"""Strategies for whole searches: target, URL parameters and body, mostly such as the engine takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from hypothesis import strategies as st

from tests.e2e.requests import JSON, NDJSON, Request, ndjson
from tests.identity.corpus import BARE, MAIN, ODD, OLD, OPEN, ROUTED, ROUTINGS, SHOP
from tests.identity.queries import Json, filters, match, queries, texts, vectors, weighted, words

Params = dict[str, str]


@dataclass(frozen=True)
class Part:
    """A piece of a search, to be put together with others."""

    body: Json
    params: Params


def _body(*choices: Json) -> st.SearchStrategy[Part]:
    return st.sampled_from(choices).map(lambda body: Part(body, {}))


def _built(build: Any, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Part]:
    return st.builds(lambda *values: Part(build(*values), {}), *arguments)


def _url(*choices: Params) -> st.SearchStrategy[Part]:
    return st.sampled_from(choices).map(lambda params: Part({}, params))


_source = st.one_of(
    _body(
        {"_source": False},
        {"_source": True},
        {"_source": "title"},
        {"_source": ["title", "pri*", "offers.amount"]},
        {"_source": []},
        {"_source": {}},
        {"_source": {"includes": ["*e", "maker.*"], "excludes": ["maker.name", "title"]}},
        {"_source": {"excludes": ["title", "body", "vector"]}},
        {"_source": {"include": "title"}},
        {"_source": "false"},
    ),
    _url(
        {"_source": "false"},
        {"_source": "title,brand"},
        {"_source_includes": "title,offers.*"},
        {"_source_excludes": "title,body"},
        {"_source": "true", "_source_excludes": "t*"},
        {"_source_exclude_vectors": "true"},
        {"_source_exclude_vectors": "false"},
    ),
)
_fields = _body(
    {"fields": ["title", {"field": "added", "format": "yyyy"}]},
    {"fields": ["*"]},
    {"fields": ["offers.*", "maker_brand", "code"], "_source": False},
    {"fields": []},
    {"fields": ["body"], "_source": ["title"]},
    {"fields": ["no_such_field"]},
    {"docvalue_fields": ["price", "brand", {"field": "added", "format": "epoch_millis"}]},
    {"docvalue_fields": ["title.raw"], "_source": False},
    {"stored_fields": ["sku"]},
    {"stored_fields": ["sku", "title"], "_source": True},
    {"stored_fields": []},
    {"stored_fields": "_none_"},
    {"stored_fields": ["_routing"]},
)
_url_fields = _url({"stored_fields": "sku"}, {"docvalue_fields": "brand,price"})
_fragments = st.sampled_from(
    (
        {},
        {"number_of_fragments": 1},
        {"number_of_fragments": 0},
        {"type": "plain"},
        {"type": "fvh"},
        {"no_match_size": 30},
        {"require_field_match": False},
        {"fragment_size": 40, "order": "score"},
    )
)
_highlight = st.one_of(
    _built(lambda options: {"highlight": {"fields": {"body": options}}}, _fragments),
    _built(
        lambda options: {"highlight": {"fields": {"title": {}}, "pre_tags": ["<b>"], "post_tags": ["</b>"], **options}},
        st.sampled_from(({}, {"encoder": "html"}, {"require_field_match": False})),
    ),
    _body({"highlight": {"fields": [{"title": {}}, {"maker.name": {}}]}}),
)
_aggregations: tuple[Json, ...] = (
    {"brands": {"terms": {"field": "brand"}, "aggs": {"price": {"avg": {"field": "price"}}}}},
    {"months": {"date_histogram": {"field": "added", "calendar_interval": "month"}}},
    {"prices": {"histogram": {"field": "price", "interval": 20}}},
    {"best": {"top_hits": {"size": 2, "_source": ["title"]}}},
    {"offers": {"nested": {"path": "offers"}, "aggs": {"most": {"max": {"field": "offers.amount"}}}}},
    {"some": {"sampler": {"shard_size": 5}, "aggs": {"stock": {"stats": {"field": "stock"}}}}},
    {"kinds": {"cardinality": {"field": "brand"}}, "cheap": {"filter": {"range": {"price": {"lt": 9}}}}},
    {"all": {"global": {}, "aggs": {"brands": {"value_count": {"field": "brand"}}}}},
    {"pairs": {"composite": {"sources": [{"brand": {"terms": {"field": "brand"}}}]}}},
)
_aggs = st.builds(
    lambda key, aggs, params: Part({key: aggs}, params),
    st.sampled_from(("aggs", "aggregations")),
    st.sampled_from(_aggregations),
    st.sampled_from(({}, {"typed_keys": "true"})),
)
_suggest = st.one_of(
    _built(lambda word: {"suggest": {"fix": {"text": word[:-1] + "q", "term": {"field": "title"}}}}, words),
    _built(lambda text: {"suggest": {"text": text, "whole": {"phrase": {"field": "body"}}}}, texts),
    _built(lambda word: {"suggest": {"start": {"prefix": word[:2], "completion": {"field": "suggest"}}}}, words),
)
_collapse = _body(
    {"collapse": {"field": "brand"}},
    {"collapse": {"field": "stock"}},
    {"collapse": {"field": "sku"}},
    {"collapse": {"field": "stock", "inner_hits": {"name": "more", "size": 2, "sort": [{"price": "asc"}]}}},
    {
        "collapse": {
            "field": "stock",
            "inner_hits": [{"name": "one", "size": 1}, {"name": "two", "size": 2, "_source": ["title"]}],
            "max_concurrent_group_searches": 2,
        }
    },
)
_rescore_query = st.builds(
    lambda query, window, mode, weight: {
        "window_size": window,
        "query": {
            "rescore_query": query,
            "score_mode": mode,
            "query_weight": 0.7,
            "rescore_query_weight": weight,
        },
    },
    match,
    st.sampled_from((5, 17, 50)),
    st.sampled_from(("total", "multiply", "avg", "max", "min")),
    st.sampled_from((0.5, 1.7)),
)
_rescore = st.one_of(
    _built(lambda one: {"rescore": one}, _rescore_query),
    _built(lambda ones: {"rescore": ones}, st.lists(_rescore_query, min_size=1, max_size=2)),
    _built(lambda one: {"rescore": {"query": {"rescore_query": one}}}, match),
)
_sort = st.one_of(
    _body(
        {"sort": ["_score"]},
        {"sort": "_score"},
        {"sort": []},
        {"sort": [{"_score": "desc"}, {"price": {"order": "asc", "missing": "_first"}}]},
        {"sort": ["_score", {"sku": "desc"}]},
        {"sort": {"_score": {"order": "desc"}, "added": "asc"}},
        {"sort": [{"price": "desc"}], "track_scores": True},
        {"sort": ["_doc"]},
        {"sort": [{"_score": "asc"}]},
    ),
    _url({"sort": "_score"}, {"sort": "_score:desc,price:asc"}, {"sort": "price:desc", "track_scores": "true"}),
)
_per_hit = _body(
    {"version": True},
    {"seq_no_primary_term": True},
    {"version": True, "seq_no_primary_term": True, "explain": True},
    {"explain": True},
    {"explain": "true"},
    {"profile": True},
    {"track_scores": True},
)
_totals = st.one_of(
    _body({"track_total_hits": False}, {"track_total_hits": 5}, {"track_total_hits": True}),
    _url(
        {"rest_total_hits_as_int": "true"},
        {"track_total_hits": "false"},
        {"track_total_hits": "7"},
        {"track_total_hits": "true", "rest_total_hits_as_int": ""},
    ),
)
_limits = _body(
    {"timeout": "20s"},
    {"min_score": 0.4},
    {"min_score": 1.5},
    {"indices_boost": [{MAIN: 1.5}, {OLD: 0.7}]},
    {"stats": ["group"]},
    {"terminate_after": 200},
)
_post_filter = _built(lambda one: {"post_filter": one}, filters)
_runtime = st.builds(
    lambda kind, more: Part({"runtime_mappings": {"extra.note": {"type": kind}}, **more}, {}),
    st.just("keyword"),
    st.sampled_from(
        ({"fields": ["extra.note"]}, {"aggs": {"notes": {"terms": {"field": "extra.note"}}}}, {"_source": False})
    ),
)
_scripts = _body(
    {"script_fields": {"twice": {"script": {"source": "doc['price'].size() * 2"}}}},
    {"script_fields": {"title": {"script": {"source": "doc['stock'].size()"}}}, "_source": True},
    {"derived": {"size": {"type": "long", "script": {"source": "emit(doc['price'].size())"}}}, "fields": ["size"]},
)
_parameters = _url(
    {"preference": "_local"},
    {"preference": "someone"},
    {"routing": ROUTINGS[0]},
    {"routing": ",".join(ROUTINGS)},
    {"search_type": "dfs_query_then_fetch"},
    {"batched_reduce_size": "2"},
    {"pre_filter_shard_size": "1"},
    {"max_concurrent_shard_requests": "1"},
    {"ignore_unavailable": "true", "allow_no_indices": "true"},
    {"expand_wildcards": "all"},
    {"ccs_minimize_roundtrips": "false"},
    {"request_cache": "true"},
    {"allow_partial_search_results": "false"},
    {"explain": "true"},
    {"version": "true", "seq_no_primary_term": ""},
    {"human": "true"},
    {"pretty": "true"},
    {"pretty": ""},
    {"terminate_after": "150"},
    {"timeout": "30s"},
    {"q": "red shoe"},
    {"q": "title:blue OR body:steel", "df": "title"},
    {"q": "phone case", "default_operator": "AND", "analyze_wildcard": "true"},
    {"track_scores": "true"},
    {"typed_keys": ""},
    {"include_named_queries_score": "true"},
    {"error_trace": "true"},
)
_filter_path = _url(
    {"filter_path": "hits.hits._id,hits.hits._score"},
    {"filter_path": "-hits.hits._source"},
    {"filter_path": "hits.total,took"},
    {"filter_path": "**._id,hits.hits.fields.*"},
    {"filter_path": "hits.hits._source.t*,-hits.hits._source.tags"},
)
_refused = st.one_of(
    _body({"no_such_key": 1}, {"size": -1}, {"query": {"no_such_query": {}}}, {"sort": ["no_such_field"]}),
    _body({"search_after": [1]}, {"slice": {"id": 0, "max": 2}}, {"from": 9999}, {"size": None}, {"ext": {"none": {}}}),
    _url({"size": ""}, {"no_such_parameter": "1"}, {"from": "-1"}, {"pretty": "maybe"}),
    st.sampled_from((Part({"size": "many"}, {"size": "3"}), Part({"from": -1}, {"from": "0"}))),
)
_numbers = st.one_of(st.integers(1, 12), st.sampled_from((3, 10, 25, 60, 100)))
_starts = weighted((3, st.just(0)), (3, st.integers(0, 15)), (1, st.sampled_from((20, 29, 30, 31, 45, 400))))
_page = weighted(
    (4, st.just(Part({}, {}))),
    (4, st.builds(lambda size: Part({"size": size}, {}), _numbers)),
    (6, st.builds(lambda start, size: Part({"from": start, "size": size}, {}), _starts, _numbers)),
    (2, st.builds(lambda start, size: Part({"from": start, "size": 5}, {"size": str(size)}), _starts, _numbers)),
    (2, st.builds(lambda start, size: Part({"from": 2, "size": size}, {"from": str(start)}), _starts, _numbers)),
    (1, st.builds(lambda size: Part({"size": str(size)}, {}), _numbers)),
    (1, _body({"size": 2.7}, {"size": 0}, {"from": "3"}, {"size": "1e1"})),
)
_targets = st.sampled_from(
    (MAIN,) * 9
    + (SHOP,) * 3
    + (
        f"{MAIN},{OLD}",
        "identity-*",
        f"identity-*,-{ODD}",
        OPEN,
        OPEN,
        ROUTED,
        ROUTED,
        OLD,
        OLD,
        BARE,
        ODD,
        ODD,
        f"{MAIN},{BARE}",
    )
)


def _knn(k: int | None, vector: list[float], more: Json) -> Json:
    asked = {} if k is None else {"k": k}
    return {"knn": {"field": "vector", "query_vector": vector, **asked, "num_candidates": 60, **more}}


_knn_section = st.builds(
    lambda k, vector, more: Part(_knn(k, vector, more), {}),
    st.sampled_from((5, 20, 40, None)),
    vectors,
    st.sampled_from(({}, {"boost": 0.3}, {"filter": {"term": {"available": True}}}, {"similarity": 0.8})),
)


_open_vectors = _built(
    lambda place, vector: place({"knn": {"field": "vector", "query_vector": vector}}),
    st.sampled_from(
        (
            lambda open_end: {"post_filter": {"bool": {"must": open_end}}},
            lambda open_end: {"rescore": {"window_size": 17, "query": {"rescore_query": open_end}}},
            lambda open_end: {"aggs": {"near": {"filter": open_end}}},
        )
    ),
    vectors,
)
"""Without ``k`` it is the size, which must stay the client's wherever it stands."""


def _retrievers(query: st.SearchStrategy[Json], newest: bool) -> st.SearchStrategy[Json]:
    standard = st.builds(
        lambda one, more: {"standard": {"query": one, **more}},
        query,
        st.sampled_from(
            (
                *({}, {}, {}),
                {"filter": {"term": {"available": True}}},
                {"min_score": 0.3},
                {"sort": ["_score", {"sku": "desc"}]},
                {"sort": [{"price": "desc"}]},
                {"collapse": {"field": "brand"}},
                {"terminate_after": 100},
            )
        ),
    )
    outermost = st.builds(
        lambda one, more: {"standard": {**one["standard"], **more}},
        standard,
        st.sampled_from(
            (
                {},
                {"sort": [{"price": "desc"}]},
                {"sort": ["_score", {"price": "asc"}]},
                {"collapse": {"field": "brand"}},
                {"terminate_after": 20},
            )
        ),
    )
    nearest = st.builds(lambda k, vector: _knn(k, vector, {}), st.sampled_from((10, 40)), vectors)
    rescored = st.builds(
        lambda one, again: {"rescorer": {"retriever": one, "rescore": again}}, standard, _rescore_query
    )
    diverse = st.builds(
        lambda one, size: {
            "diversify": {"type": "mmr", "field": "vector", "retriever": one, "rank_window_size": size, "lambda": 0.5}
        },
        standard,
        st.sampled_from((10, 30)),
    )
    return st.one_of(outermost, outermost, nearest, rescored, *([diverse] if newest else []))


def _part_lists(elasticsearch: bool) -> st.SearchStrategy[list[Part]]:
    """Weights by how much can go wrong with it."""
    kinds = [(3, _source), (2, _fields), (1, _url_fields), (2, _highlight), (2, _aggs), (1, _suggest), (2, _collapse)]
    kinds += [(2, _rescore), (2, _sort), (3, _per_hit), (2, _totals), (2, _limits), (2, _post_filter), (4, _parameters)]
    kinds += [(1, _filter_path)]
    kinds += [(1, _runtime), (1, _knn_section), (1, _open_vectors)] if elasticsearch else [(2, _scripts)]
    return st.lists(weighted(*kinds), max_size=5)


def _merge(parts: list[Part]) -> tuple[Json, Params]:
    body: Json = {}
    params: Params = {}
    for part in parts:
        body.update(part.body)
        params.update(part.params)
    return body, params


def _made_valid(body: Json, params: Params, elasticsearch: bool) -> None:
    """Take out what cannot stand beside something else."""
    if params.get("track_total_hits") != "true" and "rest_total_hits_as_int" in params and elasticsearch:
        body.pop("track_total_hits", None)
    if "retriever" in body:
        for key in ("query", "knn", "sort", "rescore", "terminate_after"):
            body.pop(key, None)
        for key in ("sort", "q", "terminate_after", "df", "default_operator", "analyze_wildcard"):
            params.pop(key, None)
        size = body.get("size", 10)
        if ("rescorer" in body["retriever"] or "diversify" in body["retriever"]) and isinstance(size, int):
            body["size"] = min(5, size)
            params.pop("size", None)
    if "collapse" in body:
        body.pop("rescore", None)
    if "rescore" in body:
        body.pop("sort", None)
        params.pop("sort", None)
    if body.get("stored_fields") == "_none_":
        for key in ("_source", "fields", "version", "highlight"):
            body.pop(key, None)
        for key in ("_source", "_source_includes", "_source_excludes", "_source_exclude_vectors", "version"):
            params.pop(key, None)


@dataclass(frozen=True)
class Style:
    """How a search is written down."""

    indent: int | None = None
    ascii_only: bool = True
    reverse_keys: bool = False
    method: str = "POST"
    in_url: bool = False
    """The body stands in ``?source=``."""


_styles = st.one_of(
    st.just(Style()),
    st.builds(
        Style,
        st.sampled_from((None, 1)),
        st.booleans(),
        st.booleans(),
        st.sampled_from(("POST", "GET")),
        st.just(False),
    ),
    st.builds(Style, in_url=st.booleans(), method=st.just("GET")),
)


def as_request(target: str, body: Json, params: Params, style: Style) -> Request:
    """Write a search down."""
    ordered = dict(reversed(body.items())) if style.reverse_keys else body
    encoded = json.dumps(ordered, indent=style.indent, ensure_ascii=style.ascii_only).encode()
    headers = {"Content-Type": JSON}
    content: bytes | None = encoded
    if style.in_url and len(encoded) < 1000:
        params = {**params, "source": encoded.decode(), "source_content_type": JSON}
        headers, content = {}, None
    query_string = "&".join(f"{name}={quote_plus(value)}" if value else name for name, value in params.items())
    path = f"/{quote(target, safe=',*-')}/_search" + (f"?{query_string}" if query_string else "")
    return Request(style.method, path, content, headers)


def _draw_search(draw: st.DrawFn, engine: str) -> tuple[Json, Params]:
    """Draw a body and the URL's parameters, such as the engine takes."""
    elasticsearch = engine.startswith("es")
    query = queries(engine)
    parts = [draw(_page), *draw(_part_lists(elasticsearch))]
    body, params = _merge(parts)
    if engine != "es9":
        params.pop("_source_exclude_vectors", None)  # unknown to all before
    body = {"query": draw(query), **body}
    if elasticsearch and draw(st.integers(0, 9)) == 9:
        body["retriever"] = draw(_retrievers(query, newest=engine == "es9"))
    if "aggs" in body and "aggregations" in body:
        del body["aggs"]
    _made_valid(body, params, elasticsearch)
    if engine == "os3" and "completion" in json.dumps(body.get("suggest", {})):
        # Of both together it makes an error 500, and now and then no answer at all.
        body.pop("track_scores", None)
        params.pop("track_scores", None)
    return body, params


@st.composite
def searches(draw: st.DrawFn, engine: str) -> Request:
    """Searches for an engine: ``es8``, ``es9``, ``os`` or ``os3``. About one in thirty is made to be refused."""
    body, params = _draw_search(draw, engine)
    if draw(st.integers(0, 29)) == 29:
        more_body, more_params = _merge([draw(_refused)])
        body.update(more_body)
        params.update(more_params)
    return as_request(draw(_targets), body, params, draw(_styles))


_headers = st.sampled_from(
    ({}, {}, {}, {"preference": "_local"}, {"search_type": "dfs_query_then_fetch"}, {"request_cache": True})
)
_multi_params = st.sampled_from(
    (
        *("", "", "", "", "typed_keys", "rest_total_hits_as_int=true", "pretty", "max_concurrent_searches=1"),
        "filter_path=responses.hits.hits._id,responses.hits.hits._score,took",
        "filter_path=-**._source",
        "filter_path=**._id,**.fields.*,responses.status",
        "filter_path=responses.hits.hits._source.t*,-**.tags,responses.error.type",
        "filter_path=responses.hits.total",
    )
)


_early_page = _built(lambda start, size: {"from": start, "size": size}, st.integers(0, 5), st.integers(1, 12))
_shown_parts = st.lists(
    weighted((3, _source), (2, _fields), (2, _highlight), (2, _aggs), (1, _suggest), (2, _per_hit), (2, _totals)),
    max_size=3,
)


def _draw_reranked(draw: st.DrawFn) -> Json:
    """Draw a body that every rule reranks where it is asked of `MAIN`: it has many hits, a page within the window."""
    body, _ = _merge([draw(_early_page), *draw(_shown_parts)])
    if body.get("stored_fields") == "_none_":
        del body["stored_fields"]
    return {"query": {"match": {"title": draw(texts)}}, **body}


@st.composite
def multi_searches(draw: st.DrawFn, engine: str) -> Request:
    """Multi-searches for an engine, of one to five searches; about one item in fifty has no index to search.

    Half of the items are such as are reranked for sure: else whole multi-searches would be left alone.
    """
    params = draw(_multi_params)
    count = draw(st.integers(1, 5))
    reranked = draw(st.integers(0, count - 1))
    lines: list[Json] = []
    for place in range(count):
        if place == reranked or draw(st.booleans()):
            target, body = MAIN, _draw_reranked(draw)
        else:
            target = "identity-nowhere" if draw(st.integers(0, 49)) == 49 else draw(_targets)
            body, _ = _draw_search(draw, engine)
        body.pop("profile", None)  # it tells of the search that the engine really ran
        if "rest_total_hits_as_int" in params:
            body.pop("track_total_hits", None)
        lines += [{"index": target, **draw(_headers)}, body]
    path = "/_msearch" + (f"?{params}" if params else "")
    return Request("POST", path, ndjson(*lines), {"Content-Type": NDJSON})
