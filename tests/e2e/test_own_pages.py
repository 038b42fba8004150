"""The proxy's own pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.e2e.test_faults import HITS, ScriptedEngine
from tests.support import Answer, ProxyThread, ask

JSON = {"Content-Type": "application/json"}


class SwitchableModel(DummyModel):
    """Fails while it is told to."""

    broken = False

    def score(self, query: str, document: Any, document_tokens: int) -> float:
        if self.broken:
            raise RuntimeError("out of order")
        return super().score(query, document, document_tokens)


@pytest.fixture
def model() -> SwitchableModel:
    return SwitchableModel()


@pytest.fixture
def proxy(model: SwitchableModel) -> Iterator[ProxyThread]:
    with ScriptedEngine() as engine:
        settings = Settings(
            upstream=(engine.url,),
            listen=Listen("127.0.0.1", 0),
            rules=(Rule(target="shop", budget_ms=10_000),),
            metadata_auth="ApiKey c2VjcmV0",
        )
        with ProxyThread(settings, lambda: ThreadScorer({"base": lambda: model}, MemoryScoreCache(1000), 1)) as proxy:
            yield proxy


def get(proxy: ProxyThread, page: str) -> Answer:
    return ask(proxy.url, "GET", f"/_rerank/{page}")


def explain(proxy: ProxyThread, target: str, body: dict[str, Any], parameters: str = "") -> dict[str, Any]:
    got = ask(proxy.url, "POST", f"/_rerank/explain/{target}{parameters}", json.dumps(body).encode(), JSON)
    assert got.status == 200, got.body
    shown: dict[str, Any] = json.loads(got.body)
    return shown


def test_health_pages(proxy: ProxyThread) -> None:
    for page, status in (("health/live", "live"), ("health/ready", "ready"), ("health", "ready")):
        got = get(proxy, page)
        assert got.status == 200
        assert json.loads(got.body)["status"] == status


def test_a_failing_model_is_degraded_and_comes_back(proxy: ProxyThread, model: SwitchableModel) -> None:
    model.broken = True
    assert json.loads(get(proxy, "health").body)["status"] == "degraded"  # the model is really asked
    body = json.dumps({"query": {"match": {"title": "red shoe"}}}).encode()
    assert ask(proxy.url, "POST", "/shop/_search", body, JSON).header("X-Rerank-Status") == "fallback; reason=model"
    got = get(proxy, "health/ready")
    assert got.status == 200  # it can still forward
    assert json.loads(got.body)["status"] == "degraded"
    assert b'rerank_model_healthy{model="base"} 0.0' in get(proxy, "metrics").body
    model.broken = False
    other = json.dumps({"query": {"match": {"title": "red thing"}}}).encode()
    assert ask(proxy.url, "POST", "/shop/_search", other, JSON).header("X-Rerank-Status") == "full"
    assert json.loads(get(proxy, "health").body)["status"] == "ready"


def test_metrics_count_searches_and_the_cache(proxy: ProxyThread) -> None:
    body = json.dumps({"query": {"match": {"title": "red shoe"}}}).encode()
    for _ in range(2):
        ask(proxy.url, "POST", "/shop/_search", body, JSON)
    ask(proxy.url, "POST", "/shop/_search", b'{"size":0}', JSON)
    ask(proxy.url, "GET", "/_cat/indices")
    page = get(proxy, "metrics").body.decode()
    assert 'rerank_searches_total{reason="",status="full"} 2.0' in page
    assert 'rerank_searches_total{reason="size-zero",status="skipped"} 1.0' in page
    # Of 30 documents those with the same text are one pair.
    distinct = len({"red shoe" if number % 3 == 0 else f"thing {number}" for number in range(HITS)})
    assert f"rerank_cache_entries {distinct}.0" in page
    assert f"rerank_pairs_scored_total {distinct}.0" in page
    assert f"rerank_cache_hits_total {HITS}.0" in page
    assert 'rerank_requests_total{kind="forwarded"} 1.0' in page


def test_config_hides_secrets(proxy: ProxyThread) -> None:
    got = get(proxy, "config")
    assert got.status == 200
    assert b"c2VjcmV0" not in got.body
    assert json.loads(got.body)["rules"][0]["target"] == "shop"


def test_explain_shows_each_decision(proxy: ProxyThread) -> None:
    shown = explain(proxy, "shop", {"query": {"match": {"title": "red shoe"}}})
    assert shown["status"] == "full"
    assert shown["query_text"] == {"text": "red shoe", "source": "match"}
    assert shown["text"] == "{title}"
    assert shown["text_line"] == 'text: "{title}"'  # to be pasted into a rule
    assert len(shown["hits"]) == HITS
    assert [hit["rank"] for hit in shown["hits"]] == list(range(1, HITS + 1))
    assert sorted(hit["engine_rank"] for hit in shown["hits"]) == list(range(1, HITS + 1))
    first = shown["hits"][0]
    assert first["text"] == "red shoe"
    assert first["logit"] == max(hit["logit"] for hit in shown["hits"])
    assert {"upstream", "score"} <= shown["timings_ms"].keys()


@pytest.mark.parametrize(
    ("target", "body", "status", "reason"),
    [
        ("elsewhere", {}, "not matched", "no rule matches the target 'elsewhere'"),
        ("shop", {"sort": ["price"]}, "skipped", "sort"),
        ("shop", {"query": {"match_all": {}}}, "skipped", "no-query-text"),
    ],
)
def test_explain_says_why_not(proxy: ProxyThread, target: str, body: dict[str, Any], status: str, reason: str) -> None:
    shown = explain(proxy, target, body)
    assert (shown["status"], shown["reason"]) == (status, reason)


def test_what_is_not_there_is_said_in_the_engines_form(proxy: ProxyThread) -> None:
    got = get(proxy, "no-such-page")
    assert got.status == 404
    assert json.loads(got.body)["error"]["type"] == "resource_not_found_exception"
    assert ask(proxy.url, "POST", "/_rerank/metrics", b"", {}).status == 405


def test_the_client_can_ask_for_the_engines_order(proxy: ProxyThread) -> None:
    body = json.dumps({"query": {"match": {"title": "red shoe"}}, "size": 3}).encode()
    got = ask(proxy.url, "POST", "/shop/_search", body, {**JSON, "X-Rerank-Skip": "true"})
    assert got.header("X-Rerank-Status") == "skipped; reason=asked"
    assert [hit["_id"] for hit in json.loads(got.body)["hits"]["hits"]] == ["0", "1", "2"]


def test_the_client_can_give_the_query_text(proxy: ProxyThread) -> None:
    body = {"query": {"match_all": {}}, "size": 1}
    headers = {**JSON, "X-Rerank-Query": "thing 7"}
    got = ask(proxy.url, "POST", "/shop/_search", json.dumps(body).encode(), headers)
    assert got.header("X-Rerank-Status") == "full"
    assert json.loads(got.body)["hits"]["hits"][0]["_id"] == "7"
    ext = {"rerank": {"query_context": {"query_text": "thing 8"}}}
    got = ask(proxy.url, "POST", "/shop/_search", json.dumps({**body, "ext": ext}).encode(), JSON)
    assert json.loads(got.body)["hits"]["hits"][0]["_id"] == "8"


@pytest.mark.parametrize(
    "sent", ["café".encode(), "café".encode("latin-1"), b"caf%C3%A9"], ids=["utf-8", "latin-1", "%"]
)
def test_a_query_text_in_a_header_comes_as_clients_can_write_it(proxy: ProxyThread, sent: bytes) -> None:
    headers = {**JSON, "X-Rerank-Query": sent.decode("latin-1")}
    got = ask(proxy.url, "POST", "/_rerank/explain/shop", b'{"query":{"match_all":{}}}', headers)
    assert got.status == 200, got.body
    assert json.loads(got.body)["query_text"] == {"text": "café", "source": "given"}
