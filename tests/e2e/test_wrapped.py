"""Points in time and templates, reranked where the rule asks for it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.settings import Rule
from tests.engines import Engine
from tests.support import ProxyThread
from tests.support_shop import blanked, ids, proxy_for, send, shop

pytestmark = pytest.mark.engine

INDEX = "wrapped"
MATCH = {"query": {"match": {"title": "red warm long shoe"}}}
OPEN = Rule(target="*", budget_ms=600_000, window=20, pit=True, templates=True)


@pytest.fixture(scope="module", autouse=True)
def index(engine: Engine) -> Iterator[None]:
    with shop(engine.url, INDEX):
        yield


@pytest.fixture(scope="module")
def opted(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine.url, OPEN) as running:
        yield running


@pytest.fixture(scope="module")
def identity(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine.url, Rule(target="*", model="identity", window=20, pit=True, templates=True)) as running:
        yield running


@pytest.fixture(scope="module")
def plain(engine: Engine) -> Iterator[ProxyThread]:
    with proxy_for(engine.url, Rule(target="*", budget_ms=600_000, window=20)) as running:
        yield running


@pytest.fixture
def pit(engine: Engine) -> Iterator[str]:
    """A point in time of the index."""
    if not engine.is_elasticsearch:
        path, key = f"/{INDEX}/_search/point_in_time?keep_alive=1m", "pit_id"
    else:
        path, key = f"/{INDEX}/_pit?keep_alive=1m", "id"
    opened: str = json.loads(send(engine.url, "POST", path).body)[key]
    yield opened
    if not engine.is_elasticsearch:
        send(engine.url, "DELETE", "/_search/point_in_time", {"pit_id": [opened]})
    else:
        send(engine.url, "DELETE", "/_pit", {"id": opened})


def of(pit: str, **body: Any) -> dict[str, Any]:
    return {**MATCH, "pit": {"id": pit, "keep_alive": "1m"}, **body}


def test_a_point_in_time_is_passed_on_unless_the_rule_takes_it(engine: Engine, plain: ProxyThread, pit: str) -> None:
    through = send(plain.url, "POST", "/_search", of(pit))
    assert through.header("X-Rerank-Status") == "skipped; reason=pit"
    assert ids(through) == ids(send(engine.url, "POST", "/_search", of(pit)))


def test_pages_of_a_point_in_time_hold_each_hit_once(engine: Engine, opted: ProxyThread, pit: str) -> None:
    seen: list[str] = []
    for start in range(0, 60, 15):
        page = send(opted.url, "POST", "/_search", of(pit, **{"from": start, "size": 15}))
        assert page.header("X-Rerank-Status") in ("full", "skipped; reason=past-window")
        assert "pit_id" in json.loads(page.body)
        seen += ids(page)
    own = ids(send(engine.url, "POST", "/_search", of(pit, size=60)))
    assert sorted(seen) == sorted(own)
    assert seen[:20] != own[:20]
    assert seen[20:] == own[20:]


def test_the_engines_own_order_of_a_point_in_time_comes_byte_for_byte(
    engine: Engine, identity: ProxyThread, pit: str
) -> None:
    for extra in ({}, {"sort": ["_score"]}, {"sort": [{"_score": "desc"}, {"n": "asc"}]}, {"from": 5, "size": 4}):
        direct = send(engine.url, "POST", "/_search", of(pit, **extra))
        through = send(identity.url, "POST", "/_search", of(pit, **extra))
        assert through.header("X-Rerank-Status") == "full"
        assert blanked(through.body) == blanked(direct.body)


def test_search_after_on_a_point_in_time_is_the_engines(engine: Engine, opted: ProxyThread, pit: str) -> None:
    body = of(pit, sort=[{"_score": "desc"}, {"n": "asc"}], search_after=[9.0, 1])
    through = send(opted.url, "POST", "/_search", body)
    assert through.header("X-Rerank-Status") == "skipped; reason=search-after"
    assert blanked(through.body) == blanked(send(engine.url, "POST", "/_search", body).body)


def test_a_point_in_time_beside_an_index_is_the_engines_error(engine: Engine, opted: ProxyThread, pit: str) -> None:
    direct = send(engine.url, "POST", f"/{INDEX}/_search", of(pit))
    through = send(opted.url, "POST", f"/{INDEX}/_search", of(pit))
    assert (through.status, through.body) == (direct.status, direct.body)
    assert direct.status == 400


ALIAS, OTHER = "wrapped-alias", "wrapped-other"
BY_TARGET = (
    Rule(target=INDEX, budget_ms=600_000, window=20, pit=True),
    Rule(target=ALIAS, model="identity", scores="keep", window=20, pit=True),
    Rule(target=OTHER, window=20),
)


@pytest.fixture
def by_target(engine: Engine) -> Iterator[ProxyThread]:
    """None of its rules means all indices."""
    aliased = {"actions": [{"add": {"index": INDEX, "alias": name}} for name in (ALIAS, OTHER)]}
    assert send(engine.url, "POST", "/_aliases", aliased).status == 200
    with proxy_for(engine.url, *BY_TARGET) as running:
        yield running


def open_pit(engine: Engine, url: str, target: str = INDEX, **headers: str) -> str:
    api = "_pit" if engine.is_elasticsearch else "_search/point_in_time"
    answer = send(url, "POST", f"/{target}/{api}?keep_alive=1m", **headers)
    assert answer.status == 200
    body = answer.body if answer.header("Content-Encoding") != "gzip" else gzip.decompress(answer.body)
    opened: str = json.loads(body)["id" if engine.is_elasticsearch else "pit_id"]
    return opened


def close_pit(engine: Engine, url: str, pit: str) -> int:
    if not engine.is_elasticsearch:
        return send(url, "DELETE", "/_search/point_in_time", {"pit_id": [pit]}).status
    return send(url, "DELETE", "/_pit", {"id": pit}).status


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_point_in_time_opened_through_the_proxy_is_reranked_by_its_targets_rule(
    engine: Engine, by_target: ProxyThread, coding: str
) -> None:
    pit = open_pit(engine, by_target.url, Accept_Encoding=coding)
    own = ids(send(engine.url, "POST", "/_search", of(pit, size=60)))
    seen: list[str] = []
    for start in range(0, 60, 15):
        page = send(by_target.url, "POST", "/_search", of(pit, **{"from": start, "size": 15}))
        assert page.header("X-Rerank-Status") == ("full" if start < 20 else "skipped; reason=past-window")
        seen += ids(page)
        pit = json.loads(page.body)["pit_id"]
    assert sorted(seen) == sorted(own)
    assert seen[:20] == ids(send(by_target.url, "POST", f"/{INDEX}/_search", {**MATCH, "size": 20})) != own[:20]
    assert close_pit(engine, by_target.url, pit) == 200
    gone = [send(url, "POST", "/_search", of(pit)) for url in (engine.url, by_target.url)]
    assert [answer.status for answer in gone] == [404, 404]


def test_a_point_in_time_goes_by_the_rule_of_the_name_that_it_was_opened_for(
    engine: Engine, by_target: ProxyThread
) -> None:
    for target, status in ((ALIAS, "full"), (OTHER, "skipped; reason=pit"), (f"{INDEX},{ALIAS}", None)):
        pit = open_pit(engine, by_target.url, target)
        direct, through = (send(url, "POST", "/_search", of(pit, size=7)) for url in (engine.url, by_target.url))
        assert through.header("X-Rerank-Status") == status
        assert (through.status, blanked(through.body)) == (direct.status, blanked(direct.body))
        close_pit(engine, engine.url, pit)


def test_a_point_in_time_that_is_not_known_is_one_of_all_indices(
    engine: Engine, by_target: ProxyThread, opted: ProxyThread, pit: str
) -> None:
    known = open_pit(engine, by_target.url)  # from here on bodies are looked into
    direct = send(engine.url, "POST", "/_search", of(pit))
    through = send(by_target.url, "POST", "/_search", of(pit))
    assert through.header("X-Rerank-Status") is None
    assert blanked(through.body) == blanked(direct.body)
    for body in ({**MATCH}, {"pit": 5}, {"pit": {"id": 5}}, {"pit": {"id": "x"}}):
        direct, through = (send(url, "POST", "/_search", body) for url in (engine.url, by_target.url))
        assert (through.status, blanked(through.body)) == (direct.status, blanked(direct.body))
        assert through.header("X-Rerank-Status") is None
    assert send(opted.url, "POST", "/_search", of(known)).header("X-Rerank-Status") == "full"
    close_pit(engine, engine.url, known)


@pytest.mark.parametrize("more", [{}, {"keep_alive": "nonsense"}, {"no_such": "1"}])
def test_opening_a_point_in_time_is_the_engines_to_answer(
    engine: Engine, by_target: ProxyThread, more: dict[str, str]
) -> None:
    api = "_pit" if engine.is_elasticsearch else "_search/point_in_time"
    query_string = "&".join(f"{name}={value}" for name, value in {"keep_alive": "1m", **more}.items())
    for target in (INDEX, "wrapped-nowhere"):
        path = f"/{target}/{api}?{query_string}"
        direct, through = (send(url, "POST", path) for url in (engine.url, by_target.url))
        assert (through.status, len(through.body)) == (direct.status, len(direct.body))
        shown = [[name for name, _ in answer.headers] for answer in (direct, through)]
        assert shown[0] == shown[1]


SOURCE = '{"query":{"match":{"title":"{{words}}"}},"size":{{size}}}'


def template(size: int = 5, **more: Any) -> dict[str, Any]:
    return {"source": SOURCE, "params": {"words": "red warm shoe", "size": size}, **more}


@pytest.fixture
def mustache(engine: Engine) -> None:
    if engine.is_elasticsearch:
        pytest.skip(f"templates are not for {engine.name}: its core comes without them")


@pytest.mark.usefixtures("mustache")
def test_a_template_is_reranked_as_its_search_is(engine: Engine, opted: ProxyThread, plain: ProxyThread) -> None:
    as_search = send(
        opted.url, "POST", f"/{INDEX}/_search", {"query": {"match": {"title": "red warm shoe"}}, "size": 5}
    )
    through = send(opted.url, "POST", f"/{INDEX}/_search/template", template())
    assert through.header("X-Rerank-Status") == "full"
    assert ids(through) == ids(as_search)
    own = send(engine.url, "POST", f"/{INDEX}/_search/template", template())
    assert ids(own) != ids(through)
    assert json.loads(own.body).keys() == json.loads(through.body).keys()
    passed = send(plain.url, "POST", f"/{INDEX}/_search/template", template())
    assert blanked(passed.body) == blanked(own.body)
    assert passed.header("X-Rerank-Status") is None


@pytest.mark.usefixtures("mustache")
@pytest.mark.parametrize(
    ("query_string", "body"),
    [
        ("", template()),
        ("?pretty", template()),
        ("?size=2&q=blue&_source=false&terminate_after=1&explain=true", template()),
        ("?rest_total_hits_as_int=true&typed_keys", template()),
        ("?filter_path=hits.hits._id", template()),
        ("?track_total_hits=false", template()),
        ("", template(explain=True)),
        ("", template(profile=False)),
        ("?index=wrapped", template()),
        ("", {"id": "stored-one", "params": {"words": "blue light"}}),
    ],
)
def test_the_engines_own_order_of_a_template_comes_byte_for_byte(
    engine: Engine, identity: ProxyThread, query_string: str, body: dict[str, Any]
) -> None:
    stored = {"script": {"lang": "mustache", "source": {"query": {"match": {"title": "{{words}}"}}, "from": 2}}}
    assert send(engine.url, "PUT", "/_scripts/stored-one", stored).status == 200
    path = ("/_search" if "index=" in query_string else f"/{INDEX}/_search") + f"/template{query_string}"
    direct, through = send(engine.url, "POST", path, body), send(identity.url, "POST", path, body)
    assert through.header("X-Rerank-Status") == "full"
    assert direct.status == through.status == 200
    assert blanked(through.body) == blanked(direct.body)


@pytest.mark.usefixtures("mustache")
@pytest.mark.parametrize(
    "body",
    [
        {"source": '{"query":{"nonsense":{}}}'},
        {"source": "{{"},
        {"source": "no JSON"},
        {"id": "no-such-template"},
        {"source": {"sort": ["n"]}},
        {"source": {"query": {"match_all": {}}}},
        {},
    ],
)
def test_what_a_template_cannot_be_is_the_engines_to_say(
    engine: Engine, opted: ProxyThread, body: dict[str, Any]
) -> None:
    path = f"/{INDEX}/_search/template"
    direct, through = send(engine.url, "POST", path, body), send(opted.url, "POST", path, body)
    assert (through.status, blanked(through.body)) == (direct.status, blanked(direct.body))
    assert (through.header("X-Rerank-Status") or "").startswith(("skipped", "fallback"))
