"""Mapping facts are looked up with the search's own credentials and kept for a while."""

from __future__ import annotations

import pytest

from proxy.core.facts import FactsMemory
from proxy.core.mapping import MappingFacts
from proxy.core.messages import NeedLookup, Search, UpstreamAnswer, UpstreamFailure
from proxy.core.params import Params
from tests.core.fake_engine import error, ok
from tests.core.test_mapping import caps, mapping, settings
from tests.core.test_outcomes import Clock

ANSWERS = {
    "_field_caps": ok(caps(title="text", body="text")),
    "_mapping": ok(mapping({"body": {"type": "text"}, "title": {"type": "text"}})),
    "_settings/index.query.default_field": ok(settings("title")),
}


def look_up(
    memory: FactsMemory, search: Search, answers: dict[str, UpstreamAnswer] | None = None
) -> tuple[MappingFacts | None, list[NeedLookup]]:
    asked: list[NeedLookup] = []
    generator = memory.look_up(search)
    try:
        need = next(generator)
        while True:
            asked.append(need)
            need = generator.send({**ANSWERS, **(answers or {})}[need.api])
    except StopIteration as stop:
        return stop.value, asked


def search(target: str = "products", query_string: str = "", identity: bytes = b"") -> Search:
    return Search(target, Params(query_string), b"", identity=identity)


def test_three_lookups_then_none() -> None:
    clock = Clock()
    memory = FactsMemory(60, clock)
    facts, asked = look_up(memory, search())
    assert facts is not None
    assert facts.names() == ["body", "title"]
    assert facts.default_fields == ("title",)
    assert asked == [
        NeedLookup("products", "_field_caps", Params("fields=*")),
        NeedLookup("products", "_mapping", Params("")),
        NeedLookup("products", "_settings/index.query.default_field", Params("")),
    ]
    assert look_up(memory, search()) == (facts, [])
    clock.now = 61
    assert len(look_up(memory, search())[1]) == 3


def test_nobody_gets_facts_that_another_one_has_read() -> None:
    memory = FactsMemory(60, Clock())
    look_up(memory, search(identity=b"one"))
    assert look_up(memory, search(identity=b"two"), {"_field_caps": error(403)})[0] is None
    assert look_up(memory, search(identity=b"one"))[0] is not None
    # that they may not be read is remembered too
    assert look_up(memory, search(identity=b"two")) == (None, [])


@pytest.mark.parametrize(
    ("target", "query_string", "asked_target", "options"),
    [
        ("a,b*,-c", "", "a,b*,-c", ""),
        ("%3Clogs-%7Bnow%2Fd%7D%3E", "", "%3Clogs-%7Bnow%2Fd%7D%3E", ""),
        ("", "index=a,b*/c", "a,b*%2Fc", ""),
        ("", "", "", ""),
        (
            "a",
            "q=x&expand_wildcards=open,hidden&ignore_unavailable=true",
            "a",
            "ignore_unavailable=true&expand_wildcards=open%2Chidden",
        ),
    ],
)
def test_the_searchs_target_is_asked(target: str, query_string: str, asked_target: str, options: str) -> None:
    _, asked = look_up(FactsMemory(60, Clock()), search(target, query_string))
    assert [need.target for need in asked] == [asked_target] * 3
    assert asked[0].params.raw == "&".join(filter(None, ["fields=*", options]))
    assert asked[1].params.raw == asked[2].params.raw == options


def test_the_right_to_read_is_enough() -> None:
    denied = {"_mapping": error(403), "_settings/index.query.default_field": error(403)}
    facts, _ = look_up(FactsMemory(60, Clock()), search(), denied)
    assert facts is not None
    assert facts.names() == ["title", "body"]
    assert facts.default_fields == ()


@pytest.mark.parametrize(
    "answer", [error(404), error(500), ok(b"<html>"), UpstreamAnswer(0, failure=UpstreamFailure.UNREACHABLE)]
)
def test_what_cannot_be_read_now_is_asked_again(answer: UpstreamAnswer) -> None:
    memory = FactsMemory(60, Clock())
    assert look_up(memory, search(), {"_field_caps": answer})[0] is None
    assert look_up(memory, search())[0] is not None


def test_zero_seconds_keeps_nothing() -> None:
    memory = FactsMemory(0, Clock())
    look_up(memory, search())
    assert len(look_up(memory, search())[1]) == 3
