"""Whether a target's indices fit the rule's text: looked up once for a while, said where they do not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.facts import FactsMemory
from proxy.core.messages import Forwarded, NeedLookup, NeedScores, Reason, Rewritten, UpstreamAnswer
from proxy.core.target_check import SETTINGS_API
from proxy.scorer.types import ScoreResult
from proxy.settings import Rule, parse_template
from tests.core.fake_engine import FINISHED, Setup, error, make_context, make_search, ok, plain
from tests.core.one_search import QUERY, make

INDICES = [f"{SETTINGS_API}?", "_mapping?filter_path=**._source"]


def setup_for(
    text: str,
    fields: list[str] | dict[str, str],
    settings: Any = None,
    mapping: Any = None,
    origins: Any = None,
    **rule: Any,
) -> Setup:
    """Return a setup whose engine has these fields; with their types, or all are texts."""
    types = fields if isinstance(fields, dict) else dict.fromkeys(fields, "text")
    caps = {"indices": ["products"], "fields": {name: {kind: {}} for name, kind in types.items()}}
    answers = {
        "_field_caps": caps,
        SETTINGS_API: settings or {"products": {"settings": {"index": {"uuid": "x"}}}},
        "_mapping": mapping or {},
    }

    def look_up(need: NeedLookup) -> UpstreamAnswer:
        answer = origins or {} if need.api.startswith("_mapping/field/") else answers[need.api]
        return ok(json.dumps(answer).encode())

    context = make_context(facts=FactsMemory)
    return make(rule=Rule(text=parse_template(text), window=4, **rule), context=context, look_up=look_up)


def lookups(setup: Setup) -> list[str]:
    return [f"{need.api}?{need.params.raw}" for need in setup.needs if isinstance(need, NeedLookup)]


def test_all_fields_exist() -> None:
    setup = setup_for("{title}", ["title"])
    seen = []
    for _ in range(3):
        assert isinstance(setup.run(make_search({"query": QUERY})), Rewritten)
        seen.append(lookups(setup))
    assert seen == [["_field_caps?fields=title,title.*", *INDICES], [], []]
    assert not setup.context.problems
    assert not setup.trace.warnings


def test_one_that_no_index_has_is_told_and_the_rest_is_read() -> None:
    setup = setup_for("{title} {colour}", ["title"])
    assert isinstance(setup.run(make_search({"query": QUERY})), Rewritten)
    problem = "no index has the field colour of the rule's text"
    assert setup.context.problems == {"target products": problem}
    (subject, _), *_rest = setup.trace.warnings
    assert subject == f"target products: {problem}"


def test_it_is_no_longer_told_when_the_mapping_has_it() -> None:
    fields = ["title"]
    setup = setup_for("{title} {color}", fields)
    setup.score = lambda need: ScoreResult([0.0] * len(need.documents), finished=FINISHED)
    setup.context.facts = FactsMemory(0, lambda: 0.0)  # looked up for each search
    setup.run(make_search({"query": QUERY}))
    assert setup.context.problems
    setup.look_up = setup_for("{title}", ["title", "color"]).look_up
    setup.run(make_search({"query": QUERY}))
    assert not setup.context.problems


def test_none_of_them_exists() -> None:
    setup = setup_for("{titel}", ["title"])
    result = setup.run(make_search({"query": QUERY}))
    assert isinstance(result, Forwarded)
    assert result.outcome.reason is Reason.TEXT_UNAVAILABLE
    assert setup.context.problems


def test_a_field_that_the_search_itself_defines_exists() -> None:
    setup = setup_for("{title} {mine}", ["title"])
    setup.run(make_search({"query": QUERY, "runtime_mappings": {"mine": {"type": "keyword"}}}))
    assert lookups(setup) == ["_field_caps?fields=title,title.*", *INDICES]
    assert not setup.context.problems


@pytest.mark.parametrize("answer", [error(403), error(404), error(500), ok(b'{"indices":[],"fields":{}}'), ok(b"x")])
def test_what_cannot_be_found_out_stops_nothing(answer: UpstreamAnswer) -> None:
    setup = setup_for("{title}", [])
    setup.look_up = lambda need: answer
    for expected in (1, 0):
        assert isinstance(setup.run(make_search({"query": QUERY})), Rewritten)
        assert len(lookups(setup)) == expected
    assert not setup.context.problems


def settings(pipeline: str) -> dict[str, Any]:
    return {"products": {"settings": {"index": {"search": {"default_pipeline": pipeline}}}}, "other": {"settings": {}}}


def test_on_opensearch_a_default_pipeline_is_not_reranked_behind() -> None:
    setup = setup_for("{title}", ["title"], settings("mine"))
    setup.context.elasticsearch = False
    result = setup.run(make_search({"query": QUERY}))
    assert isinstance(result, Forwarded)
    assert result.outcome.reason is Reason.PIPELINE
    assert isinstance(setup.run(make_search({"query": QUERY, "search_pipeline": "_none"})), Rewritten)
    assert isinstance(setup.run(make_search({"query": QUERY}, "search_pipeline=_none")), Rewritten)


def test_on_opensearch_an_index_without_source_is_left_alone() -> None:
    off = {"products": {"mappings": {"_source": {"enabled": False}}}}
    for mapping, reason in ((off, Reason.TEXT_UNAVAILABLE), ({}, None)):
        setup = setup_for("{title}", ["title"], None, mapping)
        setup.context.elasticsearch = False
        result = setup.run(make_search({"query": QUERY}))
        assert result.outcome.reason is reason
        assert bool(setup.context.problems) is (reason is not None)


def test_a_rule_for_long_texts_reads_as_far_as_its_parts_go() -> None:
    long_text = " ".join(["filler"] * 300 + ["wanted"])
    for long, most in (("cut", 1), ("chunks", 30)):
        setup = setup_for("{title}", ["title"], long_text=long, document_tokens=16, max_chunks=30)
        setup.engine.hits = setup.engine.hits[:2]
        setup.engine.hits[1].fields["title"][0] = long_text  # type: ignore[index]
        setup.score = lambda need: ScoreResult([0.0] * len(need.documents), finished=FINISHED)
        setup.run(make_search({"query": QUERY}))
        (need,) = [need for need in setup.needs if isinstance(need, NeedScores)]
        assert need.max_chunks == most
        assert plain(need.documents[1]).endswith("wanted") is (long == "chunks")
