"""Texts that do not stand in `_source`, fields that are objects, and what is said where there is no text."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.settings import Rule, parse_template
from tests.engines import Engine
from tests.support import ProxyThread, ask
from tests.support_shop import NDJSON, ids, proxy_for, send

pytestmark = pytest.mark.engine

KEYWORD = {"type": "keyword"}
TITLE = {"type": "text", "fields": {"raw": {**KEYWORD, "ignore_above": 30}, "whole": KEYWORD}}
MAPPINGS: dict[str, dict[str, Any]] = {
    "sources-usual": {"properties": {"title": TITLE, "brand": KEYWORD, "note": {"type": "text"}}},
    "sources-none": {
        "_source": {"enabled": False},
        "properties": {
            "title": TITLE,
            "brand": KEYWORD,
            "note": {"type": "text", "store": True},
            "body": {"type": "text"},
            "n": {"type": "integer"},
        },
    },
    "sources-parts": {
        "_source": {"excludes": ["body", "maker.*"]},
        "properties": {
            "title": TITLE,
            "body": {"type": "text"},
            "maker": {"properties": {"name": KEYWORD}},
        },
    },
}
TITLES = ["a red shoe with a name that is rather long", "warm shoe", "red warm shoe", "lace"]


@pytest.fixture(scope="module", autouse=True)
def indices(engine: Engine) -> Iterator[None]:
    one_shard = {"number_of_shards": 1, "number_of_replicas": 0}
    for name, mapping in MAPPINGS.items():
        assert send(engine.url, "PUT", f"/{name}", {"settings": one_shard, "mappings": mapping}).status == 200
        for number, title in enumerate(TITLES):
            document = {
                "title": title,
                "brand": ["Zeta", "Acme"],
                "note": f"note {number}",
                "body": "hidden",
                "maker": {"name": "Acme"},
                "n": 7,
            }
            path = f"/{name}/_doc/{name[8]}{number}?refresh=true"
            assert send(engine.url, "PUT", path, document).status == 201
    yield
    for name in MAPPINGS:
        ask(engine.url, "DELETE", f"/{name}")


def rule_for(text: str | None, **more: Any) -> Rule:
    return Rule(target="*", budget_ms=600_000, text=None if text is None else parse_template(text), blend=0.0, **more)


SEARCH: dict[str, Any] = {"query": {"match": {"title": "red warm shoe lace"}}, "size": 20}


def explained(proxy: ProxyThread, target: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = send(proxy.url, "POST", f"/_rerank/explain/{target}", body)
    assert answer.status == 200, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


def texts(told: dict[str, Any]) -> dict[str, str]:
    assert told["status"] == "full", told
    return {hit["_id"]: hit["text"] for hit in told["hits"]}


def same_hits(engine: Engine, proxy: ProxyThread, target: str, body: dict[str, Any]) -> None:
    """Each hit is the engine's own, whatever was asked for on the way."""
    through, direct = (send(url, "POST", f"/{target}/_search", body) for url in (proxy.url, engine.url))
    ours, theirs = (
        {(hit["_index"], hit["_id"]): {**hit, "_score": None} for hit in json.loads(answer.body)["hits"]["hits"]}
        for answer in (through, direct)
    )
    assert through.header("X-Rerank-Status") == "full"
    assert ours == theirs
    assert len(ours) > 1


@pytest.mark.parametrize(
    "asked", [{}, {"docvalue_fields": ["brand"]}, {"_source": False}, {"post_filter": {"term": {"brand": "Acme"}}}]
)
def test_an_index_without_source_is_read_from_stored_fields_and_doc_values(
    engine: Engine, asked: dict[str, Any]
) -> None:
    with proxy_for(engine.url, rule_for("{title} | {brand} | {note} | {n}")) as proxy:
        told = explained(proxy, "sources-none", {**SEARCH, **asked})
        assert texts(told) == {f"n{n}": f"{title} | Acme Zeta | note {n} | 7" for n, title in enumerate(TITLES)}
        assert told["text_from"] == {
            "sources-none": {
                "title": "docvalue_fields: title.whole",
                "brand": "docvalue_fields: brand",
                "note": "stored_fields: note",
                "n": "docvalue_fields: n",
            }
        }
        assert told["warnings"] == []
        same_hits(engine, proxy, "sources-none", {**SEARCH, **asked})
        found = ids(send(proxy.url, "POST", "/sources-none/_search", {**SEARCH, "size": 1}))
        assert found == [told["hits"][0]["_id"]]


def test_each_kind_of_index_in_its_own_way(engine: Engine) -> None:
    target = ",".join(MAPPINGS)
    with proxy_for(engine.url, rule_for("{title} | {maker.name} | {note}")) as proxy:
        told = explained(proxy, target, SEARCH)
        found = texts(told)
        assert found["u1"] == "warm shoe | Acme | note 1"
        assert found["p1"] == "warm shoe | Acme | note 1"
        # `maker` has no mapping there that was given, hence one by default: a text with a keyword
        assert found["n1"] == "warm shoe | Acme | note 1"
        same_hits(engine, proxy, target, SEARCH)
        collapsed = {**SEARCH, "collapse": {"field": "title.whole"}}
        assert len(texts(explained(proxy, target, collapsed))) == len(TITLES)


def test_items_of_a_multi_search(engine: Engine) -> None:
    targets = ["sources-none", "sources-usual,sources-none"]
    lines = [line for target in targets for line in ({"index": target}, SEARCH)]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with proxy_for(engine.url, rule_for("{title}")) as proxy:
        answer = ask(proxy.url, "POST", "/_msearch", body, NDJSON)
        assert answer.header("X-Rerank-Status") == "items=2; full=2"
        for item, target in zip(json.loads(answer.body)["responses"], targets, strict=True):
            alone = send(proxy.url, "POST", f"/{target}/_search", SEARCH)
            assert [hit["_id"] for hit in item["hits"]["hits"]] == ids(alone)


@pytest.mark.parametrize("text", ["{title}", None])
def test_texts_of_an_index_without_source_where_no_rule_names_them(engine: Engine, text: str | None) -> None:
    with proxy_for(engine.url, rule_for(text)) as proxy:
        assert texts(explained(proxy, "sources-none", SEARCH))["n2"] == "red warm shoe"
        both = texts(explained(proxy, "sources-none,sources-usual", SEARCH))
        assert (both["n2"], both["u2"]) == ("red warm shoe", "red warm shoe")


@pytest.mark.parametrize(
    ("target", "text", "status", "problem"),
    [
        (
            "sources-none",
            "{body}",
            "skipped; reason=text-unavailable",
            "body cannot be read: index sources-none keeps no _source, and has neither stored fields nor doc values",
        ),
        (
            "sources-parts",
            "{title} {body}",
            "full",
            "body cannot be read: index sources-parts leaves them out of _source",
        ),
        (
            "sources-usual,sources-none",
            "{title} {body}",
            "full",
            "body cannot be read: index sources-none keeps no _source",
        ),
        ("sources-parts", "{title} {maker}", "full", "maker of the rule's text is an object"),
        ("sources-parts", "{maker}", "skipped; reason=text-unavailable", "name one of its fields"),
    ],
)
def test_what_cannot_be_read_is_said_once_and_costs_nothing_more(
    engine: Engine, caplog: pytest.LogCaptureFixture, target: str, text: str, status: str, problem: str
) -> None:
    with caplog.at_level(logging.WARNING), proxy_for(engine.url, rule_for(text)) as proxy:
        for number in range(3):
            answer = send(proxy.url, "POST", f"/{target}/_search", {**SEARCH, "size": 2})
            assert answer.header("X-Rerank-Status") == status
            assert ("mapping" in (answer.header("Server-Timing") or "")) is (number == 0)
        assert any(problem in warning for warning in explained(proxy, target, SEARCH)["warnings"])
        (told,) = json.loads(ask(proxy.url, "GET", "/_rerank/health").body)["targets"]
        assert told["name"] == f"target {target}"
        assert problem in told["problem"]
    assert caplog.text.count(problem) == 1


def test_fields_of_a_flattened_object_are_there(engine: Engine) -> None:
    name, kind = "sources-flat", "flattened" if engine.is_elasticsearch else "flat_object"
    made = send(engine.url, "PUT", f"/{name}", {"mappings": {"properties": {"labels": {"type": kind}}}})
    assert made.status == 200
    try:
        for number in range(2):
            document = {"title": "red shoe", "labels": {"colour": "red"}}
            assert send(engine.url, "PUT", f"/{name}/_doc/{number}?refresh=true", document).status == 201
        search = {"query": {"match": {"title": "red"}}}
        with proxy_for(engine.url, rule_for("{labels.colour}")) as proxy:
            told = explained(proxy, name, search)
            assert told["warnings"] == []
            assert "red" in texts(told)["0"]
    finally:
        ask(engine.url, "DELETE", f"/{name}")


@pytest.mark.parametrize("asked", [{}, {"fields": ["brand", "n"]}, {"_source": ["brand"]}, {"_source": False}])
def test_a_source_that_the_engine_derives_is_read_as_a_kept_one(engine: Engine, asked: dict[str, Any]) -> None:
    if engine.name != "os3":
        pytest.skip("derived sources are not for engines other than OpenSearch 3")
    name, properties = "sources-derived", {"title": {"type": "text"}, "brand": KEYWORD, "n": {"type": "integer"}}
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "derived_source": {"enabled": True}}
    made = send(engine.url, "PUT", f"/{name}", {"settings": settings, "mappings": {"properties": properties}})
    assert made.status == 200, made.body
    try:
        for number, title in enumerate(TITLES):
            document = {"title": title, "brand": ["Zeta", "Acme"], "n": number}
            assert send(engine.url, "PUT", f"/{name}/_doc/{number}?refresh=true", document).status == 201
        with proxy_for(engine.url, rule_for("{title} | {brand}")) as proxy:
            told = explained(proxy, name, {**SEARCH, **asked})
            assert texts(told) == {str(n): f"{title} | Acme Zeta" for n, title in enumerate(TITLES)}
            assert told["warnings"] == []
            same_hits(engine, proxy, name, {**SEARCH, **asked})
    finally:
        ask(engine.url, "DELETE", f"/{name}")


def test_the_health_page_asks_again_with_the_proxys_own_credentials(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    name = "sources-later"
    assert send(engine.url, "PUT", f"/{name}", {"mappings": {"properties": {"title": TITLE}}}).status == 200
    rule = Rule(target="sources-lat*", text=parse_template("{title} {taste}"), model="base")
    own = {"metadata_auth": "Basic bm9ib2R5Om5vdGhpbmc=", "mapping_ttl_s": 0}
    try:
        with caplog.at_level(logging.WARNING), proxy_for(engine.url, rule, **own) as proxy:
            for _ in range(2):
                (told,) = json.loads(ask(proxy.url, "GET", "/_rerank/health").body)["targets"]
                assert told["problem"] == "no index has the field taste of the rule's text"
            added = {"properties": {"taste": {"type": "text"}}}
            assert send(engine.url, "PUT", f"/{name}/_mapping", added).status == 200
            assert json.loads(ask(proxy.url, "GET", "/_rerank/health").body)["targets"] == []
        assert caplog.text.count("no index has the field taste") == 1
    finally:
        ask(engine.url, "DELETE", f"/{name}")
