"""The runner's own parts, without an engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rest_suite.cases import load_yaml, read_cases
from tests.rest_suite.client import Response
from tests.rest_suite.cluster import Cluster
from tests.rest_suite.compare import Runner, difference
from tests.rest_suite.fetch import SuiteError, suite_in
from tests.rest_suite.run import run_case
from tests.rest_suite.skips import why_skipped
from tests.rest_suite.spec import Api, BadCall, Request, encode_body, raw_request, read_apis
from tests.rest_suite.values import MISSING, Failure, Stash, equal, is_true, look_up, search_pattern

OPENSEARCH = Cluster(False, "2.19.1", {"testattr": "test"})
ELASTICSEARCH = Cluster(True, "8.19.21", {}, frozenset({"search.good"}), "debian-12")

SEARCH = {
    "url": {
        "paths": [
            {"path": "/_search", "methods": ["GET", "POST"]},
            {"path": "/{index}/_search", "methods": ["GET", "POST"], "parts": {"index": {"type": "list"}}},
            {
                "path": "/{index}/{type}/_search",
                "methods": ["GET"],
                "parts": {"index": {}, "type": {}},
                "deprecated": {},
            },
        ]
    },
    "params": {"from": {"type": "number"}, "typed_keys": {"type": "boolean"}},
    "body": {"description": "the search"},
}
BULK = {
    "url": {"paths": [{"path": "/_bulk", "methods": ["POST"]}]},
    "params": {},
    "body": {"required": True, "serialize": "bulk"},
}


@pytest.fixture(name="apis")
def _apis(tmp_path: Path) -> dict[str, Api]:
    for name, described in (("search", SEARCH), ("bulk", BULK)):
        (tmp_path / f"{name}.json").write_text(json.dumps({name: described}))
    (tmp_path / "_common.json").write_text(json.dumps({"params": {"pretty": {}}, "documentation": {"url": "x"}}))
    return read_apis(tmp_path)


class Scripted:
    """A client that answers every request alike."""

    def __init__(self, body: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.requests: list[Request] = []
        self._answer = (status, (("content-type", "application/json"), *headers), json.dumps(body).encode())

    def send(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(request.method, *self._answer)


def run_text(text: str, apis: dict[str, Api], client: Scripted, folder: Path) -> Any:
    """Run the only case of a file."""
    tests = folder / "tests"
    tests.mkdir(exist_ok=True)
    (tests / "one.yml").write_text(text)
    (case,) = read_cases(tests)
    return run_case(case, client, apis, OPENSEARCH)  # type: ignore[arg-type]


def test_yaml_scalars_are_read_as_the_engines_runner_reads_them() -> None:
    text = "{a: 2018-01-01, b: 12:30, c: on, d: yes, e: 1e3, f: 0.5, g: 010, h: true, 1: x, i: null, j: -1.5E-2}"
    assert load_yaml(text) == [
        {
            "a": "2018-01-01",
            "b": "12:30",
            "c": "on",
            "d": "yes",
            "e": 1000.0,
            "f": 0.5,
            "g": 10,
            "h": True,
            "1": "x",
            "i": None,
            "j": -0.015,
        }
    ]


def test_requests(apis: dict[str, Api]) -> None:
    search = apis["search"]
    assert search.request({}).target == "/_search"
    request = search.request({"index": ["a b", "c/d"], "from": 3, "typed_keys": True, "pretty": True, "body": {"x": 1}})
    assert request.target == "/a%20b,c%2Fd/_search?from=3&typed_keys=true&pretty=true"
    assert (request.body, request.headers) == (b'{"x": 1}', {"Content-Type": "application/json"})
    assert search.request({"index": "i", "type": "t"}).target == "/i/t/_search"  # deprecated, but all that fits
    for wrong in ({"nonsense": 1}, {"type": "t"}):
        with pytest.raises(BadCall):
            search.request(wrong)
    with pytest.raises(BadCall):
        apis["bulk"].request({})
    assert apis["bulk"].request({"body": [{"index": {}}, '{"a": 1}']}).body == b'{"index": {}}\n{"a": 1}\n'
    assert encode_body("{a: 1}", bulk=False) == b'{"a": 1}'
    assert encode_body('{"a": 1}\n{"b": 2}', bulk=True) == b'{"a": 1}\n{"b": 2}\n'


def test_bodies_are_written_as_the_engines_runner_writes_them(apis: dict[str, Api]) -> None:
    assert encode_body('{"a": 1}\n{"b": 2}', bulk=False) == b'{"a": 1}\n{"b": 2}\n'
    assert encode_body([{"a": 1}, '{"b": 2}'], bulk=False) == b'{"a": 1}\n{"b": 2}\n'
    # A document over several lines, and several in one text.
    pretty = ['{"update": {}}', '{\n  "doc": {\n    "a": 1\n  }\n}\n', '{"index": {}}\n{"c": 3}']
    assert encode_body(pretty, bulk=True).splitlines() == [
        b'{"update": {}}',
        b'{"doc": {"a": 1}}',
        b'{"index": {}}',
        b'{"c": 3}',
    ]
    assert encode_body(['{"a" : 1.10}'], bulk=True) == b'{"a" : 1.10}\n'  # one line stays as it is written
    assert encode_body("{not json", bulk=True) == b"{not json\n"
    assert apis["search"].request({"body": ""}).body is None
    in_yaml = {"Content-Type": "application/yaml"}
    request = apis["search"].request({"body": {"query": {"match": {"a": "b"}}}}, in_yaml)
    assert request.headers == in_yaml
    assert load_yaml((request.body or b"").decode()) == [{"query": {"match": {"a": "b"}}}]


def test_raw_calls() -> None:
    request = raw_request({"method": "PUT", "path": "a/_doc/1", "refresh": True, "body": {"x": 1}}, {"X": "y"})
    assert str(request) == "PUT /a/_doc/1?refresh=true"
    assert (request.body, request.headers) == (b'{"x": 1}', {"Content-Type": "application/json", "X": "y"})
    assert str(raw_request({"method": "GET", "path": "/_cat"}, {})) == "GET /_cat"
    with pytest.raises(BadCall, match="path"):
        raw_request({"method": "GET"}, {})


def test_all_ways_to_send_a_body_are_used(apis: dict[str, Api]) -> None:
    requests = [apis["search"].request({"pretty": True, "body": {"from": number}}) for number in range(40)]
    assert {request.method for request in requests if request.body} == {"GET", "POST"}
    (in_url, *_) = (request for request in requests if not request.body)
    assert (in_url.method, in_url.headers) == ("GET", {})
    assert in_url.target.startswith("/_search?pretty=true&source=%7B%22from%22%3A+")
    assert in_url.target.endswith("&source_content_type=application%2Fjson")
    long = [apis["search"].request({"body": {"from": number, "stats": ["x" * 4000]}}) for number in range(40)]
    assert all(request.body for request in long)


def test_paths_and_stash() -> None:
    stash = Stash(node="n1", number=3)
    answer = {"nodes": {"n1": {"a.b": [10, {"c": 1}]}}, "$odd": 1}
    assert look_up(answer, "nodes.$node.a\\.b.1.c", stash) == 1
    assert look_up(answer, "nodes.${node}.a\\.b.0", stash) == 10
    assert look_up(answer, "nodes._arbitrary_key_", stash) == "n1"
    assert look_up(answer, "nodes.n1.nothing.more", stash) is MISSING
    assert look_up(answer, "nodes.n1.a\\.b.7", stash) is MISSING
    assert look_up(answer, "", stash) is answer
    assert stash.fill({"$node": ["$number", "x${node}y", "cost: $5 off"]}) == {"n1": [3, "xn1y", "cost: $5 off"]}
    with pytest.raises(Failure, match="unknown"):
        stash.fill("$unknown")


def test_comparing() -> None:
    assert equal({"a": [1, 2.0]}, {"a": [1.0, 2]})
    assert not equal({"a": 1}, {"a": 1, "b": 2})
    assert equal(4611686018427387903, 4.611686018427388e18)
    assert not equal(4611686018427387903, 4611686018427387904)
    assert not equal("1", 1)
    assert not equal(True, 1)
    assert not equal([1, 2], [2, 1])
    assert all(map(is_true, ("x", 1, [], {}, True, 0.5)))
    assert not any(map(is_true, ("", "false", "0", 0, False, None, MISSING)))
    assert search_pattern(r"^ a [ b ] \s  # comment" + "\n  c $", "ab c", verbose=True)
    assert not search_pattern("a b", "ab", verbose=False)
    assert search_pattern(r"(?<year>\d+)\h\p{Alpha}++(?<!x)\z", "in 2026 a", verbose=False)  # as Java writes it


@pytest.mark.parametrize(
    ("cluster", "ranges", "inside"),
    [
        (OPENSEARCH, " - 7.9.99", False),  # a version of Elasticsearch before the fork
        (OPENSEARCH, " - 2.18.99", False),
        (OPENSEARCH, "- 2.99.99", True),
        (OPENSEARCH, "3.0.0 - ", False),
        (OPENSEARCH, "1.0.0 - ", True),
        (OPENSEARCH, "all", True),
        (OPENSEARCH, " - 1.0.0, 2.19.0 - 2.19.5", True),
        (ELASTICSEARCH, " - 7.9.99", False),
        (ELASTICSEARCH, "8.0.0 - 8.99.99", True),
        (ELASTICSEARCH, "8.19.21", True),
    ],
)
def test_version_ranges(cluster: Cluster, ranges: str, inside: bool) -> None:
    assert cluster.in_ranges(ranges) is inside


@pytest.mark.parametrize(
    ("kind", "wanted", "skipped"),
    [
        ("skip", {"features": "headers, warnings"}, False),
        ("skip", {"features": ["headers", "time_machine"]}, True),
        ("requires", {"test_runner_features": "time_machine"}, True),
        ("requires", {"cluster_features": ["gte_v8.12.0", "search.good"]}, False),
        ("requires", {"cluster_features": "gte_v9.1.0"}, True),
        ("requires", {"cluster_features": "search.better"}, True),
        ("skip", {"cluster_features": "search.good"}, True),
        ("skip", {"known_issues": [{"cluster_feature": "search.good", "fixed_by": "search.better"}]}, True),
        ("skip", {"awaits_fix": "a link"}, True),
        ("skip", {"os": ["debian-8", "debian-12"]}, True),
        ("skip", {"os": "debian-8"}, False),
        ("requires", {"capabilities": [{"method": "GET", "path": "/_search", "capabilities": ["x"]}]}, True),
    ],
)
def test_skipping(kind: str, wanted: dict[str, Any], skipped: bool) -> None:
    class Incapable:
        def ask(self, method: str, target: str) -> Response:
            assert (method, target) == ("GET", "/_capabilities?method=GET&path=%2F_search&capabilities=x")
            return Response(method, 200, (("content-type", "application/json"),), b'{"supported": false}')

    why = why_skipped(kind, wanted, ELASTICSEARCH, Incapable())  # type: ignore[arg-type]
    assert (why is not None) is skipped


HITS = {
    "hits": {"total": 2, "hits": [{"_id": "1", "_score": 1.5}, {"_id": "2", "_score": 1.0}]},
    "text": "a 12 b",
    "tags": ["b", "a", "a"],
    "time": "2026-01-01T00:00:00.500Z",
    "nothing": None,
}


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ("match: {hits.total: 2}", "passed"),
        ("match: {hits.total: 3}", "failed"),
        ("match: {hits.nothing: null}", "passed"),
        (r"match: {text: '/^a \s \d+ \s b$/'}", "passed"),
        (r"match: {text: '/^\d+$/'}", "failed"),
        ("length: {hits.hits: 2}", "passed"),
        ("length: {hits.hits: 1}", "failed"),
        ("is_true: hits.hits.0", "passed"),
        ("is_true: hits.hits.2", "failed"),
        ("is_false: hits.hits.2", "passed"),
        ("is_false: hits.hits.0", "failed"),
        ("gt: {hits.hits.0._score: 1.5}", "failed"),
        ("gte: {hits.hits.0._score: 1.5}", "passed"),
        ("lt: {hits.hits.1._score: 1.5}", "passed"),
        ("lte: {hits.hits.1._score: 0.5}", "failed"),
        ("lt: {text: 3}", "failed"),
        ("contains: {hits.hits: {_id: '2'}}", "passed"),
        ("contains: {hits.hits: {_id: '3'}}", "failed"),
        ("close_to: {hits.hits.0._score: {value: 1.4, error: 0.2}}", "passed"),
        ("close_to: {hits.hits.0._score: {value: 1.4, error: 0.01}}", "failed"),
        ("contains: {hits: {total: 2}}", "passed"),
        ("contains: {hits: {total: 3}}", "failed"),
        ("contains: {hits.total: 2}", "failed"),
        ("contains: {tags: a}", "passed"),
        ("matches_in_any_order: {tags: [a, b, a]}", "passed"),
        ("matches_in_any_order: {tags: [a, b, b]}", "failed"),
        ("matches_in_any_order: {tags: [a, b]}", "failed"),
        ("matches_in_any_order: {hits.total: 2}", "passed"),
        ("matches_in_any_order: {hits.total: [2]}", "failed"),
        ("is_after: {time: '2026-01-01T00:00:00Z'}", "passed"),
        ("is_after: {time: '2026-01-01T00:00:01.000+00:00'}", "failed"),
        ("eventually: [{match: {hits.total: 2}}, {is_true: text}]", "passed"),
        ("match: {hits.total: $body.hits.total}", "passed"),
        ("match: {hits.hits.0._id: '${_project_id_prefix_}1'}", "passed"),
        ("exists: nothing", "failed"),
        ("not_exists: nothing", "passed"),
        ("exists: hits", "passed"),
        ("not_exists: hits", "failed"),
        ("set: {hits.hits.1._id: x}\n  - match: {hits.hits.1._id: $x}", "passed"),
        ("set: {not.there: x}", "failed"),
        ("do: {search: {nonsense: 1}}", "failed"),
        ("do: {catch: param, search: {nonsense: 1}}", "passed"),
        ("do: {catch: missing, search: {}}", "failed"),
        ("do: {no_such_api: {}}", "failed"),
        ("skip: {version: all}\n  - match: {hits.total: 3}", "skipped"),
        ("is_odd: hits.total", "skipped"),
    ],
)
def test_steps(steps: str, status: str, apis: dict[str, Api], tmp_path: Path) -> None:
    result = run_text(f"case:\n  - do: {{search: {{}}}}\n  - {steps}\n", apis, Scripted(HITS), tmp_path)
    assert result.status == status, result.detail


@pytest.mark.parametrize(
    ("catch", "status"),
    [
        ("bad_request", "passed"),
        ("conflict", "failed"),
        ("request", "failed"),
        ("'/type=parse_error, reason=bad .+ here/'", "passed"),
        ("/nothing like it/", "failed"),
    ],
)
def test_catches(catch: str, status: str, apis: dict[str, Api], tmp_path: Path) -> None:
    client = Scripted({"error": {"type": "parse_error", "reason": "bad thing here"}, "status": 400}, 400)
    text = f"case:\n  - do: {{search: {{}}, catch: {catch}}}\n"
    assert run_text(text, apis, client, tmp_path).status == status


@pytest.mark.parametrize(
    ("expected", "status"),
    [
        ("", "failed"),
        ("warnings: ['old [thing]'], ", "passed"),
        ("allowed_warnings: ['old [thing]', other], ", "passed"),
        ("warnings: ['old [thing]', other], ", "failed"),
        ("warnings_regex: ['^old'], ", "passed"),
    ],
)
def test_warnings(expected: str, status: str, apis: dict[str, Api], tmp_path: Path) -> None:
    warning = ("Warning", '299 OpenSearch-2.19.1-abc "[query][1:8] old [thing]"')
    text = f"case:\n  - do: {{{expected}search: {{}}}}\n"
    assert run_text(text, apis, Scripted({}, headers=(warning,)), tmp_path).status == status


def test_what_holds_only_after_a_while(apis: dict[str, Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.rest_suite.run._PAUSE_S", 0)
    client = Scripted({"hits": {"total": 0}})

    class Filling(Scripted):
        def send(self, request: Request) -> Response:
            answer = client.send(request)
            client._answer = (*client._answer[:2], json.dumps({"hits": {"total": len(client.requests)}}).encode())
            return answer

    steps = "eventually: [{do: {search: {}}}, {match: {hits.total: 3}}]"
    result = run_text(f"case:\n  - {steps}\n", apis, Filling({}), tmp_path)
    assert result.status == "passed", result.detail
    assert len(client.requests) == 4


def test_setup_and_teardown_surround_a_case(apis: dict[str, Api], tmp_path: Path) -> None:
    text = """
setup:
  - do: {search: {index: before}}
---
teardown:
  - do: {search: {index: after, headers: {X: y}}}
---
case:
  - do: {search: {index: within}, headers: {X-Opaque-Id: me}}
  - match: {hits.total: 7}
"""
    client = Scripted(HITS)
    text = text.replace(", headers: {X: y}", "")
    assert run_text(text, apis, client, tmp_path).status == "failed"
    assert [request.target for request in client.requests] == ["/before/_search", "/within/_search", "/after/_search"]
    assert client.requests[1].headers == {"X-Opaque-Id": "me"}


def test_bodies_that_are_texts_name_stashed_values(apis: dict[str, Api], tmp_path: Path) -> None:
    text = """
case:
  - do: {search: {}}
  - set: {hits.total: total}
  - do: {search: {body: '{"from": "$total", "cost": "6 $"}'}}
  - do: {bulk: {body: ['{"index": {"_id": "$total"}}', {"a": "${total}x"}]}}
"""
    client = Scripted(HITS)
    result = run_text(text, apis, client, tmp_path)
    assert result.status == "passed", result.detail
    bodies = [request.body for request in client.requests]
    assert bodies == [None, b'{"from": 2, "cost": "6 $"}', b'{"index": {"_id": 2}}\n{"a": "2x"}\n']


def test_a_difference_is_seen(apis: dict[str, Api], tmp_path: Path) -> None:
    text = "case:\n  - do: {search: {}}\n  - is_true: hits.hits\n"
    first = run_text(text, apis, Scripted({**HITS, "took": 5}), tmp_path)
    same = run_text(text, apis, Scripted({**HITS, "took": 7}), tmp_path)
    assert difference(first, same) is None
    turned = {**HITS, "took": 5, "hits": {"hits": HITS["hits"]["hits"][::-1]}}  # type: ignore[index]
    assert "body" in (difference(first, run_text(text, apis, Scripted(turned), tmp_path)) or "")
    assert "failed" in (difference(first, run_text(text, apis, Scripted({}), tmp_path)) or "")


class SomeEngine:
    """What the comparison asks an engine or a proxy: a cluster with an index that cannot be deleted, and the metric."""

    def __init__(self, status: str) -> None:
        self._status = status

    def send(self, request: Request) -> Response:
        headers = (("content-type", "application/json"), ("X-Rerank-Status", self._status))
        return Response(request.method, 200, headers, json.dumps(HITS).encode())

    def ask(self, method: str, target: str, body: Any = None) -> Response:
        answers: dict[str, Any] = {
            "/_nodes": {"nodes": {"n": {"version": "2.19.1"}}},
            "/_cluster/settings": {},
            "/_cluster/state/metadata": {"metadata": {"indices": {".kept": {}}}},
        }
        if method == "DELETE":
            return Response(method, 403, (), b"reserved")
        found = answers.get(target.partition("?")[0])
        if found is None:
            return Response(method, 200, (), b'rerank_searches_total{status="full",reason=""} 3\n')
        return Response(method, 200, (("content-type", "application/json"),), json.dumps(found).encode())

    def close(self) -> None:
        """Nothing is open."""


def test_a_report_tells_what_is_left_behind_and_what_is_not_reranked(
    apis: dict[str, Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = {"engine": SomeEngine(""), "proxy": SomeEngine("fallback; reason=shard-failures")}
    monkeypatch.setattr("tests.rest_suite.compare.Client", lambda url, headers=None: clients[url])
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "one.yml").write_text("case:\n  - do: {search: {index: i}}\n")
    with Runner(apis, "engine", "proxy") as runner:
        comparison = runner.run(read_cases(tmp_path / "tests"))
    assert (comparison.direct, comparison.proxied) == ({"passed": 1}, {"passed": 1})
    assert comparison.reranked == 3
    report = "\n".join(comparison.lines())
    assert "left behind by what was there before: DELETE /.kept" in report
    assert "not reranked: one.yml / case: GET /i/_search: fallback; reason=shard-failures" in report


def test_unreadable_suites(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="--api"):
        suite_in(tmp_path)
    with pytest.raises(SuiteError, match="no tests"):
        read_cases(tmp_path)
    (tmp_path / "bad.yml").write_text("case: [")
    with pytest.raises(SuiteError, match=r"bad\.yml"):
        read_cases(tmp_path)
    (tmp_path / "bad.yml").write_text("case: [step]")
    with pytest.raises(SuiteError, match="'step' is no step"):
        read_cases(tmp_path)
