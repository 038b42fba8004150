"""Asynchronous searches, on a scripted upstream: not run on a real engine, as those here come without the feature."""

from __future__ import annotations

import json

import pytest

from proxy.settings import Rule
from tests.edge.wire import Exchange, client, proxy_before, upstream

ENVELOPE = (
    b'{"id":"x","is_partial":%b,"is_running":%b,"start_time_in_millis":1,"expiration_time_in_millis":2,'
    b'"response":{"took":1,"timed_out":false,"_shards":{"total":1,"failed":0},"hits":{"total":{"value":2},'
    b'"max_score":2.0,"hits":[{"_id":"a","_score":2.0}]}}}'
)
FOUND = (
    b'{"took":1,"timed_out":false,"_shards":{"total":1,"failed":0},"hits":{"total":{"value":2},"max_score":2.0,"hits":'
    b'[{"_index":"shop","_id":"a","_score":2.0,"fields":{"t":["hat"]}},'
    b'{"_index":"shop","_id":"b","_score":1.0,"fields":{"t":["red shoe"]}}]}}'
)
BODY = b'{"query":{"match":{"t":"red shoe"}},"size":1}'
RULE = Rule(target="shop", model="identity", async_search=True)


async def asked(status: bytes, envelope: bytes, found: bytes, rule: Rule = RULE) -> tuple[list[Exchange], bytes, bytes]:
    """Start an asynchronous search; return what the upstream saw, and the answer."""
    seen: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        seen.append(exchange)
        start = "_async_search" in exchange.request_line
        code, body = (status, envelope) if start else (b"200 OK", found)
        head = (
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nX-elastic-product: Elasticsearch\r\nContent-Length: %d"
        )
        await exchange.send(head % (code, len(body)) + b"\r\n\r\n" + body)

    async with upstream(script) as engine, proxy_before(engine.url, rules=(rule,)) as proxy, client(proxy) as user:
        target = b"/shop/_async_search?wait_for_completion_timeout=5s&keep_on_completion=true&preference=p"
        await user.send(
            b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (target, len(BODY), BODY)
        )
        head, body = await user.response()
    return seen, head, body


async def test_what_is_over_at_once_gets_the_order_of_the_plain_search() -> None:
    seen, head, body = await asked(b"200 OK", ENVELOPE % (b"false", b"false"), FOUND)
    paths = [exchange.request_line.split()[1] for exchange in seen]
    assert [path for path in paths if "_search?" in path] == [
        "/shop/_async_search?wait_for_completion_timeout=5s&keep_on_completion=true&preference=p",
        "/shop/_search?preference=p",
    ]
    assert seen[0].body == BODY
    assert b"X-Rerank-Status: full" in head
    answer = json.loads(body)
    assert answer["id"] == "x"
    assert [hit["_id"] for hit in answer["response"]["hits"]["hits"]] == ["a"]
    assert "fields" not in BODY.decode()
    assert answer["response"]["hits"]["hits"][0]["_index"] == "shop"  # the plain search's, not the start's


@pytest.mark.parametrize(("partial", "running"), [(b"true", b"true"), (b"true", b"false")])
async def test_what_is_not_over_is_passed_on(partial: bytes, running: bytes) -> None:
    envelope = ENVELOPE % (partial, running)
    seen, head, body = await asked(b"200 OK", envelope, FOUND)
    assert len(seen) == 1
    assert body == envelope
    assert b"X-Rerank-Status: skipped; reason=still-running" in head


@pytest.mark.parametrize("found", [b"no JSON", b'{"error":{},"status":400}'])
async def test_a_failing_plain_search_leaves_the_start_as_it_is(found: bytes) -> None:
    envelope = ENVELOPE % (b"false", b"false")
    _, head, body = await asked(b"200 OK", envelope, found)
    assert body == envelope
    assert b"X-Rerank-Status: fallback; reason=unparsable-answer" in head


async def test_an_error_is_the_engines() -> None:
    error = b'{"error":{"type":"x"},"status":400}'
    seen, head, body = await asked(b"400 Bad Request", error, FOUND)
    assert (len(seen), body) == (1, error)
    assert head.startswith(b"HTTP/1.1 400")


async def test_without_the_rule_it_passes() -> None:
    envelope = ENVELOPE % (b"false", b"false")
    seen, head, body = await asked(b"200 OK", envelope, FOUND, Rule(target="shop", model="identity"))
    assert (len(seen), body) == (1, envelope)
    assert b"X-Rerank-Status" not in head
