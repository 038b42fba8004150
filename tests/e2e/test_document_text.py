"""What the model reads of a hit, on the engines: nested objects, HTML, chunks; and what is said of missing fields."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.settings import Rule, parse_template
from tests.engines import Engine
from tests.support import ask
from tests.support_shop import ids, proxy_for, send

pytestmark = pytest.mark.engine

INDEX = "texts"
DOCUMENTS: list[dict[str, Any]] = [
    {"title": "plain", "body": "<p>red&nbsp;<b>warm</b></p><script>shoe</script>", "maker": {"name": "Acme"}},
    {"title": "other", "body": "nothing", "parts": [{"name": "red sole"}, {"name": ["warm", "lace"], "weight": 2}]},
    {"title": "long", "body": " ".join(["filler"] * 200 + ["red", "warm", "shoe"])},
    {"title": ["list", "red", "warm", "shoe"], "body": "&lt;none&gt;", "variants": [{"size": "S"}, {"size": "M"}]},
]


@pytest.fixture(scope="module", autouse=True)
def index(engine: Engine) -> Iterator[None]:
    properties = {
        "title": {"type": "text"},
        "body": {"type": "text"},
        "parts": {"type": "nested", "properties": {"name": {"type": "text"}, "weight": {"type": "integer"}}},
    }
    assert send(engine.url, "PUT", f"/{INDEX}", {"mappings": {"properties": properties}}).status == 200
    for number, document in enumerate(DOCUMENTS):
        assert send(engine.url, "PUT", f"/{INDEX}/_doc/{number}?refresh=true", document).status == 201
    yield
    ask(engine.url, "DELETE", f"/{INDEX}")


def texts(engine: Engine, template: str, body: dict[str, Any] | None = None, **rule: Any) -> dict[str, str]:
    """Return what the model sees of each hit, by id, as the explain page tells it."""
    search = {"query": {"match": {"_all_": "x"}}, **(body or {})}
    search["query"] = {"bool": {"should": [{"match": {"title": "red warm shoe"}}, {"match_all": {}}]}}
    options = {"target": "*", "budget_ms": 600_000, "text": parse_template(template), **rule}
    with proxy_for(engine.url, Rule(**options)) as proxy:
        told = json.loads(send(proxy.url, "POST", f"/_rerank/explain/{INDEX}", search).body)
        assert told["status"] == "full", told
        return {hit["_id"]: hit["text"] for hit in told["hits"]}


def test_html_is_read_as_text(engine: Engine) -> None:
    assert texts(engine, "{title} {body:20}")["0"] == "plain red warm"
    assert texts(engine, "{body:20}")["3"] == "<none>"
    assert texts(engine, "{body:20}", html=False)["3"] == "&lt;none&gt;"


def test_objects_nested_objects_and_lists(engine: Engine) -> None:
    found = texts(engine, "{title} | {parts.name} | {maker.name} | {variants.size}")
    assert found == {
        "0": "plain | Acme",
        "1": "other | red sole warm lace",
        "2": "long",
        "3": "list red warm shoe | S M",
    }


@pytest.mark.parametrize(
    "asked",
    [{}, {"fields": ["title"]}, {"fields": ["parts.weight", "title"]}, {"_source": False, "fields": ["parts.*"]}],
)
def test_nested_fields_that_we_ask_for_do_not_show(engine: Engine, asked: dict[str, Any]) -> None:
    body = {"query": {"match": {"body": "red warm nothing none"}}, **asked}
    rule = Rule(target="*", budget_ms=600_000, text=parse_template("{title} {parts.name}"), scores="keep")
    with proxy_for(engine.url, rule) as proxy:
        through, direct = (send(url, "POST", f"/{INDEX}/_search", body) for url in (proxy.url, engine.url))
    assert through.header("X-Rerank-Status") == "full"
    ours, theirs = (
        {hit["_id"]: hit for hit in json.loads(answer.body)["hits"]["hits"]} for answer in (through, direct)
    )
    assert ours == theirs
    assert len(ours) > 1


def test_a_long_text_is_found_by_its_end(engine: Engine) -> None:
    body = {"query": {"match_all": {}}, "ext": {"rerank": {"query_context": {"query_text": "red warm shoe"}}}}
    for long_text, first in (("cut", "3"), ("chunks", "2")):
        rule = Rule(
            target="*",
            budget_ms=600_000,
            text=parse_template("{body}") if long_text == "chunks" else parse_template("{title} {body}"),
            long_text=long_text,  # type: ignore[arg-type]
            document_tokens=64,
            max_chunks=10,
        )
        with proxy_for(engine.url, rule) as proxy:
            assert ids(send(proxy.url, "POST", f"/{INDEX}/_search", body))[0] == first
            told = json.loads(send(proxy.url, "POST", f"/_rerank/explain/{INDEX}", body).body)
            parts = {hit["_id"]: hit.get("chunks") for hit in told["hits"]}
            assert bool(parts["2"]) is (long_text == "chunks")
            if parts["2"]:
                assert " ".join(parts["2"]) == DOCUMENTS[2]["body"]
                assert parts["0"] is None


def test_a_field_that_no_index_has_is_said_everywhere_until_it_is_there(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    rule = Rule(target="*", budget_ms=600_000, text=parse_template("{title} {flavour}"))
    problem = "no index has the field flavour of the rule's text"
    with caplog.at_level(logging.WARNING), proxy_for(engine.url, rule, mapping_ttl_s=0) as proxy:
        search = {"query": {"match": {"title": "red"}}}
        assert send(proxy.url, "POST", f"/{INDEX}/_search", search).header("X-Rerank-Status") == "full"
        told = json.loads(send(proxy.url, "POST", f"/_rerank/explain/{INDEX}", search).body)
        assert any(problem in warning for warning in told["warnings"])
        health = json.loads(ask(proxy.url, "GET", "/_rerank/health").body)
        assert health["targets"] == [{"name": f"target {INDEX}", "problem": problem}]
        assert caplog.text.count(problem) == 1
        added = send(engine.url, "PUT", f"/{INDEX}/_mapping", {"properties": {"flavour": {"type": "text"}}})
        assert added.status == 200
        send(proxy.url, "POST", f"/{INDEX}/_search", search)
        assert json.loads(ask(proxy.url, "GET", "/_rerank/health").body)["targets"] == []


def test_an_index_without_source_is_answered_by_the_engine_and_told(engine: Engine) -> None:
    name = "texts-without-source"
    mapping = {"_source": {"enabled": False}, "properties": {"title": {"type": "text"}}}
    assert send(engine.url, "PUT", f"/{name}", {"mappings": mapping}).status == 200
    for number in range(3):
        assert send(engine.url, "PUT", f"/{name}/_doc/{number}?refresh=true", {"title": "red shoe"}).status == 201
    search = {"query": {"match": {"title": "red"}}}
    try:
        with proxy_for(engine.url, Rule(target="*", text=parse_template("{title}"))) as proxy:
            for _ in range(3):
                answer = send(proxy.url, "POST", f"/{name}/_search", search)
                assert ids(answer) == ids(send(engine.url, "POST", f"/{name}/_search", search))
            status = answer.header("X-Rerank-Status") or ""
            assert status in ("skipped; reason=text-unavailable", "skipped; reason=no-text")
    finally:
        ask(engine.url, "DELETE", f"/{name}")


def test_at_the_start_rules_are_checked_with_the_proxys_own_credentials(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    import asyncio

    from proxy.edge.probe import check_rules
    from proxy.edge.server import start_proxy
    from proxy.settings import Listen, Settings

    rules = (
        Rule(target=INDEX, model="identity", text=parse_template("{title} {taste}")),
        Rule(target="nowhere", model="identity", text=parse_template("{title}")),
        Rule(target="text*,-other", model="identity", text=parse_template("{title} {parts.name}")),
    )

    async def check() -> None:
        settings = Settings((engine.url,), Listen("127.0.0.1", 0), rules, metadata_auth="Basic bm9ib2R5Om5vdGhpbmc=")
        proxy = await start_proxy(settings)
        try:
            await check_rules(proxy.services)
            assert list(proxy.services.context.problems) == [f"target {INDEX}"]
        finally:
            await proxy.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(check())
    assert "no index has the field taste of the rule's text" in caplog.text


def test_hits_of_several_indices_are_read_by_their_own_rules(engine: Engine) -> None:
    other = "texts-other"
    assert send(engine.url, "PUT", f"/{other}/_doc/9?refresh=true", {"name": "red boot", "title": "no"}).status == 201
    rules = (
        Rule(target="texts-other*", text=parse_template("{name}"), budget_ms=600_000),
        Rule(target="*", text=parse_template("{title}"), budget_ms=600_000),
    )
    search = {"query": {"bool": {"should": [{"match": {"title": "red warm shoe no"}}, {"match_all": {}}]}}}
    try:
        with proxy_for(engine.url, *rules) as proxy:
            told = json.loads(send(proxy.url, "POST", f"/_rerank/explain/{INDEX},{other}", search).body)
            found = {(hit["_index"], hit["_id"]): hit["text"] for hit in told["hits"]}
            assert found[(other, "9")] == "red boot"
            assert found[(INDEX, "2")] == "long"
            answer = send(proxy.url, "POST", f"/{INDEX},{other}/_search", search)
            assert answer.header("X-Rerank-Status") == "full"
            assert b'"fields"' not in answer.body
    finally:
        ask(engine.url, "DELETE", f"/{other}")
