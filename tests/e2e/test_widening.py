"""A window larger than the page loses nothing: each limit and each loss that widening can meet, on the engines."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.settings import Rule, parse_template
from tests.engines import Engine
from tests.support import Answer, ProxyThread, ask
from tests.support_shop import NDJSON, blanked, ids, proxy_for, send, shop, title

pytestmark = pytest.mark.engine

WIDE, NARROW, LONG, BARE = "wide", "narrow", "long", "bare"
LIMIT = 20
TEXT = "red warm long shoe"
TITLE = {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
MATCH: dict[str, Any] = {"match": {"title": TEXT}}


@pytest.fixture(scope="module", autouse=True)
def indices(engine: Engine) -> Iterator[None]:
    with (
        shop(engine.url, WIDE),
        shop(engine.url, NARROW, {"max_result_window": LIMIT}),
        shop(engine.url, LONG, {"highlight.max_analyzed_offset": 100}),
    ):
        # The last of the engine's order is too long to be highlighted.
        put = send(engine.url, "PUT", f"/{LONG}/_doc/61?refresh=true", {"title": "long " + "filler " * 60})
        assert put.status == 201
        vectors = {"v": {"type": "dense_vector", "dims": 2}} if engine.is_elasticsearch else {}
        for name, source in (("vectors", True), (BARE, False)):
            mapping = {"_source": {"enabled": source}, "properties": {"title": TITLE, **vectors}}
            assert send(engine.url, "PUT", f"/{name}", {"mappings": mapping}).status == 200
            lines = b"".join(
                json.dumps({"index": {"_id": f"{name}{number}"}}).encode()
                + b"\n"
                + json.dumps({"title": title(number), "v": [1.0 + number, 2.0]}).encode()
                + b"\n"
                for number in range(60)
            )
            ask(engine.url, "POST", f"/{name}/_bulk?refresh=true", lines, NDJSON)
        yield
        for name in ("vectors", BARE):
            ask(engine.url, "DELETE", f"/{name}")


@pytest.fixture
def proxy(engine: Engine) -> Iterator[ProxyThread]:
    """A fresh one: it has learnt nothing yet."""
    rule = Rule(target="*", window=200, budget_ms=600_000, text=parse_template("{title}"))
    with proxy_for(engine.url, rule) as running:
        yield running


def walk(url: str, path: str, body: dict[str, Any], size: int, end: int) -> tuple[list[str], list[float], set[str]]:
    """Return the ids and scores on all pages, and what became of them."""
    found: list[str] = []
    scores: list[float] = []
    became: set[str] = set()
    for start in range(0, end, size):
        answer = send(url, "POST", path, {**body, "from": start, "size": min(size, end - start)})
        became.add(answer.header("X-Rerank-Status") or "")
        found += ids(answer)
        scores += [hit["_score"] for hit in json.loads(answer.body)["hits"]["hits"]]
    return found, scores, became


@pytest.mark.parametrize("target", [NARROW, f"{WIDE},{NARROW}"])
def test_the_window_shrinks_to_an_indexs_own(engine: Engine, proxy: ProxyThread, target: str) -> None:
    path, body = f"/{target}/_search", {"query": MATCH}
    found, scores, became = walk(proxy.url, path, body, 6, LIMIT)
    assert became == {"full"}
    assert scores == sorted(scores, reverse=True)
    own = ids(send(engine.url, "POST", path, {**body, "size": LIMIT}))
    # The first pages were asked for before the limit was known: no hit may be lost or doubled by that.
    assert sorted(found) == sorted(own)
    assert found != own
    told = json.loads(send(proxy.url, "POST", f"/_rerank/explain/{target}", body).body)
    assert told["page"]["window"] == LIMIT


def test_a_page_above_an_indexs_limit_is_the_engines_error(engine: Engine, proxy: ProxyThread) -> None:
    body = {"query": MATCH, "from": LIMIT, "size": 5}
    direct, through = (send(url, "POST", f"/{NARROW}/_search", body) for url in (engine.url, proxy.url))
    assert (direct.status, direct.body) == (through.status, through.body)
    assert direct.status in (400, 500)


def same_page(engine: Engine, proxy: ProxyThread, path: str, body: dict[str, Any]) -> Answer:
    """Ask for a page whose window fails where the page does not: the client gets the engine's."""
    direct = send(engine.url, "POST", path, body)
    assert json.loads(direct.body)["_shards"]["failed"] == 0
    through = send(proxy.url, "POST", path, body)
    assert blanked(through.body) == blanked(direct.body)
    return through


@pytest.mark.parametrize("target", [LONG, f"{LONG},{WIDE}"])
def test_a_deep_hit_that_cannot_be_highlighted(engine: Engine, proxy: ProxyThread, target: str) -> None:
    """One index: an error; two: 200, and one of them gone without a word but `_shards.failed`."""
    body = {"query": {"match": {"title": "red warm long"}}, "size": 3, "highlight": {"fields": {"title": {}}}}
    direct_deep = send(engine.url, "POST", f"/{target}/_search", {**body, "size": 200})
    failed = direct_deep.status >= 400 or json.loads(direct_deep.body)["_shards"]["failed"] > 0
    assert failed
    through = same_page(engine, proxy, f"/{target}/_search", body)
    assert (through.header("X-Rerank-Status") or "").startswith("fallback")


def test_an_index_without_source_beside_others(engine: Engine, proxy: ProxyThread) -> None:
    body = {"query": MATCH, "size": 5, "indices_boost": [{WIDE: 1000.0}]}
    through = send(proxy.url, "POST", f"/{WIDE},{BARE}/_search", body)
    direct = send(engine.url, "POST", f"/{WIDE},{BARE}/_search", body)
    assert through.status == direct.status == 200
    assert json.loads(through.body)["hits"]["total"] == json.loads(direct.body)["hits"]["total"]
    assert json.loads(through.body)["_shards"]["failed"] == 0
    assert len(ids(through)) == 5


def test_a_rescorer_that_lowers_scores_bounds_the_window(engine: Engine, proxy: ProxyThread) -> None:
    lowering = {"rescore_query": {"match_all": {}}, "score_mode": "min"}
    body = {"query": MATCH, "rescore": {"window_size": 12, "query": lowering}}
    told = json.loads(send(proxy.url, "POST", f"/_rerank/explain/{WIDE}", body).body)
    assert told["page"]["window"] == 12
    first = ids(send(proxy.url, "POST", f"/{WIDE}/_search", {**body, "size": 12}))
    assert sorted(first) == sorted(ids(send(engine.url, "POST", f"/{WIDE}/_search", {**body, "size": 12})))


@pytest.fixture
def elasticsearch(engine: Engine) -> None:
    if not engine.is_elasticsearch:
        pytest.skip("vectors and retrievers of this form are not for OpenSearch")


@pytest.mark.usefixtures("elasticsearch")
@pytest.mark.parametrize("k", [7, 30])
def test_a_vector_search_keeps_its_k(engine: Engine, proxy: ProxyThread, k: int) -> None:
    near = {"field": "v", "query_vector": [1.0, 2.0], "k": k, "num_candidates": 40}
    body = {"knn": near, "ext": {"rerank": {"query_context": {"query_text": TEXT}}}}
    path = "/vectors/_search"
    found, _, became = walk(proxy.url, path, body, 5, 60)
    del body["ext"]
    own = send(engine.url, "POST", path, {**body, "size": 60})
    assert sorted(found) == sorted(ids(own))
    assert len(found) == k
    assert became == {"full"}
    page = send(proxy.url, "POST", path, {**body, "size": 3}, X_Rerank_Query=TEXT)
    assert json.loads(page.body)["hits"]["total"] == json.loads(own.body)["hits"]["total"]


OPEN = {"knn": {"field": "v", "query_vector": [1.0, 2.0]}}
ENCODED = {"wrapper": {"query": base64.b64encode(json.dumps(OPEN).encode()).decode()}}


@pytest.mark.usefixtures("elasticsearch")
@pytest.mark.parametrize(
    "body",
    [
        {"query": {"bool": {"must": MATCH, "filter": OPEN}}},
        {"query": {"bool": {"must": MATCH, "filter": ENCODED}}},
        {"query": MATCH, "post_filter": OPEN},
        {"query": MATCH, "rescore": {"window_size": 30, "query": {"rescore_query": OPEN}}},
        {"query": MATCH, "aggs": {"near": {"filter": OPEN}}},
        {"retriever": {"standard": {"query": {"bool": {"must": MATCH, "filter": OPEN}}}}},
    ],
    ids="-".join,
)
def test_a_vector_search_without_k_takes_the_clients_size(
    engine: Engine, proxy: ProxyThread, body: dict[str, Any]
) -> None:
    """Wherever it stands: a wider search would have another total, other scores or other counts.

    So its first page is ranked within itself, and the engine's own follow.
    """
    direct, deep = (send(engine.url, "POST", "/vectors/_search", {**body, "size": size}) for size in (5, 60))
    told = [{**json.loads(answer.body), "took": 0} for answer in (direct, deep)]
    del told[1]["hits"]["hits"][5:]
    assert told[0] != told[1]
    through = send(proxy.url, "POST", "/vectors/_search", {**body, "size": 5})
    assert through.header("X-Rerank-Status") == "full"
    assert ids(through) != ids(direct)
    assert page_told(through) == page_told(direct)
    found, scores, became = walk(proxy.url, "/vectors/_search", body, 5, 60)
    own, _, _ = walk(engine.url, "/vectors/_search", body, 5, 60)
    assert (sorted(found[:5]), found[5:]) == (sorted(own[:5]), own[5:])
    assert scores == sorted(scores, reverse=True)
    assert became == {"full", "skipped; reason=past-window"}


def page_told(answer: Answer) -> dict[str, Any]:
    """Return an answer less scores, the hits' order and its time."""
    told: dict[str, Any] = {**json.loads(answer.body), "took": 0}
    hits = sorted(told["hits"]["hits"], key=lambda hit: str(hit["_id"]))
    told["hits"] = {**told["hits"], "max_score": 0, "hits": [{**hit, "_score": 0} for hit in hits]}
    return told


@pytest.mark.usefixtures("elasticsearch")
@pytest.mark.parametrize("form", ["knn", "query", "retriever"])
@pytest.mark.parametrize(
    ("query_string", "page", "status"),
    [
        ("", {}, "full"),
        ("", {"size": 25}, "full"),
        ("?size=25", {}, "full"),
        ("?size=4", {"size": 20}, "full"),
        ("?from=0", {"from": 5, "size": 7}, "full"),
        ("?_source=false", {"size": 7}, "full"),
        ("", {"from": 1, "size": 7}, "skipped; reason=knn-without-k"),
        ("?from=6", {"size": 7}, "skipped; reason=knn-without-k"),
        ("", {"from": 7, "size": 7}, "skipped; reason=past-window"),
    ],
)
def test_a_vector_search_without_k_finds_what_the_engine_finds(
    engine: Engine, proxy: ProxyThread, form: str, query_string: str, page: dict[str, int], status: str
) -> None:
    """Top-level ones take the body's size for `k`, queries the one that counts."""
    near = {"knn": {**OPEN["knn"], "num_candidates": 40}}
    forms = {"knn": near, "query": {"query": near}, "retriever": {"retriever": {"standard": {"query": near}}}}
    body = {"aggs": {"best": {"top_hits": {"size": 1}}}, **page, **forms[form]}
    path = f"/vectors/_search{query_string}"
    direct = send(engine.url, "POST", path, body)
    through = send(proxy.url, "POST", path, body, X_Rerank_Query=TEXT)
    assert through.header("X-Rerank-Status") == status
    assert page_told(through) == page_told(direct)
    if status == "full":
        assert ids(through) != ids(direct)
    else:
        assert ids(through) == ids(direct)


@pytest.mark.usefixtures("elasticsearch")
def test_texts_beside_the_source_leave_a_vector_search_without_k_alone(engine: Engine) -> None:
    """They come by a search of their own, which has the client's size too."""
    body = {"query": {"bool": {"must": MATCH, "filter": OPEN}}, "size": 5, "aggs": {"near": {"filter": OPEN}}}
    rule = Rule(target="*", window=200, budget_ms=600_000, text=parse_template("{title.keyword}"))
    with proxy_for(engine.url, rule) as running:
        direct, through = (send(url, "POST", f"/vectors,{BARE}/_search", body) for url in (engine.url, running.url))
    assert through.header("X-Rerank-Status") == "full"
    assert page_told(through) == page_told(direct)


@pytest.mark.usefixtures("elasticsearch")
@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"sort": [{"n": "desc"}]}, "skipped; reason=sort"),
        ({"sort": ["_score", {"n": "desc"}], "search_after": [0.5, 20]}, "skipped; reason=search-after"),
        ({"sort": ["_score", {"n": "desc"}]}, "full"),
        ({"collapse": {"field": "n"}}, "full"),
    ],
)
def test_a_standard_retriever_sorts_and_collapses_as_a_plain_search_does(
    engine: Engine, proxy: ProxyThread, more: dict[str, Any], status: str
) -> None:
    body = {"retriever": {"standard": {"query": MATCH, **more}}, "size": 5}
    direct, through = (send(url, "POST", f"/{WIDE}/_search", body) for url in (engine.url, proxy.url))
    assert through.header("X-Rerank-Status") == status
    if status == "full":
        assert ids(through) != ids(direct)
        shown = [set(json.loads(answer.body)["hits"]["hits"][0]) for answer in (direct, through)]
        assert shown[0] == shown[1]
    else:
        assert blanked(through.body) == blanked(direct.body)


@pytest.mark.usefixtures("elasticsearch")
def test_a_rescorer_retriever_is_not_asked_for_more_than_it_gives(engine: Engine, proxy: ProxyThread) -> None:
    rescore = {"window_size": 15, "query": {"rescore_query": {"match": {"title": "small"}}}}
    tree = {"rescorer": {"retriever": {"standard": {"query": MATCH}}, "rescore": rescore}}
    answer = send(proxy.url, "POST", f"/{WIDE}/_search", {"retriever": tree, "size": 15})
    assert answer.header("X-Rerank-Status") == "full"
    own = send(engine.url, "POST", f"/{WIDE}/_search", {"retriever": tree, "size": 15})
    assert sorted(ids(answer)) == sorted(ids(own))
    too_many = {"retriever": tree, "size": 16}
    direct, through = (send(url, "POST", f"/{WIDE}/_search", too_many) for url in (engine.url, proxy.url))
    assert (through.status, through.body) == (direct.status, direct.body)
    assert direct.status == 400


@pytest.mark.usefixtures("elasticsearch")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"query": MATCH, "sort": [{"title.keyword": "desc"}]}, "sort"),
        ({"query": MATCH, "sort": ["_doc"], "search_after": [3]}, "search-after"),
    ],
)
def test_what_a_standard_retriever_says_of_the_order_holds(
    engine: Engine, proxy: ProxyThread, options: dict[str, Any], reason: str
) -> None:
    body = {"retriever": {"standard": options}, "size": 7}
    direct = send(engine.url, "POST", "/vectors/_search", body)
    assert direct.status == 200
    through = send(proxy.url, "POST", "/vectors/_search", body, X_Rerank_Query=TEXT)
    assert through.header("X-Rerank-Status") == f"skipped; reason={reason}"
    assert blanked(through.body) == blanked(direct.body)


@pytest.mark.usefixtures("elasticsearch")
def test_a_standard_retriever_that_collapses_keeps_its_fields(engine: Engine, proxy: ProxyThread) -> None:
    collapse = {"field": "title.keyword"}
    body = {"retriever": {"standard": {"query": MATCH, "collapse": collapse}}, "size": 200, "fields": ["n"]}
    direct = send(engine.url, "POST", "/vectors/_search", body)
    through = send(proxy.url, "POST", "/vectors/_search", body)
    assert through.header("X-Rerank-Status") == "full"
    one, other = (json.loads(answer.body)["hits"] for answer in (direct, through))
    assert other["total"] == one["total"]
    shown = {hit["_id"]: hit["fields"] for hit in one["hits"]}
    assert {hit["_id"]: hit["fields"] for hit in other["hits"]} == shown
    assert all(fields.keys() == {"title.keyword"} for fields in shown.values())


def test_a_profile_tells_of_the_clients_own_sections(engine: Engine, proxy: ProxyThread) -> None:
    body = {"query": MATCH, "profile": True, "size": 5}
    direct, through = (send(url, "POST", f"/{WIDE}/_search", body) for url in (engine.url, proxy.url))
    assert through.header("X-Rerank-Status") == "full"
    one, other = (json.loads(answer.body)["profile"]["shards"] for answer in (direct, through))
    assert list(map(_phases, other)) == list(map(_phases, one))


def _phases(shard: dict[str, Any]) -> list[str]:
    """OpenSearch 2 does not profile the fetch; 3 has a list of fetches."""
    fetches = shard.get("fetch", [])
    listed = fetches if isinstance(fetches, list) else [fetches]
    return [phase["type"] for fetch in listed for phase in fetch.get("children", [])]
