"""More than 200 different requests, of all kinds of APIs, to be sent to an engine and through the proxy."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json"
NDJSON = "application/x-ndjson"

INDEX = "catalogue"
DOCUMENTS = [
    {
        "title": f"{color} {thing} number {number}",
        "brand": ["Acme", "Borealis", "Cumulus"][number % 3],
        "price": 1.5 * number,
        "tags": [color, thing],
        "added": f"2026-01-{1 + number % 28:02}",
        "text": f"A {color} {thing} for everyone who wants a {thing} that is {color}. " * (1 + number % 3),
    }
    for number, (color, thing) in enumerate(
        (color, thing)
        for color in ("red", "blue", "green", "black", "white")
        for thing in ("shoe", "phone case", "water bottle", "dress", "charger", "drill")
    )
]
MAPPINGS = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "brand": {"type": "keyword"},
        "price": {"type": "double"},
        "tags": {"type": "keyword"},
        "added": {"type": "date"},
        "text": {"type": "text"},
    }
}


@dataclass(frozen=True)
class Request:
    """One request, as bytes on the wire."""

    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {(self.body or b'')[:120]!r} {self.headers or ''}"


def request(method: str, path: str, body: Any = None, **headers: str) -> Request:
    """Build a request; what is no bytes is sent as JSON."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is None:
        return Request(method, path, None, sent)
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(method, path, encoded, {"Content-Type": JSON, **sent})


def ndjson(*lines: Any) -> bytes:
    """Join lines as the bulk and multi-search APIs want them."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def setup() -> Iterator[Request]:
    """Make the index that the others ask."""
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    yield request("PUT", f"/{INDEX}", {"settings": settings, "mappings": MAPPINGS})
    lines: list[Any] = []
    for number, document in enumerate(DOCUMENTS):
        lines += [{"index": {"_id": str(number)}}, document]
    yield request("POST", f"/{INDEX}/_bulk?refresh=true", ndjson(*lines), Content_Type=NDJSON)


def all_requests() -> list[Request]:
    """Return all of them, in an order that makes sense."""
    return [
        *setup(),
        *searches(),
        *search_parameters(),
        *search_errors(),
        *other_search_apis(),
        *multi_searches(),
        *documents(),
        *bulks(),
        *administration(),
        *cats(),
        *protocol(),
        *odd_paths(),
        *teardown(),
    ]


QUERIES: list[dict[str, Any]] = [
    {"match_all": {}},
    {"match": {"title": "red shoe"}},
    {"match": {"title": {"query": "red shoe", "operator": "and"}}},
    {"multi_match": {"query": "blue case", "fields": ["title^2", "text"]}},
    {"multi_match": {"query": "blue case", "fields": ["title", "text"], "type": "cross_fields"}},
    {"match_phrase": {"title": "phone case"}},
    {"match_phrase_prefix": {"title": "water bot"}},
    {"match_bool_prefix": {"title": "green wat"}},
    {"query_string": {"query": "title:(red OR blue) AND shoe~1", "default_field": "title"}},
    {"simple_query_string": {"query": "+red -shoe", "fields": ["title"]}},
    {"bool": {"must": [{"match": {"title": "drill"}}], "filter": [{"term": {"brand": "Acme"}}]}},
    {"bool": {"should": [{"match": {"title": "red"}}, {"match": {"text": "dress"}}], "minimum_should_match": 1}},
    {"bool": {"must_not": [{"match": {"title": "red"}}]}},
    {"dis_max": {"queries": [{"match": {"title": "charger"}}, {"match": {"text": "white"}}], "tie_breaker": 0.3}},
    {"constant_score": {"filter": {"term": {"tags": "red"}}, "boost": 2.5}},
    {
        "boosting": {
            "positive": {"match": {"title": "shoe"}},
            "negative": {"term": {"tags": "red"}},
            "negative_boost": 0.2,
        }
    },
    {"function_score": {"query": {"match": {"title": "dress"}}, "field_value_factor": {"field": "price"}}},
    {"function_score": {"query": {"match": {"title": "shoe"}}, "weight": 3}},
    {"term": {"brand": "Borealis"}},
    {"terms": {"tags": ["red", "blue"]}},
    {"range": {"price": {"gte": 3, "lt": 20}}},
    {"range": {"added": {"gte": "2026-01-05", "lte": "2026-01-10"}}},
    {"exists": {"field": "brand"}},
    {"prefix": {"brand": "Bo"}},
    {"wildcard": {"title.raw": "*number 1*"}},
    {"regexp": {"brand": "C.*s"}},
    {"fuzzy": {"title": "charjer"}},
    {"ids": {"values": ["1", "5", "29", "99"]}},
]


def searches() -> Iterator[Request]:
    """Bodies of searches."""
    for query in QUERIES:
        yield request("POST", f"/{INDEX}/_search", {"query": query})
    match = {"match": {"title": "red shoe number"}}
    for extra in (
        {"from": 3, "size": 4},
        {"from": 25, "size": 50},
        {"size": 0},
        {"size": "2"},
        {"size": 2.7},
        {"_source": False},
        {"_source": ["title", "pri*"]},
        {"_source": {"includes": ["*"], "excludes": ["text"]}},
        {"fields": ["title", {"field": "added", "format": "yyyy"}], "_source": False},
        {"stored_fields": []},
        {"docvalue_fields": ["price", "brand"]},
        {"sort": [{"price": "desc"}]},
        {"sort": ["_score", {"price": "asc"}]},
        {"sort": [{"price": "asc"}], "search_after": [10.5]},
        {"track_scores": True, "sort": ["price"]},
        {"track_total_hits": False},
        {"track_total_hits": 5},
        {"min_score": 0.5},
        {"explain": True, "size": 2},
        {"version": True, "seq_no_primary_term": True},
        {"highlight": {"fields": {"title": {}, "text": {"number_of_fragments": 1}}}},
        {"collapse": {"field": "brand", "inner_hits": {"name": "more", "size": 2}}},
        {"rescore": {"window_size": 10, "query": {"rescore_query": {"match": {"text": "blue"}}}}},
        {"post_filter": {"term": {"brand": "Acme"}}},
        {"aggs": {"brands": {"terms": {"field": "brand"}}, "price": {"avg": {"field": "price"}}}, "size": 3},
        {"suggest": {"word": {"text": "sho", "term": {"field": "title"}}}},
        {"indices_boost": [{INDEX: 1.4}]},
        {"timeout": "5s", "terminate_after": 10},
        {"stats": ["group"]},
        {"profile": False},
    ):
        yield request("POST", f"/{INDEX}/_search", {"query": match, **extra})
    yield request("POST", f"/{INDEX}/_search", b'{"query": {"match_all": {}}, /* a comment */ "size": 2}')
    yield request("GET", f"/{INDEX}/_search", {"query": match, "size": 3})
    yield request("GET", f"/{INDEX}/_search")
    yield request("GET", "/_search?size=2")
    yield request("GET", f"/_all/_search?index={INDEX}&size=2")


def search_parameters() -> Iterator[Request]:
    """URL parameters of searches."""
    for parameters in (
        "q=red",
        "q=title:red+AND+tags:shoe",
        "q=red&df=title&default_operator=AND",
        "q=red&size=3&from=2&sort=price:desc",
        "q=red&size=1;from=2",
        "size=3&size=2",
        "q=red&_source=false",
        "q=red&_source_includes=title,brand",
        "q=red&_source_excludes=text",
        "q=red&filter_path=hits.hits._id,took",
        "q=red&filter_path=-hits.hits._source",
        "q=red&rest_total_hits_as_int=true",
        "q=red&typed_keys",
        "q=red&pretty",
        "q=red&pretty=true&human",
        "q=red&preference=_local&routing=x",
        "q=red&search_type=dfs_query_then_fetch",
        "q=red&explain&size=1",
        "q=red&stored_fields=_none_",
        "q=red&ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all",
        "q=red&request_cache=true&size=0",
        "q=red&batched_reduce_size=2",
        "q=%22red%20shoe%22",
        "q=red&format=yaml",
        "q=red&error_trace=true",
        "source=%7B%22query%22%3A%7B%22match_all%22%3A%7B%7D%7D%2C%22size%22%3A1%7D&source_content_type=application/json",
        "",
    ):
        yield request("GET", f"/{INDEX}/_search?{parameters}")


def search_errors() -> Iterator[Request]:
    """Searches that an engine refuses."""
    yield request("GET", "/nothing-here/_search")
    yield request("GET", f"/{INDEX},nothing-here/_search")
    yield request("POST", f"/{INDEX}/_search", b'{"query": {"match": ')
    yield request("POST", f"/{INDEX}/_search", b'{"size": 1, "size": 2}')
    yield request("POST", f"/{INDEX}/_search", b"[]")
    yield request("POST", f"/{INDEX}/_search", {"query": {"no_such_query": {}}})
    yield request("POST", f"/{INDEX}/_search", {"no_such_key": 1})
    yield request("POST", f"/{INDEX}/_search", {"query": None})
    yield request("POST", f"/{INDEX}/_search", {"size": -1})
    yield request("POST", f"/{INDEX}/_search", {"from": 9999, "size": 10})
    yield request("POST", f"/{INDEX}/_search", {"sort": ["no_such_field"]})
    yield request("POST", f"/{INDEX}/_search", {"ext": {"no_such_plugin": {}}})
    yield request("GET", f"/{INDEX}/_search?no_such_parameter=1")
    yield request("GET", f"/{INDEX}/_search?size=")
    yield request("GET", f"/{INDEX}/_search?q=red&pretty=maybe")
    yield request("GET", f"/{INDEX}/_search?q=%5B")
    yield Request("POST", f"/{INDEX}/_search", b'{"size":1}')
    yield Request("POST", f"/{INDEX}/_search", b'{"size":1}', {"Content-Type": "text/plain"})
    yield Request(
        "POST",
        f"/{INDEX}/_search",
        b'{"size":1}',
        {"Content-Type": "application/vnd.elasticsearch+json;compatible-with=3"},
    )
    yield request("DELETE", f"/{INDEX}/_search")
    yield request("PUT", f"/{INDEX}/_search", {})
    yield request("GET", f"/{INDEX}/_doc/_search")


def other_search_apis() -> Iterator[Request]:
    """APIs beside ``_search``."""
    match = {"query": {"match": {"title": "red"}}}
    yield request("GET", f"/{INDEX}/_count")
    yield request("POST", f"/{INDEX}/_count", match)
    yield request("GET", f"/{INDEX}/_count?q=blue")
    yield request("POST", f"/{INDEX}/_validate/query?explain=true", match)
    yield request("POST", f"/{INDEX}/_explain/1", match)
    yield request("POST", f"/{INDEX}/_explain/999", match)
    yield request("GET", f"/{INDEX}/_field_caps?fields=*")
    yield request("POST", f"/{INDEX}/_field_caps?fields=title,price", {})
    yield request("GET", f"/{INDEX}/_search_shards")
    yield request("GET", f"/{INDEX}/_termvectors/1?fields=title")
    yield request("POST", f"/{INDEX}/_analyze", {"analyzer": "standard", "text": "Red Shoes"})
    yield request("POST", "/_analyze", {"text": "Red Shoes"})
    yield request("POST", "/_search/scroll", {"scroll_id": "bm9wZQ=="})
    yield request("DELETE", "/_search/scroll", {"scroll_id": ["bm9wZQ=="]})
    yield request("POST", f"/{INDEX}/_search/template", {"source": {"query": {"match_all": {}}}, "params": {}})
    yield request("POST", f"/{INDEX}/_rank_eval", {"requests": []})
    yield request("GET", f"/{INDEX}/_async_search")
    yield request("POST", "/_sql", {"query": "SELECT 1"})
    yield request("POST", f"/{INDEX}/_eql/search", {"query": "any where true"})
    yield request("POST", f"/{INDEX}/_terms_enum", {"field": "brand", "string": "A"})
    yield request("POST", f"/{INDEX}/_knn_search", {})


def multi_searches() -> Iterator[Request]:
    """Multi-searches."""
    match = {"query": {"match": {"title": "red"}}, "size": 2}
    for path, lines in (
        ("/_msearch", [{"index": INDEX}, match, {"index": INDEX}, {"size": 0}]),
        (f"/{INDEX}/_msearch", [{}, match, {}, match]),
        (f"/{INDEX}/_msearch", [{"index": "nothing-here"}, match, {}, match]),
        (f"/{INDEX}/_msearch?rest_total_hits_as_int=true", [{}, match]),
        (f"/{INDEX}/_msearch", [{"no_such_key": 1}, match]),
        (f"/{INDEX}/_msearch", [{}, {"query": {"no_such_query": {}}}]),
    ):
        yield request("POST", path, ndjson(*lines), Content_Type=NDJSON)
    yield request("POST", f"/{INDEX}/_msearch", b"", Content_Type=NDJSON)
    yield request("POST", f"/{INDEX}/_msearch", b'{}\n{"size":1}', Content_Type=NDJSON)
    yield request("GET", f"/{INDEX}/_msearch", ndjson({}, match), Content_Type=JSON)
    yield request("POST", f"/{INDEX}/_msearch/template", ndjson({}, {"source": "{}"}), Content_Type=NDJSON)


def documents() -> Iterator[Request]:
    """Single documents."""
    yield request("GET", f"/{INDEX}/_doc/1")
    yield request("GET", f"/{INDEX}/_doc/1?_source=title")
    yield request("GET", f"/{INDEX}/_doc/999")
    yield request("HEAD", f"/{INDEX}/_doc/1")
    yield request("HEAD", f"/{INDEX}/_doc/999")
    yield request("GET", f"/{INDEX}/_source/1")
    yield request("HEAD", f"/{INDEX}/_source/1")
    yield request("GET", f"/{INDEX}/_source/999")
    yield request("PUT", f"/{INDEX}/_doc/new", {"title": "a new one", "price": 1})
    yield request("PUT", f"/{INDEX}/_doc/new", {"title": "a newer one", "price": 2})
    yield request("PUT", f"/{INDEX}/_create/new", {"title": "refused"})
    yield request("PUT", f"/{INDEX}/_doc/old?if_seq_no=9999&if_primary_term=1", {"title": "refused"})
    yield request("PUT", f"/{INDEX}/_doc/a%2Fb%20c", {"title": "an id with a slash"})
    yield request("GET", f"/{INDEX}/_doc/a%2Fb%20c")
    yield request("PUT", f"/{INDEX}/_doc/%C3%A9t%C3%A9", {"title": "été"})
    yield request("GET", f"/{INDEX}/_doc/%C3%A9t%C3%A9")
    yield request("POST", f"/{INDEX}/_update/new", {"doc": {"price": 3}})
    yield request("POST", f"/{INDEX}/_update/missing", {"doc": {"price": 3}})
    yield request("POST", f"/{INDEX}/_update/upserted", {"doc": {"price": 3}, "doc_as_upsert": True})
    yield request("PUT", f"/{INDEX}/_doc/bad", {"price": "no number"})
    yield request("PUT", f"/{INDEX}/_doc/bad", b"{")
    yield request("DELETE", f"/{INDEX}/_doc/new")
    yield request("DELETE", f"/{INDEX}/_doc/new")
    yield request("POST", "/_mget", {"docs": [{"_index": INDEX, "_id": "1"}, {"_index": INDEX, "_id": "999"}]})
    yield request("POST", f"/{INDEX}/_mget", {"ids": ["1", "2"]})
    yield request("POST", f"/{INDEX}/_refresh")
    yield request("POST", f"/{INDEX}/_flush")


def bulks() -> Iterator[Request]:
    """Bulks."""
    lines = [
        {"index": {"_id": "b1"}},
        {"title": "bulk one"},
        {"create": {"_id": "1"}},
        {"title": "refused"},
        {"update": {"_id": "b1"}},
        {"doc": {"price": 5}},
        {"delete": {"_id": "b1"}},
        {"delete": {"_id": "never-there"}},
    ]
    yield request("POST", f"/{INDEX}/_bulk", ndjson(*lines), Content_Type=NDJSON)
    yield request(
        "PUT", "/_bulk", ndjson({"index": {"_index": INDEX, "_id": "b2"}}, {"title": "x"}), Content_Type=NDJSON
    )
    yield request("POST", "/_bulk", ndjson({"index": {"_id": "b3"}}, {"title": "x"}), Content_Type=NDJSON)
    yield request("POST", "/_bulk", b"", Content_Type=NDJSON)
    yield request("POST", f"/{INDEX}/_bulk", b'{"index":{}}', Content_Type=NDJSON)
    yield request("POST", f"/{INDEX}/_bulk", b'{"nonsense":{}}\n{}\n', Content_Type=NDJSON)
    yield request("POST", f"/{INDEX}/_bulk", ndjson(*lines[:2]), Content_Type="text/plain")
    zipped = gzip.compress(ndjson({"index": {"_id": "z"}}, {"title": "zipped"}), mtime=0)
    yield request("POST", f"/{INDEX}/_bulk?refresh=wait_for", zipped, Content_Type=NDJSON, Content_Encoding="gzip")


def administration() -> Iterator[Request]:
    """Indices, aliases, settings, cluster."""
    yield request("HEAD", f"/{INDEX}")
    yield request("HEAD", "/nothing-here")
    yield request("GET", f"/{INDEX}/_mapping")
    yield request("GET", f"/{INDEX}/_mapping/field/title")
    yield request("PUT", f"/{INDEX}/_mapping", {"properties": {"extra": {"type": "keyword"}}})
    yield request("PUT", f"/{INDEX}/_mapping", {"properties": {"title": {"type": "long"}}})
    yield request("GET", f"/{INDEX}/_settings/index.number_of_replicas")
    yield request("PUT", f"/{INDEX}/_settings", {"index": {"number_of_replicas": 0}})
    yield request("PUT", f"/{INDEX}", {})
    yield request("PUT", "/Upper", {})
    yield request("PUT", "/_underscore", {})
    yield request("PUT", "/second-index", {"settings": {"number_of_shards": 2, "number_of_replicas": 0}})
    yield request("PUT", f"/{INDEX}/_alias/shop", {})
    yield request("GET", f"/{INDEX}/_alias")
    yield request("GET", "/_alias/shop")
    yield request("HEAD", "/_alias/shop")
    yield request("GET", "/_alias/no-such-alias")
    yield request("POST", "/_aliases", {"actions": [{"add": {"index": "second-index", "alias": "both"}}]})
    yield request("GET", "/shop/_count")
    yield request("DELETE", f"/{INDEX}/_alias/shop")
    yield request("POST", "/second-index/_close")
    yield request("POST", "/second-index/_open")
    yield request("POST", f"/{INDEX}/_forcemerge?max_num_segments=1")
    yield request("POST", f"/{INDEX}/_cache/clear")
    yield request("GET", "/_cluster/settings")
    yield request("PUT", "/_cluster/settings", {"persistent": {"no.such.setting": 1}})
    yield request("GET", "/_template")
    yield request("GET", "/_index_template/no-such-template")
    yield request("PUT", "/_index_template/t1", {"index_patterns": ["t1-*"], "template": {}})
    yield request("DELETE", "/_index_template/t1")
    yield request("GET", "/_ingest/pipeline")
    yield request("GET", "/_snapshot")
    yield request("GET", "/_resolve/index/cat*")
    yield request("GET", "/_tasks/no:1")
    yield request("POST", "/_reindex", {"source": {"index": INDEX}, "dest": {"index": "copy"}})
    yield request("POST", f"/{INDEX}/_delete_by_query", {"query": {"term": {"brand": "nobody"}}})
    yield request("DELETE", "/no-such-index")
    yield request("DELETE", "/second-index")


def cats() -> Iterator[Request]:
    """The tables for people."""
    for name in ("aliases", "templates", "plugins", "count/" + INDEX, "indices?h=index,docs.count", "nodes?h=master"):
        yield request("GET", f"/_cat/{name}")
    yield request("GET", f"/_cat/indices/{INDEX}?h=index,pri,rep&v")
    yield request("GET", f"/_cat/shards/{INDEX}?h=index,shard,prirep,state&format=json")
    yield request("GET", "/_cat")
    yield request("GET", "/_cat/no-such-table")


def protocol() -> Iterator[Request]:
    """Headers, content types and methods."""
    search = b'{"query":{"match":{"title":"red"}},"size":2}'
    yield request("GET", "/")
    yield request("HEAD", "/")
    yield request("OPTIONS", "/")
    yield request("OPTIONS", f"/{INDEX}/_search")
    yield request("POST", f"/{INDEX}/_search", search, Accept_Encoding="gzip")
    yield request("POST", f"/{INDEX}/_search", search, Accept_Encoding="identity")
    yield request("POST", f"/{INDEX}/_search", gzip.compress(search, mtime=0), Content_Encoding="gzip")
    yield request("POST", f"/{INDEX}/_search", search, Accept="application/yaml")
    yield request("POST", f"/{INDEX}/_search", search, Accept="text/html")
    yield request("POST", f"/{INDEX}/_search", search, X_Opaque_Id="my-id")
    yield request("GET", "/nothing-here/_search", None, X_Opaque_Id="my-id")
    yield request(
        "GET", f"/{INDEX}/_count", None, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    )
    for version in (7, 8, 9):
        vendor = f"application/vnd.elasticsearch+json;compatible-with={version}"
        yield request("POST", f"/{INDEX}/_search", search, Content_Type=vendor, Accept=vendor)
        yield request("POST", f"/{INDEX}/_search", search, Content_Type=vendor)
    yield request("POST", f"/{INDEX}/_search", b"query:\n  ids:\n    values: ['7']\n", Content_Type="application/yaml")
    yield request("GET", f"/{INDEX}/_search?q=red", None, Authorization="Basic dXNlcjpwYXNz")
    yield request("GET", f"/{INDEX}/_search?q=red", None, Cookie="a=b; c=d")
    yield request("POST", f"/{INDEX}/_doc/1?pipeline=no-such-pipeline", {"title": "x"})
    yield request("PATCH", f"/{INDEX}/_doc/1", {})


def odd_paths() -> Iterator[Request]:
    """Paths that an HTTP library would like to tidy up."""
    for path in (
        f"//{INDEX}/_search",
        f"/{INDEX}//_search",
        f"/{INDEX}/../{INDEX}/_count",
        f"/./{INDEX}/_count",
        f"/{INDEX}/%5Fsearch",
        # Equal scores would come in the order of segments, which merging in the background changes.
        f"/{INDEX}/_search/?q=_id:7",
        f"/{INDEX}/_count?q=a%2Bb&&q",
        "/%63atalogue/_count",
        "/%3Ccatalogue-%7Bnow%2Fd%7D%3E/_search",
        f"/{INDEX}*,-nothing*/_count",
        "/_no_such_api",
        f"/{INDEX}/_no_such_api",
        "/cat%c3%a9",
        f"/{INDEX}/_count?q=%zz",
    ):
        yield request("GET", path)


def teardown() -> Iterator[Request]:
    """Leave the engine as it was."""
    yield request("DELETE", f"/{INDEX}")
    yield request("GET", f"/{INDEX}/_search")
