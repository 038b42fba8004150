"""Default pipelines are looked up, and which of them stand against reranking."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.messages import Forwarded, NeedLookup, NeedSearch, Reason, Rewritten, UpstreamAnswer
from proxy.core.outcomes import OutcomeMemory
from proxy.core.pipelines import PipelineMemory, disturbed_by_widening
from proxy.core.search import Context
from tests.core.fake_engine import JSON_HEADERS, error, make_context, make_search
from tests.core.one_search import QUERY, make
from tests.core.test_outcomes import Clock

OPENSEARCH = (("content-type", "application/json"),)
RERANK = {"response_processors": [{"rerank": {"by_field": {"target_field": "n"}}}]}
HYBRID = {"phase_results_processors": [{"normalization-processor": {}}]}


def answer(body: Any, status: int = 200) -> UpstreamAnswer:
    return UpstreamAnswer(status, OPENSEARCH, json.dumps(body).encode())


def settings(*names: str | None) -> UpstreamAnswer:
    return answer(
        {
            f"products-{number}": {"settings": {"index": {"search": {"default_pipeline": name}}} if name else {}}
            for number, name in enumerate(names)
        }
    )


def forbids(
    memory: PipelineMemory, found: UpstreamAnswer, pipelines: dict[str, Any], query_string: str = "", **more: Any
) -> tuple[bool, list[NeedLookup]]:
    asked: list[NeedLookup] = []
    generator = memory.forbids(make_search({}, query_string, **more))
    try:
        need = next(generator)
        while True:
            asked.append(need)
            name = need.api.rpartition("/")[2]
            definition = pipelines.get(name)
            lookup = answer({name: definition}) if definition is not None else error(403, OPENSEARCH)
            need = generator.send(found if need.api.startswith("_settings") else lookup)
    except StopIteration as stop:
        return stop.value, asked


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), False),
        ((None, None), False),
        (("_none",), False),
        (("hybrid",), False),
        (("rerank",), True),
        (("hybrid", "rerank", None), True),
        (("renames",), True),
        (("not-readable",), True),
    ],
)
def test_a_default_pipeline_that_reranks_or_may_forbids(names: tuple[str | None, ...], expected: bool) -> None:
    renames = {"response_processors": [{"rename_field": {"field": "a", "target_field": "b"}}]}
    pipelines = {"rerank": RERANK, "hybrid": HYBRID, "renames": renames}
    found, asked = forbids(PipelineMemory(60, Clock()), settings(*names), pipelines, "expand_wildcards=all&size=3")
    assert found is expected
    assert asked[0] == NeedLookup("products", "_settings/index.search.default_pipeline", asked[0].params)
    assert asked[0].params.raw == "expand_wildcards=all"
    assert [need.target for need in asked[1:]] == [""] * len({name for name in names if name and name != "_none"})


def test_it_is_remembered_for_each_target_and_user() -> None:
    clock = Clock()
    memory = PipelineMemory(60, clock)
    assert [len(forbids(memory, settings("rerank"), {"rerank": RERANK})[1]) for _ in range(2)] == [2, 0]
    assert forbids(memory, settings("rerank"), {"rerank": RERANK})[0] is True
    assert len(forbids(memory, settings(None), {}, target="others")[1]) == 1
    assert len(forbids(memory, settings(None), {}, identity=b"another")[1]) == 1
    clock.now = 61
    assert len(forbids(memory, settings(None), {})[1]) == 1


def test_elasticsearch_is_asked_once() -> None:
    memory = PipelineMemory(60, Clock())
    elastic = UpstreamAnswer(200, JSON_HEADERS, b"{}")
    assert [len(forbids(memory, elastic, {}, target=name)[1]) for name in ("a", "b", "a")] == [1, 0, 0]


@pytest.mark.parametrize(("status", "asked_again"), [(403, 0), (404, 1), (500, 1)])
def test_settings_that_cannot_be_read_forbid_nothing(status: int, asked_again: int) -> None:
    memory = PipelineMemory(60, Clock())
    assert forbids(memory, error(status, OPENSEARCH), {})[0] is False
    assert len(forbids(memory, settings(None), {})[1]) == asked_again


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"a":1}', b'{"a":{"settings":{"index":{"search":7}}}}'])
def test_settings_of_another_form_forbid_nothing(body: bytes) -> None:
    assert forbids(PipelineMemory(60, Clock()), UpstreamAnswer(200, OPENSEARCH, body), {})[0] is False


def context() -> Context:
    made = make_context()
    made.pipelines = PipelineMemory(60, lambda: 0.0)
    assert isinstance(made.outcomes, OutcomeMemory)
    return made


@pytest.mark.parametrize("query_string", ["", "from=2"])
def test_a_search_under_such_a_pipeline_passes_untouched(query_string: str) -> None:
    setup = make(context=context())
    setup.look_up = lambda need: settings("r") if "_settings" in need.api else answer({"r": RERANK})
    body = {"query": QUERY, "ext": {"rerank": {"query_context": {"query_text": "red"}}}}
    result = setup.run(make_search(body, query_string))
    assert isinstance(result, Forwarded)
    assert (result.call, result.outcome.reason) == (None, Reason.PIPELINE)
    assert not any(isinstance(need, NeedSearch) for need in setup.needs)


def test_a_search_without_such_a_pipeline_is_reranked() -> None:
    setup = make(context=context())
    setup.look_up = lambda need: settings("r") if "_settings" in need.api else answer({"r": HYBRID})
    assert isinstance(setup.run(make_search({"query": QUERY})), Rewritten)
    assert [type(need) for need in setup.needs[:3]] == [NeedLookup, NeedLookup, NeedSearch]
    assert isinstance(setup.run(make_search({"query": QUERY, "size": 2})), Rewritten)
    assert not any(isinstance(need, NeedLookup) for need in setup.needs)


@pytest.mark.parametrize(("body", "query_string"), [({}, "search_pipeline=_none"), ({"search_pipeline": "_none"}, "")])
def test_a_search_that_wants_none_needs_no_look(body: dict[str, Any], query_string: str) -> None:
    setup = make(context=context())
    assert isinstance(setup.run(make_search({"query": QUERY, **body}, query_string)), Rewritten)
    assert not any(isinstance(need, NeedLookup) for need in setup.needs)


@pytest.mark.parametrize(
    "pipeline",
    [
        {"response_processors": {}},
        {"response_processors": [{"a": {}, "b": {}}]},
        {"response_processors": ["sort"]},
        {"response_processors": [{"sort": 1}]},
        {"request_processors": [{"script": {}}]},
        {"other_processors": []},
    ],
)
def test_a_pipeline_of_an_unknown_form_counts_as_disturbed(pipeline: dict[str, Any]) -> None:
    assert disturbed_by_widening(pipeline, [])
    assert not disturbed_by_widening({"response_processors": [{"sort": {"field": "x"}}]}, [])
