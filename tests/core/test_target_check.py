"""Whether a target's indices fit the rule's text: looked up once for a while, said where they do not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.facts import FactsMemory
from proxy.core.messages import Forwarded, NeedLookup, NeedScores, Reason, Rewritten, UpstreamAnswer
from proxy.scorer.types import ScoreResult
from proxy.settings import Rule, parse_template
from tests.core.fake_engine import FINISHED, Setup, error, make_context, make_search, ok, plain
from tests.core.one_search import QUERY, make, stored


def setup_for(text: str, fields: list[str], settings: Any = None, mapping: Any = None, **rule: Any) -> Setup:
    """Return a setup whose engine has these fields."""
    caps = {"indices": ["products"], "fields": {name: {"text": {}} for name in fields}}
    answers = {
        "_field_caps": caps,
        "_settings/index.search.default_pipeline": settings or {},
        "_mapping": mapping or {},
    }

    def look_up(need: NeedLookup) -> UpstreamAnswer:
        return ok(json.dumps(answers[need.api]).encode())

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
    assert seen == [["_field_caps?fields=title"], [], []]
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
    assert lookups(setup) == ["_field_caps?fields=title"]
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
        setup = setup_for("{title}", ["title"], settings("_none"), mapping)
        setup.context.elasticsearch = False
        result = setup.run(make_search({"query": QUERY}))
        assert result.outcome.reason is reason
        assert bool(setup.context.problems) is (reason is not None)


def test_the_best_part_of_a_long_text_counts() -> None:
    setup = setup_for("{title}", ["title"], long_text="chunks", document_tokens=16, max_chunks=3)
    setup.engine.hits = [stored("a", "2.0"), stored("b", "1.0", " ".join(["filler"] * 15 + ["wanted"]))]
    asked: list[list[str]] = []

    def score(need: NeedScores) -> ScoreResult:
        asked.append([plain(document) for document in need.documents])
        return ScoreResult(
            [1.0 if "wanted" in text else 0.0 for text in asked[-1]], started=FINISHED, finished=FINISHED
        )

    setup.score = score
    result = setup.run(make_search({"query": QUERY}))
    assert isinstance(result, Rewritten)
    assert [len(texts) for texts in asked] == [3]  # one of the short text, two of the long one
    assert [hit["_id"] for hit in json.loads(result.body)["hits"]["hits"]] == ["b", "a"]


def test_a_part_that_was_not_scored_leaves_the_hit_unscored() -> None:
    setup = setup_for("{title}", ["title"], long_text="chunks", document_tokens=16)
    setup.engine.hits = [stored("a", "2.0"), stored("b", "1.0", " ".join(["filler"] * 30))]
    setup.score = lambda need: ScoreResult([0.0, 5.0, *[None] * (len(need.documents) - 2)], finished=FINISHED)
    result = setup.run(make_search({"query": QUERY}))
    assert str(result.outcome) == "partial; reason=budget; scored=1/2"
