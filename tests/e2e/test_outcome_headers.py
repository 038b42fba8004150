"""What an answer's headers say of the window, on real engines; explain says the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.settings import Rule
from tests.engines import Engine
from tests.support import Answer, ProxyThread, ask
from tests.support_shop import NDJSON, proxy_for, send, shop

pytestmark = pytest.mark.engine

INDEX = "told"
WINDOW = 20
MATCH = {"query": {"match": {"title": "red warm shoe"}}, "size": 5}
BLUE: dict[str, Any] = {"match": {"title": "blue shoe"}}
FEW = {"query": {"bool": {"must": [BLUE], "filter": [{"range": {"n": {"lt": 7}}}]}}, "size": 5}
NONE = {"query": {"bool": {"must": [BLUE], "filter": [{"range": {"n": {"lt": 0}}}]}}}
BESIDE_THE_STATUS = {"X-Rerank-Window", "X-Rerank-Cached", "X-Rerank-Ms", "X-Rerank-Model"}


@pytest.fixture(scope="module", autouse=True)
def index(engine: Engine) -> Iterator[str]:
    with shop(engine.url, INDEX) as name:
        yield name


@pytest.fixture
def proxy(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine.url, Rule(window=WINDOW, budget_ms=600_000, templates=True)) as running:
        yield running


def search(proxy: ProxyThread, body: dict[str, Any]) -> Answer:
    return send(proxy.url, "POST", f"/{INDEX}/_search", body)


def told(answer: Answer) -> list[str | None]:
    return [answer.header(f"X-Rerank-{name}") for name in ("Status", "Window", "Cached", "Model")]


def test_the_window_and_what_of_it_was_known(proxy: ProxyThread) -> None:
    answer = search(proxy, FEW)
    assert told(answer) == ["full", "7", "0", "base"]
    assert re.fullmatch(r"\d+\.\d", answer.header("X-Rerank-Ms") or "")
    assert told(search(proxy, MATCH)) == ["full", "20", "0", "base"]
    assert told(search(proxy, {**MATCH, "from": WINDOW - 2})) == ["full", "20", "20", "base"]
    assert told(search(proxy, NONE)) == ["full", "0", "0", "base"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**MATCH, "sort": ["n"]}, "skipped; reason=sort"),
        ({**MATCH, "from": WINDOW}, "skipped; reason=past-window"),
        ({"query": {"match_all": {}}}, "skipped; reason=no-query-text"),
    ],
)
def test_where_no_window_is_ranked_the_status_stands_alone(proxy: ProxyThread, body: Any, status: str) -> None:
    answer = search(proxy, body)
    assert answer.header("X-Rerank-Status") == status
    assert not BESIDE_THE_STATUS & {name for name, _ in answer.headers}


def test_a_template_is_told_of_as_its_search(engine: Engine, proxy: ProxyThread) -> None:
    if engine.is_elasticsearch:
        pytest.skip("not for an engine without templates")
    answer = send(proxy.url, "POST", f"/{INDEX}/_search/template", {"source": MATCH})
    assert told(answer) == ["full", "20", "0", "base"]


def test_a_multi_search_sums_its_items(proxy: ProxyThread) -> None:
    searches = [MATCH, FEW, {**MATCH, "sort": ["n"]}]
    lines = b"".join(b"{}\n" + json.dumps(one).encode() + b"\n" for one in searches)
    search(proxy, FEW)
    answer = ask(proxy.url, "POST", f"/{INDEX}/_msearch", lines, NDJSON)
    assert told(answer) == ["items=3; full=2; skipped=1", "27", "7", "base"]
    assert re.fullmatch(r"\d+\.\d", answer.header("X-Rerank-Ms") or "")


@pytest.mark.parametrize("body", [MATCH, {**MATCH, "size": 0}])
def test_explain_says_the_same(proxy: ProxyThread, body: dict[str, Any]) -> None:
    search(proxy, body)
    answer = search(proxy, body)
    shown = json.loads(send(proxy.url, "POST", f"/_rerank/explain/{INDEX}", body).body)
    timed = {"X-Rerank-Ms", "Server-Timing"}
    ours = {name: value for name, value in answer.headers if name in BESIDE_THE_STATUS | timed | {"X-Rerank-Status"}}
    assert shown["headers"].keys() == ours.keys()
    assert {key: shown["headers"][key] for key in ours.keys() - timed} == {
        key: ours[key] for key in ours.keys() - timed
    }
