"""Which search pipelines leave a search's hits to us, and which do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from proxy.core.facts import FactsMemory
from proxy.core.messages import (
    Forwarded,
    NeedLookup,
    NeedSearch,
    Outcome,
    Reason,
    Rewritten,
    Status,
    UpstreamAnswer,
)
from proxy.core.pipelines import disturbed_by_widening, reranks
from proxy.settings import Rule
from tests.core.fake_engine import error, make_context, make_search, ok
from tests.core.one_search import QUERY, RULE, Setup, ids, make

FILTER = {"filter_query": {"query": {"term": {"color": "red"}}}}
OVERSAMPLE = {"oversample": {"sample_factor": 2}}
RERANK = {"rerank": {"ml_opensearch": {"model_id": "m"}, "context": {"document_fields": ["title"]}}}
RENAME = {"rename_field": {"field": "color", "target_field": "colour"}}
SKIPPED = Outcome(Status.SKIPPED, Reason.PIPELINE)
HARMLESS: dict[str, dict[str, Any]] = {
    "empty": {},
    "described": {"description": "for the shop", "version": 3},
    "filters": {"request_processors": [FILTER]},
    "routes": {"request_processors": [{"acl_routing_search": {"acl_field": "team"}}]},
    "normalizes": {"phase_results_processors": [{"normalization-processor": {}}]},
    "oversamples and truncates": {
        "request_processors": [OVERSAMPLE],
        "response_processors": [{"truncate_hits": {}}],
    },
    "changes another field": {"response_processors": [RENAME]},
}
HARMFUL: dict[str, dict[str, Any]] = {
    "reranks": {"response_processors": [RERANK]},
    "reranks by a field": {"response_processors": [{"rerank": {"by_field": {"target_field": "n"}}}]},
    "oversamples": {"request_processors": [OVERSAMPLE]},
    "truncates": {"response_processors": [{"truncate_hits": {"target_size": 3}}]},
    "collapses": {"response_processors": [{"collapse": {"field": "color"}}]},
    "changes the text's field": {"response_processors": [{"split": {"field": "title", "separator": " "}}]},
    "writes the text's field": {"response_processors": [{"rename_field": {"field": "x", "target_field": "title"}}]},
    "runs a script": {"request_processors": [{"script": {"source": "x"}}]},
    "is of a plugin": {"response_processors": [{"retrieval_augmented_generation": {}}]},
}
ALL = {**HARMLESS, **HARMFUL}


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


@pytest.mark.parametrize("processors", [[RERANK], [{"sort": {}}, RERANK], {}, ["rerank"], [{"rerank": 1}]])
def test_what_may_rerank_counts_as_reranking(processors: Any) -> None:
    assert reranks({"response_processors": processors})
    assert not reranks({"response_processors": [{"sort": {"field": "x"}}]})
    assert not reranks({"request_processors": [FILTER]})


def knowing(default: str | None = None) -> Callable[[NeedLookup], UpstreamAnswer]:
    """Return what an engine answers that has all of the pipelines, one of them as the index's default."""

    def look_up(need: NeedLookup) -> UpstreamAnswer:
        if need.target == "_search":
            name = need.api.removeprefix("pipeline/").replace("%20", " ").replace("%27", "'")
            return ok(json.dumps({name: ALL[name]}).encode()) if name in ALL else error(404)
        if need.api.startswith("_settings"):
            own = {} if default is None else {"search": {"default_pipeline": default}}
            return ok(json.dumps({"products": {"settings": {"index": own}}}).encode())
        return error(403) if need.api.startswith("_field_caps") else ok(b"{}")

    return look_up


def opensearch(rule: Rule = RULE, default: str | None = None) -> Setup:
    return make(rule=rule, look_up=knowing(default), context=make_context(facts=FactsMemory))


def way(name: str, by: str) -> tuple[Setup, dict[str, Any], str]:
    """Return an engine, the body and the URL's parameters of a search to which the pipeline applies."""
    body: dict[str, Any] = {"query": QUERY}
    if by == "default":
        return opensearch(default=name), body, ""
    if by == "url":
        return opensearch(), body, f"search_pipeline={name.replace(' ', '+')}"
    return opensearch(), {**body, "search_pipeline": name if by == "name" else ALL[name]}, ""


@pytest.mark.parametrize("by", ["url", "name", "definition", "default"])
@pytest.mark.parametrize("name", HARMLESS)
def test_a_pipeline_that_leaves_the_order_alone_is_kept_and_its_hits_are_reranked(name: str, by: str) -> None:
    setup, body, query_string = way(name, by)
    result = setup.run(make_search(body, query_string))
    assert isinstance(result, Rewritten), result
    assert ids(result.body)[:4] == "dbca"
    (sent,) = setup.engine.calls
    assert sent.params.as_dict().get("search_pipeline") == (name if by == "url" else None)
    assert json.loads(sent.body).get("search_pipeline") == body.get("search_pipeline")


@pytest.mark.parametrize("by", ["url", "name", "definition", "default"])
@pytest.mark.parametrize("name", HARMFUL)
def test_any_other_passes_with_what_it_needs(name: str, by: str) -> None:
    setup, body, query_string = way(name, by)
    body["ext"] = {"rerank": {"query_context": {"query_text": "shoes"}}}
    assert setup.run(make_search(body, query_string)) == Forwarded(SKIPPED, None)
    assert setup.engine.calls == []


@pytest.mark.parametrize("given", ["unknown", 1, [], True])
def test_a_pipeline_that_cannot_be_known_passes(given: Any) -> None:
    assert opensearch().run(make_search({"query": QUERY, "search_pipeline": given})) == Forwarded(SKIPPED, None)


def test_the_urls_pipeline_beats_the_bodys_and_that_the_indexs() -> None:
    setup = opensearch(default="reranks")
    named = make_search({"query": QUERY, "search_pipeline": "reranks"}, "search_pipeline=filters")
    assert isinstance(setup.run(named), Rewritten)
    assert isinstance(setup.run(make_search({"query": QUERY, "search_pipeline": "filters"})), Rewritten)
    assert isinstance(setup.run(make_search({"query": QUERY, "search_pipeline": "_none"})), Rewritten)
    assert isinstance(setup.run(make_search({"query": QUERY, "search_pipeline": "reranks"})), Forwarded)


def test_it_is_looked_up_once_by_each_user() -> None:
    setup = opensearch()
    looked_up = []
    for identity in (b"a", b"a", b"b"):
        setup.run(make_search({"query": QUERY}, "search_pipeline=filters", identity=identity))
        looked_up.append(sum(isinstance(need, NeedLookup) and need.target == "_search" for need in setup.needs))
    assert looked_up == [1, 0, 1]


def test_the_engines_own_order_is_not_widened_by_a_harmful_one_either() -> None:
    setup = opensearch(Rule(model="identity"), default="oversamples")
    assert setup.run(make_search({"query": QUERY})) == Forwarded(SKIPPED, None)


def test_a_search_whose_texts_would_need_a_search_of_their_own_passes_where_the_pipeline_changes_hits() -> None:
    """The processor would miss the field that a search for the texts alone does not show."""
    body = {"query": QUERY, "fields": ["color", "n"]}
    setup = opensearch()
    assert setup.run(make_search(body, "search_pipeline=changes+another+field")) == Forwarded(SKIPPED, None)
    assert isinstance(setup.run(make_search(body, "search_pipeline=filters")), Rewritten)
    assert len([need for need in setup.needs if isinstance(need, NeedSearch)]) == 2
