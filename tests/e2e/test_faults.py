"""What a client sees when something fails: the table of `docs/failures.md`, each row tried on a scripted upstream."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pytest
from aiohttp import web

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.support import Answer, ProxyThread, ask

HITS = 30
PAGE = {"query": {"match": {"title": "red shoe"}}, "size": 5}
ENGINE_PAGE = [str(number) for number in range(5)]


def hits(start: int, size: int) -> list[dict[str, Any]]:
    return [
        {
            "_index": "shop",
            "_id": str(number),
            "_score": 50.0 - number,
            "_source": {"n": number},
            "fields": {"title": ["red shoe" if number % 3 == 0 else f"thing {number}"]},
        }
        for number in range(start, min(HITS, start + size))
    ]


@dataclass
class ScriptedEngine:
    """An upstream that behaves as its script says: first for widened searches, then for the client's own."""

    widened: Callable[[dict[str, Any]], web.StreamResponse | None] = lambda body: None
    searches: list[dict[str, Any]] = field(default_factory=list)
    delay_s: float = 0.0
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        if request.path.endswith("_field_caps"):
            return web.json_response({"fields": {"title": {"text": {"type": "text"}}}})
        if not request.path.endswith("_search"):
            return web.json_response({})
        self.searches.append(body)
        await asyncio.sleep(self.delay_s)
        is_widened = "fields" in body
        scripted = self.widened(body) if is_widened else None
        if scripted is not None:
            return scripted
        page = hits(body.get("from", 0), body.get("size", 10))
        if not is_widened:
            for hit in page:
                del hit["fields"]
        return web.json_response(answer(page))

    def __enter__(self) -> ScriptedEngine:
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._started.wait(10)
        return self

    def _run(self) -> None:
        async def serve() -> None:
            self._stop = asyncio.Event()
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", self.handle)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._started.set()
            await self._stop.wait()
            await runner.cleanup()

        self._loop.run_until_complete(serve())
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self.stop()


def answer(page: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "took": 2,
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"total": {"value": HITS, "relation": "eq"}, "max_score": 50.0, "hits": page},
        **changes,
    }


def text(body: str) -> Callable[[dict[str, Any]], web.StreamResponse]:
    return lambda asked: web.Response(text=body, content_type="application/json")


def error(status: int) -> Callable[[dict[str, Any]], web.StreamResponse]:
    return lambda asked: web.json_response({"error": {"type": "scripted"}, "status": status}, status=status)


def no_room(asked: dict[str, Any]) -> web.StreamResponse:
    cause = {"type": "circuit_breaking_exception", "reason": "[parent] Data too large"}
    return web.json_response({"error": {"root_cause": [cause], **cause}, "status": 429}, status=429)


def failed_shards(asked: dict[str, Any]) -> web.StreamResponse:
    shards = {"total": 2, "successful": 1, "skipped": 0, "failed": 1}
    return web.json_response(answer(hits(0, 50)[:3], _shards=shards))


def run(engine: ScriptedEngine, model: DummyModel | None = None, **rule: Any) -> Iterator[Answer]:
    """Start a proxy before the engine and ask for the same page for as long as the test wants."""
    settings = Settings(
        upstream=(engine.url,),
        listen=Listen("127.0.0.1", 0),
        rules=(Rule(**{"budget_ms": 10_000, **rule}),),
        max_response_bytes=64 * 1024,
    )

    def scorer() -> ThreadScorer:
        return ThreadScorer({"base": lambda: model or DummyModel()}, MemoryScoreCache(1000), 2)

    with ProxyThread(settings, scorer) as proxy:
        while True:
            yield ask(
                proxy.url, "POST", "/shop/_search", json.dumps(PAGE).encode(), {"Content-Type": "application/json"}
            )


def ids(got: Answer) -> list[str]:
    return [hit["_id"] for hit in json.loads(got.body)["hits"]["hits"]]


def test_all_well_is_reranked() -> None:
    with ScriptedEngine() as engine:
        got = next(run(engine))
    assert (got.status, got.header("X-Rerank-Status")) == (200, "full")
    assert all(int(one) % 3 == 0 for one in ids(got))


@pytest.mark.parametrize(
    ("widened", "reason"),
    [
        pytest.param(text("<html>no search engine</html>"), "unparsable-answer", id="garbage"),
        pytest.param(text('{"took":1,"hits":{"hits":[{"_id":"\\ud800"}]}}'), "unparsable-answer", id="lone surrogate"),
        pytest.param(text('{"took":1}'), "unparsable-answer", id="no hits"),
        pytest.param(text("x" * 100_000), "answer-too-large", id="too large"),
        pytest.param(error(400), "upstream-error", id="400"),
        pytest.param(error(500), "upstream-error", id="500"),
        pytest.param(no_room, "upstream-error", id="429 for want of memory"),
        pytest.param(failed_shards, "shard-failures", id="failed shards"),
    ],
)
def test_a_bad_answer_to_our_request_brings_the_clients_own(
    widened: Callable[[dict[str, Any]], web.StreamResponse], reason: str
) -> None:
    with ScriptedEngine(widened=widened) as engine:
        got = next(run(engine))
        assert engine.searches[1:] == [PAGE]  # the client's own request, once
    assert (got.status, got.header("X-Rerank-Status")) == (200, f"fallback; reason={reason}")
    assert ids(got) == ENGINE_PAGE


@pytest.mark.parametrize("status", [401, 403, 404, 429, 502, 503, 504])
def test_errors_that_are_not_ours_are_passed_on(status: int) -> None:
    with ScriptedEngine(widened=error(status)) as engine:
        got = next(run(engine))
        assert len(engine.searches) == 1
    assert got.status == status
    assert json.loads(got.body) == {"error": {"type": "scripted"}, "status": status}


def broken_model(query: str, document: str) -> float | None:
    raise RuntimeError("out of order")


@pytest.mark.parametrize("fault", [broken_model, lambda query, document: float("nan")], ids=["raises", "NaN"])
def test_a_failing_model_brings_the_engines_page(fault: Callable[[str, str], float | None]) -> None:
    with ScriptedEngine() as engine:
        got = next(run(engine, DummyModel(fault=fault)))
    assert (got.status, got.header("X-Rerank-Status")) == (200, "fallback; reason=model")
    page = json.loads(got.body)["hits"]
    assert ids(got) == ENGINE_PAGE
    assert [hit["_score"] for hit in page["hits"]] == [50.0, 49.0, 48.0, 47.0, 46.0]
    assert all("fields" not in hit for hit in page["hits"])


def test_a_short_budget_ranks_what_is_scored() -> None:
    with ScriptedEngine() as engine:
        answers = run(engine, DummyModel(delay_s=0.05), budget_ms=200)
        got = next(answers)
        status = got.header("X-Rerank-Status") or ""
        assert status.startswith("partial; reason=budget; scored=")
        assert status.endswith(f"/{HITS}")
        assert 0 < int(status.partition("scored=")[2].partition("/")[0]) < HITS
        # What is left is finished while the machine is idle: sooner or later the same page is whole.
        assert any(next(answers).header("X-Rerank-Status") == "full" for _ in range(100))


def test_a_slow_engine_does_not_cost_budget() -> None:
    with ScriptedEngine(delay_s=1.0) as engine:
        got = next(run(engine, budget_ms=900))
    assert got.header("X-Rerank-Status") == "full"


def test_a_stopped_engine_is_a_502_in_the_engines_form() -> None:
    with ScriptedEngine() as engine:
        answers = run(engine)
        assert next(answers).status == 200
        engine.stop()
        got = next(answers)
    assert got.status == 502
    body = json.loads(got.body)
    assert body["status"] == 502
    assert body["error"]["type"] == "upstream_unreachable_exception"
    assert "cannot be reached" in body["error"]["reason"]
