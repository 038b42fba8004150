"""Scores over all pages of a search, on real engines: they never rise, and ``max_score`` is the first hit's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings
from tests.engines import Engine
from tests.support import Answer, ProxyThread, ask
from tests.support_shop import COUNT, NDJSON, proxy_for, send, shop

pytestmark = pytest.mark.engine

INDEX = "scores"
WINDOW = 20
MATCH = {"query": {"match": {"title": "red warm long shoe"}}}


@pytest.fixture(scope="module", autouse=True)
def index(engine: Engine) -> Iterator[str]:
    with shop(engine.url, INDEX) as name:
        yield name


@pytest.fixture
def proxy(engine: Engine) -> Iterator[ProxyThread]:
    """One that has answered nothing yet."""
    with proxy_for(engine.url, Rule(window=WINDOW, budget_ms=600_000)) as running:
        yield running


def search(url: str, body: dict[str, Any], parameters: str = "") -> Answer:
    answer = send(url, "POST", f"/{INDEX}/_search{parameters}", {**MATCH, **body})
    assert answer.status == 200, answer.body[:300]
    return answer


def hits(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)["hits"]
    return found


PAGES = [(0, 7), (13, 7), (14, 12), (WINDOW, 7), (90, 5)]
"""Inside the window, at its end, across it, behind it, and past the last hit."""


def test_max_score_is_the_windows_on_every_page(engine: Engine, proxy: ProxyThread) -> None:
    pages = [hits(search(proxy.url, {"from": start, "size": size})) for start, size in PAGES]
    assert [len(page["hits"]) for page in pages] == [7, 7, 12, 7, 0]
    assert {page["max_score"] for page in pages} == {pages[0]["hits"][0]["_score"]}
    # as on the engine
    own = [hits(search(engine.url, {"from": start, "size": size})) for start, size in PAGES]
    assert len({page["max_score"] for page in own}) == 1


def test_a_page_behind_a_window_not_seen_has_what_no_hit_is_above(proxy: ProxyThread) -> None:
    behind = {"from": WINDOW, "size": 5}
    unknown = hits(search(proxy.url, behind))
    first = hits(search(proxy.url, {"size": 5}))
    assert unknown["max_score"] == 2.0 >= first["max_score"]
    known = hits(search(proxy.url, behind))
    assert known == {**unknown, "max_score": first["max_score"]}


def test_after_a_change_of_the_index_it_is_not_known(engine: Engine, proxy: ProxyThread) -> None:
    behind = {"query": {"match": {"title": "small blue"}}, "from": WINDOW, "size": 5}
    search(proxy.url, {**behind, "from": 0})
    assert hits(search(proxy.url, behind))["max_score"] < 2.0
    send(engine.url, "PUT", f"/{INDEX}/_doc/more?refresh=true", {"title": "small small blue blue"})
    try:
        assert hits(search(proxy.url, behind))["max_score"] == 2.0
    finally:
        send(engine.url, "DELETE", f"/{INDEX}/_doc/more?refresh=true")


@pytest.mark.parametrize("start", [0, WINDOW - 2, WINDOW, COUNT + 5])
def test_null_stays_null(engine: Engine, proxy: ProxyThread, start: int) -> None:
    """OpenSearch 3 has a number here."""
    own, page = (
        hits(search(url, {"sort": ["_score", {"n": "asc"}], "from": start})) for url in (engine.url, proxy.url)
    )
    assert [found["max_score"] is None for found in (own, page)] == [engine.name != "os3"] * 2


@pytest.mark.parametrize(("blend", "asked"), [(0.1, False), (0.0, True)])
def test_the_only_hit_is_scored_where_its_score_is_the_logits(engine: Engine, blend: float, asked: bool) -> None:
    only = {"query": {"bool": {"must": [MATCH["query"]], "filter": [{"term": {"n": 5}}]}}}
    with proxy_for(engine.url, Rule(blend=blend, budget_ms=600_000)) as proxy:
        answer = search(proxy.url, only)
    assert answer.header("X-Rerank-Status") == "full"
    assert ("score;" in (answer.header("Server-Timing") or "")) is asked
    page = hits(answer)
    assert len(page["hits"]) == 1
    assert page["max_score"] == page["hits"][0]["_score"]
    assert (page["max_score"] == 2.0) is not asked
    assert 1.0 < page["max_score"] <= 2.0


TITLED = 45
"""So many of the shoes have a title; the others are found by their number alone."""
EITHER = {"bool": {"should": [MATCH["query"], {"range": {"n": {"gte": TITLED, "boost": 1.5}}}]}}


@pytest.fixture(scope="module")
def partly(engine: Engine) -> Iterator[str]:
    """An index in which some shoes have lost their title."""
    with shop(engine.url, "scores-partly") as name:
        lines = b"".join(b'{"index":{"_id":"%d"}}\n{"n":%d}\n' % (number, number) for number in range(TITLED, COUNT))
        assert ask(engine.url, "POST", f"/{name}/_bulk?refresh=true", lines, NDJSON).status == 200
        yield name


@pytest.mark.parametrize("textless", ["stay", "below"])
def test_hits_without_a_text_stand_where_the_rule_says(engine: Engine, partly: str, textless: str) -> None:
    rule = Rule(window=40, blend=0.0, textless_hits=textless, budget_ms=600_000)  # type: ignore[arg-type]
    path = f"/{partly}/_search"
    found = [hit["_id"] for hit in hits(send(engine.url, "POST", path, {"query": EITHER, "size": COUNT}))["hits"]]
    with proxy_for(engine.url, rule) as proxy:
        pages = [
            send(proxy.url, "POST", path, {"query": EITHER, "from": start, "size": 7}) for start in range(0, 63, 7)
        ]
    assert {page.header("X-Rerank-Status") for page in pages} == {"full", "skipped; reason=past-window"}
    shown = [hit for page in pages for hit in hits(page)["hits"]]
    ids = [hit["_id"] for hit in shown]
    assert sorted(ids) == sorted(found)
    scores = [hit["_score"] for hit in shown]
    assert scores == sorted(scores, reverse=True)
    without = [hit for hit in found[:40] if int(hit) >= TITLED]
    assert len(without) == COUNT - TITLED
    if textless == "stay":
        assert [ids.index(hit) for hit in without] == [found.index(hit) for hit in without]
    else:
        assert ids[40 - len(without) : 40] == without
        assert max(scores[40 - len(without) :]) < 1 <= min(scores[: 40 - len(without)])


RULES: dict[str, dict[str, Any]] = {
    "the model alone": {"blend": 0.0},
    "min_max": {"blend": 0.4},
    "z_score": {"blend": 0.4, "blend_by": "z_score"},
    "rrf": {"blend": 0.4, "blend_by": "rrf"},
    "chunks": {"blend": 0.0, "long_text": "chunks", "document_tokens": 2},
    "the budget over": {"blend": 0.0, "budget_ms": 60},
    "the budget over, blended": {"blend": 0.4, "budget_ms": 60},
}
STARTS = range(0, COUNT, 7)


def slow_proxy(engine: Engine, options: dict[str, Any]) -> ProxyThread:
    """Return a proxy whose model needs longer for a window than the shortest budget."""
    rule = Rule(**{"window": WINDOW, "budget_ms": 600_000, **options})

    def scorer() -> ThreadScorer:
        return ThreadScorer({"base": lambda: DummyModel(delay_s=0.01)}, MemoryScoreCache(1000), 2)

    return ProxyThread(Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,)), scorer)


def check_falling(pages: list[dict[str, Any]]) -> None:
    shown = [hit for page in pages for hit in page["hits"]]
    assert sorted(int(hit["_id"]) for hit in shown) == list(range(COUNT))
    scores = [hit["_score"] for hit in shown]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


@pytest.mark.parametrize("name", RULES)
def test_scores_fall_over_all_pages_by_any_rule(engine: Engine, name: str) -> None:
    with slow_proxy(engine, RULES[name]) as proxy:
        answers = [search(proxy.url, {"from": start, "size": 7}) for start in STARTS]
    status = answers[0].header("X-Rerank-Status") or ""
    assert status.startswith("partial" if "budget" in name else "full")
    pages = [hits(answer) for answer in answers]
    check_falling(pages)
    assert {page["max_score"] for page in pages} == {pages[0]["hits"][0]["_score"]}


@pytest.mark.parametrize("name", ["the model alone", "min_max", "rrf", "chunks"])
def test_scores_fall_over_the_items_of_a_multi_search(engine: Engine, name: str) -> None:
    searches = [{**MATCH, "from": start, "size": 7} for start in STARTS]
    lines = b"".join(b"{}\n" + json.dumps(one).encode() + b"\n" for one in searches)
    with slow_proxy(engine, RULES[name]) as proxy:
        answer = ask(proxy.url, "POST", f"/{INDEX}/_msearch", lines, NDJSON)
        alone = hits(search(proxy.url, searches[1]))
    assert answer.header("X-Rerank-Status") == "items=9; full=3; skipped=6"
    pages = [item["hits"] for item in json.loads(answer.body)["responses"]]
    check_falling(pages)
    assert pages[1] == alone
