"""The rows of the contract: a request for each endpoint, parameter and key, and what is claimed to become of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from tests.contract.corpus import INDEX, OTHER, PIPELINE

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
MATCH: dict[str, Any] = {"match": {"title": "red warm shoe"}}


class Claim(StrEnum):
    """What is claimed of a row."""

    RERANKED = "reranked"
    PASSED = "passed"
    OPT_IN = "opt-in"
    """Passed, unless the rule says otherwise."""


@dataclass(frozen=True)
class Row:
    """One row: a name, what is to be said of it, and a request that shows it."""

    section: str
    name: str
    claim: Claim
    how: str
    """How it changes, or why it is left alone."""
    method: str = "POST"
    path: str = f"/{INDEX}/_search"
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))


def search(**body: Any) -> bytes:
    """Return a search's body, by default of one text."""
    return json.dumps({"query": MATCH, "size": 5, **body}).encode()


def lines(*each: Any) -> bytes:
    """Return lines of a multi-search."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in each)


def _endpoints() -> Iterator[Row]:
    section = "Endpoints"

    def reranked(name: str, path: str, how: str = "", method: str = "POST", body: bytes | None = None) -> Row:
        return Row(section, name, Claim.RERANKED, how, method, path, search() if body is None else body)

    yield reranked("POST /{target}/_search", f"/{INDEX}/_search")
    yield reranked("GET with a body", f"/{INDEX}/_search", "the body is sent on", "GET")
    yield reranked("a last slash", f"/{INDEX}/_search/")
    yield reranked("/_search?index=", f"/_search?index={INDEX}", "rules see the names asked for; the path wins")
    yield reranked("a list of indices", f"/{INDEX},{OTHER}/_search", "a rule must match every name")
    yield reranked("a wildcard", "/contract-*/_search", "compared with rules as it is written")
    yield reranked("an alias", "/contract-alias/_search")
    only = {"bool": {"must": [MATCH], "filter": [{"term": {"_index": INDEX}}]}}
    yield reranked("all indices", "/_all/_search", "only a rule for `*` means them", body=search(query=only))
    yield reranked("an index left out", f"/contract-*,-{OTHER}/_search")
    yield reranked("date math", f"/{quote('<contract-{now/d}>', safe='')},{INDEX}/_search?ignore_unavailable=true")
    yield Row(
        section,
        "a body in ?source=",
        Claim.RERANKED,
        "moved into a body",
        "GET",
        f"/{INDEX}/_search?source={quote(search().decode(), safe='')}&source_content_type=application/json",
        None,
        {},
    )
    yield Row(
        section,
        "?source= without its type",
        Claim.PASSED,
        "the engine refuses it",
        "GET",
        f"/{INDEX}/_search?source=%7B%7D",
        None,
        {},
    )
    yield Row(
        section,
        "_msearch",
        Claim.RERANKED,
        "items are treated alone and scored together; order, count and errors stay",
        path="/_msearch",
        body=lines({"index": INDEX}, {"query": MATCH}, {"index": OTHER}, {"query": MATCH, "size": 3}),
        headers=dict(NDJSON),
    )
    yield Row(
        section,
        "_msearch with filter_path",
        Claim.RERANKED,
        "the engine filters, and we once more at the end",
        path="/_msearch?filter_path=responses.hits.hits._id,responses.hits.hits._score",
        body=lines({"index": INDEX}, {"query": MATCH}),
        headers=dict(NDJSON),
    )

    def passed(name: str, path: str, method: str = "GET", body: Any = None, how: str = "") -> Row:
        sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        claim = Claim.OPT_IN if how.startswith("rule key") else Claim.PASSED
        return Row(section, name, claim, how, method, path, sent)

    yield passed("/{index}/{type}/_search", f"/{INDEX}/_doc/_search", "GET", {"query": MATCH}, "no search any more")
    yield passed("POST /{index}/_doc/_search", f"/{OTHER}/_doc/_search", "POST", {"title": "x"}, "indexes a document")
    yield passed(
        "_search/template",
        f"/{INDEX}/_search/template",
        "POST",
        {"source": {"query": MATCH}},
        "rule key `templates`: rendered by the engine, then as `_search`",
    )
    yield passed(
        "_msearch/template", "/_msearch/template", "POST", lines({"index": INDEX}, {"source": {"query": MATCH}})
    )
    yield passed(
        "_async_search",
        f"/{INDEX}/_async_search",
        "POST",
        {"query": MATCH},
        "rule key `async_search`: reranked where it is over at once",
    )
    yield passed("_search/scroll", "/_search/scroll", "POST", {"scroll_id": "x"})
    yield passed("_pit", f"/{INDEX}/_pit?keep_alive=1m", "POST")
    yield passed("_search/point_in_time", f"/{INDEX}/_search/point_in_time?keep_alive=1m", "POST")
    yield passed("_count", f"/{INDEX}/_count", "POST", {"query": MATCH})
    yield passed("_validate/query", f"/{INDEX}/_validate/query", "POST", {"query": MATCH})
    yield passed("_explain/{id}", f"/{INDEX}/_explain/3", "POST", {"query": MATCH})
    rating = {"id": "a", "request": {"query": MATCH}, "ratings": [{"_index": INDEX, "_id": "3", "rating": 1}]}
    yield passed(
        "_rank_eval",
        f"/{INDEX}/_rank_eval",
        "POST",
        {"requests": [rating], "metric": {"precision": {"k": 5}}},
        "runs inside the engine, which never sees our order",
    )
    yield passed("_knn_search", f"/{INDEX}/_knn_search", "POST", {"knn": {"field": "v", "query_vector": [1, 2]}})
    yield passed("_search_shards", f"/{INDEX}/_search_shards")
    yield passed("_field_caps", f"/{INDEX}/_field_caps?fields=*")
    yield passed("_terms_enum", f"/{INDEX}/_terms_enum", "POST", {"field": "kind", "string": "s"})
    yield passed("_mvt", f"/{INDEX}/_mvt/title/1/1/1")
    yield passed("_sql, _query, _eql", "/_query", "POST", {"query": "FROM x"})
    yield passed("HEAD /{index}", f"/{INDEX}", "HEAD")
    yield passed("HEAD {target}/_search", f"/{INDEX}/_search", "HEAD")
    yield passed("OPTIONS", f"/{INDEX}/_search", "OPTIONS")
    yield passed("GET /", "/", how="version and tagline stay the engine's")
    yield passed("_nodes/http", "/_nodes/http", how="clients that sniff go past the proxy: switch sniffing off")
    # one shoe of one index: hits of several indices that score the same come in no order of their own
    only = {"bool": {"filter": [{"term": {"_index": INDEX}}, {"ids": {"values": ["3"]}}]}}
    yield passed("//_search", "//_search", "POST", {"query": only}, "paths are not cleaned: the engine's answer")
    yield passed("/%5Fsearch", "/%5Fsearch", "POST", {"query": MATCH}, "nor decoded")


def _parameters() -> Iterator[Row]:
    section = "URL parameters"
    for name, value, how in (
        ("from, size", "from=2&size=3", "they win over the body's; the window is asked for, the page cut out of it"),
        ("q", "q=red+warm&df=title", "wins over the body's query; its Lucene syntax is stripped for the model"),
        (
            "df, analyzer, default_operator, lenient, analyze_wildcard",
            "q=red&df=title&analyzer=standard&default_operator=AND&lenient&analyze_wildcard",
            "",
        ),
        ("_source", "_source=title", "kept; on Elasticsearch texts come by a search of their own then"),
        ("_source_includes, _source_excludes", "_source_includes=title,n*&_source_excludes=n", "the same"),
        ("the same field in both", "_source_includes=title,n&_source_excludes=n", "OpenSearch 3 refuses it"),
        ("stored_fields", "stored_fields=title", ""),
        ("docvalue_fields", "docvalue_fields=n", "added after the body's, by the engine"),
        ("explain", "explain=true", "`_explanation` is wrapped: our score, the engine's below"),
        ("version, seq_no_primary_term", "version=true&seq_no_primary_term=true", ""),
        ("track_scores", "track_scores=true", ""),
        ("track_total_hits", "track_total_hits=3", ""),
        ("rest_total_hits_as_int", "rest_total_hits_as_int=true", ""),
        ("both totals", "track_total_hits=false&rest_total_hits_as_int=true", "`hits.total` may be -1 or missing"),
        ("typed_keys", "typed_keys=true", ""),
        ("filter_path", "filter_path=hits.hits._id,hits.total", "the engine filters, and we once more at the end"),
        ("filter_path with excludes", "filter_path=-hits.hits._source", "the same"),
        ("pretty, human", "pretty&human", "honoured"),
        ("error_trace", "error_trace=true", ""),
        ("preference, routing", "preference=_local&routing=x", "a stable `preference` gives stable pages"),
        ("search_type", "search_type=dfs_query_then_fetch", ""),
        ("request_cache", "request_cache=true", ""),
        ("timeout, terminate_after", "timeout=10s&terminate_after=1000", ""),
        ("allow_partial_search_results", "allow_partial_search_results=false", ""),
        ("batched_reduce_size", "batched_reduce_size=2", ""),
        (
            "pre_filter_shard_size, max_concurrent_shard_requests",
            "pre_filter_shard_size=2&max_concurrent_shard_requests=2",
            "",
        ),
        ("ccs_minimize_roundtrips", "ccs_minimize_roundtrips=false", ""),
        (
            "expand_wildcards, ignore_unavailable, allow_no_indices",
            "expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true",
            "",
        ),
        ("cancel_after_time_interval, phase_took", "cancel_after_time_interval=9s&phase_took=true", "OpenSearch only"),
        ("a parameter twice", "size=9&size=3", "the last counts, as on the engines"),
        ("; between parameters", "size=3;from=1", ""),
        ("sort=_score", "sort=_score:desc", ""),
        ("include_named_queries_score", "include_named_queries_score=true", ""),
        ("search_pipeline", f"search_pipeline={PIPELINE}", "OpenSearch only: looked up; see the body key"),
    ):
        yield Row(section, name, Claim.RERANKED, how, path=f"/{INDEX}/_search?{value}", body=search())
    for name, value, how in (
        ("sort by a field", "sort=n:desc", "another order than the score's"),
        ("size=0", "size=0", "no hits are asked for"),
        ("filter_path without hits", "filter_path=hits.total", "nothing of a hit is left"),
        ("scroll", "scroll=1m", "its order is a contract over many requests"),
        ("format=yaml", "format=yaml", "only JSON is read"),
        ("stored_fields=_none_", "stored_fields=_none_&_source=false", "there is no text"),
        ("verbose_pipeline", f"search_pipeline={PIPELINE}&verbose_pipeline=true", "tells of the hits on their way"),
        ("search_pipeline that cannot be read", "search_pipeline=nowhere", "may rerank by itself"),
        ("an unknown parameter", "nonsense=1", "the engine refuses it; we take none of our own"),
        ("a size that is no number", "size=", "the engine refuses it"),
        ("from below zero", "from=-1", "the engine refuses it"),
    ):
        yield Row(section, name, Claim.PASSED, how, path=f"/{INDEX}/_search?{value}", body=search())


def _keys() -> Iterator[Row]:
    section = "Body keys"
    rescorer = {"window_size": 20, "query": {"rescore_query": {"match": {"title": "small"}}}}
    many = {"highlight": {"fields": {"title": {}}}}
    inner = {"nested": {**NESTED["nested"], "inner_hits": {"size": 1}}}
    for name, more, how in (
        ("from, size", {"from": 2, "size": 3}, "the window is asked for, the page cut out of it"),
        ("size as a text or a fraction", {"size": "3"}, "read as the engines read it"),
        ("sort: _score", {"sort": ["_score"]}, ""),
        (
            "sort: _score and others",
            {"sort": [{"_score": "desc"}, {"n": "asc"}]},
            "`sort[]` stays, and `max_score` where it is null (OpenSearch 3 has a number)",
        ),
        ("sort: [] and {}", {"sort": []}, ""),
        ("collapse", {"collapse": {"field": "kind"}}, "the groups' heads are reranked; `total` stays"),
        ("collapse with inner_hits", {"collapse": {"field": "kind", "inner_hits": {"name": "more"}}}, "only the heads"),
        ("rescore", {"rescore": rescorer}, "the window is no larger than the smallest `window_size`"),
        ("min_score", {"min_score": 0.1}, "the engine's; ours is the rule key `min_score`"),
        ("explain", {"explain": True}, "`_explanation` is wrapped: our score, the engine's below"),
        ("profile", {"profile": True}, "the engine's profile of the wider search"),
        ("track_scores, track_total_hits", {"track_scores": True, "track_total_hits": True}, ""),
        ("_source: list", {"_source": ["title"]}, "kept; on Elasticsearch texts come by a search of their own then"),
        ("_source: false", {"_source": False}, "texts are read through `fields`, which do not show"),
        ("_source: object", {"_source": {"includes": ["t*"], "excludes": ["n"]}}, "as a list"),
        ("_source: a text", {"_source": "false"}, "a field's name, as on the engines"),
        ("fields", {"fields": ["title", "n"]}, "ours are added and taken out again"),
        ("stored_fields", {"stored_fields": ["title"]}, ""),
        ("docvalue_fields", {"docvalue_fields": ["n"]}, ""),
        ("script_fields", {"script_fields": {"d": {"script": "doc['n'].value"}}}, ""),
        ("runtime_mappings", {"runtime_mappings": {"x": {"type": "long"}}, "fields": ["x"]}, "Elasticsearch only"),
        ("derived", {"derived": {"x": {"type": "long", "script": "emit(1)"}}}, "OpenSearch only"),
        ("highlight", many, "for the page alone where `two_phase_bytes` says so"),
        ("inner_hits", {"query": {"bool": {"must": [MATCH], "should": [inner]}}}, "moved with their hit"),
        ("_name", {"query": {"match": {"title": {"query": "red warm", "_name": "a"}}}}, "`matched_queries` too"),
        ("suggest", {"suggest": {"s": {"text": "shoo", "term": {"field": "title"}}}}, "untouched"),
        ("aggs", {"aggs": {"n": {"avg": {"field": "n"}}}}, "untouched"),
        ("aggs with top_hits", {"aggs": {"best": {"top_hits": {"size": 1}}}}, "texts come by a search of their own"),
        ("post_filter", {"post_filter": {"range": {"n": {"gte": 3}}}}, ""),
        ("indices_boost, stats", {"indices_boost": [{INDEX: 2.0}], "stats": ["a"]}, ""),
        ("version, seq_no_primary_term", {"version": True, "seq_no_primary_term": True}, "hits' bytes are moved"),
        ("timeout, terminate_after", {"timeout": "9s", "terminate_after": 999}, "partial hits are reranked too"),
        ("ext.rerank", {"ext": {"rerank": {"query_context": {"query_text": "red"}}}}, "the text to rank by; taken out"),
        ("search_pipeline: _none", {"search_pipeline": "_none"}, "OpenSearch only"),
        (
            "search_pipeline",
            {"search_pipeline": {"request_processors": []}},
            "OpenSearch only: kept; passed where a processor may reorder hits or minds how many there are",
        ),
        (
            "query: knn with k",
            {"query": {"bool": {"must": [MATCH], "should": [KNN]}}},
            "the window stays within what k finds",
        ),
        ("knn with k", {"knn": {**KNN["knn"], "k": 20}}, "the same"),
        ("knn without k", {"knn": NEAR}, "it takes the size for k: the first page is ranked within itself"),
        (
            "knn without k, in a filter, rescorer or aggregation",
            {"rescore": {"window_size": 20, "query": {"rescore_query": {"knn": NEAR}}}},
            "the same",
        ),
    ):
        yield Row(section, name, Claim.RERANKED, how, body=search(**more))
    for name, query in _queries():
        yield Row("Query text from", name, Claim.RERANKED, "", body=search(query=query))
    yield from _retrievers()
    for name, more, how in (
        ("sort by a field", {"sort": ["n"]}, "another order than the score's"),
        ("sort: _score ascending", {"sort": [{"_score": "asc"}]}, "the same"),
        ("size: 0", {"size": 0}, "no hits are asked for"),
        (
            "search_after",
            {"sort": [{"_score": "desc"}, {"n": "asc"}], "search_after": [9, 1]},
            "its order is a contract",
        ),
        ("slice", {"slice": {"id": 0, "max": 2}}, "goes with a scroll"),
        ("knn without k, a page from within the first", {"knn": NEAR, "from": 2}, "what it finds hangs on its size"),
        (
            "knn without k, a later page",
            {"knn": NEAR, "from": 5},
            "the engine's own hits, their scores below the first page's",
        ),
        ("rank, sub_searches", {"rank": {"rrf": {}}}, "the older form of retrievers"),
        ("stored_fields: _none_", {"stored_fields": "_none_", "_source": False}, "there is no text"),
        (
            "search_pipeline with a reranker",
            {"search_pipeline": {"response_processors": [{"rerank": {"by_field": {"target_field": "n"}}}]}},
            "nothing is reranked twice; rule key `takeover` for those of a model",
        ),
        ("no text in the query", {"query": {"term": {"n": 3}}}, "send it as `X-Rerank-Query`"),
        (
            "text in filter and must_not only",
            {"query": {"bool": {"filter": [MATCH]}}},
            "what does not score says no wish",
        ),
        ("an unknown key", {"nonsense": 1}, "the engine refuses it"),
        ("null", {"size": None}, "the engine refuses it"),
        ("an unknown name in ext", {"ext": {"nonsense": {}}}, "the engine refuses it"),
    ):
        yield Row(section, name, Claim.PASSED, how, body=search(**more))
    yield Row(
        section,
        "a wrong size beside one in the URL",
        Claim.PASSED,
        "the engine refuses it, though the URL's counts",
        path=f"/{INDEX}/_search?size=3",
        body=search(size="ten"),
    )
    for name, body, how in (
        ("comments", b'/* c */ {"query":{"match":{"title":"red"}}}', "what our parser does not read goes as it came"),
        ("a key twice", b'{"size":1,"size":2}', "the engine refuses it"),
        ("no JSON", b"{", "the engine refuses it"),
        ("UTF-16", '{"query":{"match":{"title":"red"}}}'.encode("utf-16"), "goes as it came"),
    ):
        yield Row(section, name, Claim.PASSED, how, body=body)
    yield Row(
        section,
        "pit",
        Claim.OPT_IN,
        "rule key `pit`: pages by `from` are reranked, by the rule of the target that it was opened for if we saw it",
        path="/_search",
        body=search(pit={"id": "x", "keep_alive": "1m"}),
    )


NEAR: dict[str, Any] = {"field": "v", "query_vector": [1, 2], "num_candidates": 20}
KNN: dict[str, Any] = {"knn": {"field": "v", "query_vector": [1, 2], "k": 20, "num_candidates": 30}}
NESTED = {"nested": {"path": "parts", "query": {"match": {"parts.name": "sole"}}}}


def _queries() -> Iterator[tuple[str, dict[str, Any]]]:
    text = "red warm"
    yield "match", {"match": {"title": text}}
    yield "match, long form", {"match": {"title": {"query": text, "fuzziness": "AUTO"}}}
    yield "match_phrase", {"match_phrase": {"title": text}}
    yield "match_phrase_prefix", {"match_phrase_prefix": {"title": text}}
    yield "match_bool_prefix", {"match_bool_prefix": {"title": text}}
    yield "multi_match", {"multi_match": {"query": text, "fields": ["title^2", "kind"]}}
    yield "combined_fields", {"combined_fields": {"query": text, "fields": ["title"]}}
    yield "query_string", {"query_string": {"query": "title:red AND (warm OR shoe)^2"}}
    yield "simple_query_string", {"simple_query_string": {"query": "red +warm -blue", "fields": ["title"]}}
    yield "bool must and should", {"bool": {"must": [{"match": {"title": text}}], "should": [NESTED]}}
    yield "dis_max", {"dis_max": {"queries": [{"match": {"title": text}}, {"match": {"kind": "shoe"}}]}}
    yield "function_score", {"function_score": {"query": {"match": {"title": text}}, "weight": 2}}
    yield "script_score", {"script_score": {"query": {"match": {"title": text}}, "script": {"source": "_score"}}}
    yield "constant_score", {"constant_score": {"filter": {"match": {"title": text}}}}
    negative = {"match": {"title": "blue"}}
    yield (
        "boosting",
        {"boosting": {"positive": {"match": {"title": text}}, "negative": negative, "negative_boost": 0.5}},
    )
    yield "nested", NESTED
    encoded = base64.b64encode(json.dumps({"match": {"title": text}}).encode()).decode()
    yield "wrapper", {"wrapper": {"query": encoded}}


def _retrievers() -> Iterator[Row]:
    section = "Retrievers (Elasticsearch)"
    standard = {"standard": {"query": MATCH}}
    vector = {"knn": {"field": "v", "query_vector": [1, 2], "k": 20, "num_candidates": 30}}
    rescored = {"retriever": standard, "rescore": {"window_size": 20, "query": {"rescore_query": MATCH}}}
    reranker = {"retriever": standard, "field": "title", "inference_text": "red"}

    def row(name: str, claim: Claim, how: str, retriever: dict[str, Any]) -> Row:
        return Row(section, name, claim, how, body=json.dumps({"retriever": retriever, "size": 5}).encode())

    yield row("standard", Claim.RERANKED, "", standard)
    for name, more, how in (
        ("filter and min_score", {"filter": {"range": {"n": {"gte": 3}}}, "min_score": 0.1}, ""),
        (
            "sort: _score and others",
            {"sort": ["_score", {"n": "desc"}]},
            "`sort[]` stays, and `max_score` where it is null (OpenSearch 3 has a number)",
        ),
        ("collapse", {"collapse": {"field": "kind"}}, "the groups' heads are reranked; `total` stays"),
        ("terminate_after", {"terminate_after": 30}, "partial hits are reranked too"),
    ):
        yield row(f"standard with {name}", Claim.RERANKED, how, {"standard": {"query": MATCH, **more}})
    after = {"sort": ["_score", {"n": "desc"}], "search_after": [0.5, 20]}
    for name, more, how in (
        ("a sort by a field", {"sort": ["n"]}, "another order than the score's"),
        ("search_after", after, "its order is a contract"),
    ):
        yield row(f"standard with {name}", Claim.PASSED, how, {"standard": {"query": MATCH, **more}})
    yield row("knn", Claim.PASSED, "it holds no text; send it as `X-Rerank-Query`", vector)
    yield row(
        "rescorer", Claim.RERANKED, "the window is no larger than the smallest `window_size`", {"rescorer": rescored}
    )
    levels = {"retriever": {"rescorer": rescored}, "rescore": {"window_size": 9, "query": {"rescore_query": MATCH}}}
    yield row(
        "rescorer around a rescorer",
        Claim.RERANKED,
        "the window is no larger than the smallest of all levels",
        {"rescorer": levels},
    )
    heads = {"standard": {"query": MATCH, "collapse": {"field": "kind"}}}
    yield row(
        "rescorer around a standard with collapse",
        Claim.PASSED,
        "a page's hits hang on how many are asked for",
        {"rescorer": {**rescored, "retriever": heads}},
    )
    yield row("rrf", Claim.RERANKED, "up to `rank_window_size`", {"rrf": {"retrievers": [standard, vector]}})
    weighted = [{"retriever": standard, "weight": 2}]
    yield row("linear", Claim.RERANKED, "up to `rank_window_size`", {"linear": {"retrievers": weighted}})
    yield row("pinned", Claim.RERANKED, "up to `rank_window_size`", {"pinned": {"ids": ["1"], "retriever": standard}})
    ruled = {"ruleset_ids": ["r"], "match_criteria": {"a": "b"}, "retriever": standard}
    yield row("rule", Claim.RERANKED, "up to `rank_window_size`", {"rule": ruled})
    diverse = {"type": "mmr", "field": "v", "retriever": standard, "lambda": 0.5, "query_vector": [1, 2]}
    yield row(
        "diversify", Claim.RERANKED, "up to `rank_window_size`, which decides about the order", {"diversify": diverse}
    )
    yield row(
        "diversify around a rescorer",
        Claim.RERANKED,
        "up to the smallest window of all levels",
        {"diversify": {**diverse, "retriever": {"rescorer": rescored}}},
    )
    yield row(
        "text_similarity_reranker",
        Claim.OPT_IN,
        "rule key `takeover`: the child is sent, and we rerank",
        {"text_similarity_reranker": reranker},
    )


def _protocol() -> Iterator[Row]:
    section = "Protocol"
    vendor = "application/vnd.elasticsearch+json;compatible-with=8"
    own = {"Content-Type": vendor, "Accept": vendor}
    yield Row(section, "vendor type of version 8", Claim.RERANKED, "answered in kind", body=search(), headers=own)
    nine = {name: value.replace("=8", "=9") for name, value in own.items()}
    yield Row(section, "vendor type of version 9", Claim.RERANKED, "answered in kind", body=search(), headers=nine)
    yaml = {"Content-Type": "application/yaml"}
    yield Row(section, "a body in YAML", Claim.PASSED, "", body=b"query:\n  match:\n    title: red\n", headers=yaml)
    asked = {**JSON, "Accept": "application/yaml"}
    yield Row(section, "Accept: YAML", Claim.PASSED, "", body=search(), headers=asked)
    several = {**JSON, "Accept": "application/json, text/plain, */*"}
    yield Row(section, "Accept: a list", Claim.RERANKED, "answered in JSON", body=search(), headers=several)
    yield Row(section, "a body without a type", Claim.PASSED, "406 from the engine", body=search(), headers={})
    opaque = {**JSON, "X-Opaque-Id": "a-1"}
    yield Row(section, "X-Opaque-Id", Claim.RERANKED, "echoed by the engine", body=search(), headers=opaque)
    skip = {**JSON, "X-Rerank-Skip": "true"}
    yield Row(
        section, "X-Rerank-Skip", Claim.PASSED, "the client wants the engine's order", body=search(), headers=skip
    )
    text = {**JSON, "X-Rerank-Query": "red"}
    body = search(query={"match_all": {}})
    yield Row(section, "X-Rerank-Query", Claim.RERANKED, "the text to rank by", body=body, headers=text)


ROWS: tuple[Row, ...] = (*_endpoints(), *_parameters(), *_keys(), *_protocol())
