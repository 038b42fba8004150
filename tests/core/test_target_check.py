"""Whether a target's indices fit the rule's text: looked up once for a while, said where they do not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.core.by_index import Group, group_body, group_hits
from proxy.core.facts import FactsMemory
from proxy.core.messages import Forwarded, NeedLookup, NeedScores, Reason, Rewritten, Status, UpstreamAnswer
from proxy.core.response import Hit, SearchAnswer
from proxy.core.target_check import (
    SETTINGS_API,
    Caps,
    Indices,
    Origin,
    SourceRule,
    TargetCheck,
    asked_of_caps,
    read_caps,
    read_indices,
    read_origins,
)
from proxy.scorer.types import ScoreResult
from proxy.settings import Rule, TargetPattern, parse_template
from tests.core.fake_engine import FINISHED, Setup, error, make_context, make_search, ok, plain
from tests.core.one_search import QUERY, ids, make, stored

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
    assert seen == [[*INDICES, "_field_caps?fields=title,title.*"], [], []]
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
    assert lookups(setup) == [*INDICES, "_field_caps?fields=title,title.*"]
    assert not setup.context.problems


@pytest.mark.parametrize("answer", [error(403), error(404), error(500), ok(b'{"indices":[],"fields":{}}'), ok(b"x")])
def test_what_cannot_be_found_out_stops_nothing(answer: UpstreamAnswer) -> None:
    setup = setup_for("{title}", [])
    setup.look_up = lambda need: answer
    for expected in (3, 0):
        assert isinstance(setup.run(make_search({"query": QUERY})), Rewritten)
        assert len(lookups(setup)) == expected
    assert not setup.context.problems


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
        setup.engine.hits = [stored("a", "2.0"), stored("b", "1.0", long_text)]
        setup.score = lambda need: ScoreResult([0.0] * len(need.documents), finished=FINISHED)
        setup.run(make_search({"query": QUERY}))
        (need,) = [need for need in setup.needs if isinstance(need, NeedScores)]
        assert need.max_chunks == most
        assert plain(need.documents[1]).endswith("wanted") is (long == "chunks")


CAPS = {
    "indices": ["products"],
    "fields": {
        "title": {"text": {}},
        "title.raw": {"keyword": {}},
        "maker.name": {"text": {}},
        "parts": {"nested": {}},
        "parts.name": {"text": {}},
        "labels": {"flattened": {}},
        "both": {"object": {}, "keyword": {}},
        "empty": {"object": {}},
    },
}


def test_what_field_caps_tell() -> None:
    names = (
        "title",
        "title.raw",
        "maker",
        "parts",
        "parts.name",
        "labels.any.thing",
        "both",
        "empty",
        "no",
        "no.thing",
    )
    caps = read_caps(json.dumps(CAPS).encode(), names)
    assert caps == Caps(missing=("no", "no.thing"), objects=("maker", "parts", "empty"), nested=("parts.name",))
    assert asked_of_caps(["a.b.c", "a"]) == ("a.b.c", "a.b.c.*", "a", "a.b", "a.*")
    for unknown in (None, b"x", b"[]", b'{"indices":[],"fields":{}}', b'{"indices":["i"]}'):
        assert read_caps(unknown, names) is None


@pytest.mark.parametrize(
    ("rule", "lacks", "has"),
    [
        (SourceRule(), [], ["title", "maker.name"]),
        (SourceRule(enabled=False), ["title", "maker.name"], []),
        (
            SourceRule(excludes=("body", "maker.*")),
            ["body", "body.raw", "maker.name", "maker.a.b"],
            ["title", "makers"],
        ),
        (SourceRule(excludes=("maker",)), ["maker.name"], ["title"]),
        (SourceRule(includes=("title", "maker")), ["body", "titles"], ["title", "title.raw", "maker.name"]),
        (SourceRule(includes=("m*",), excludes=("*.name",)), ["maker.name", "title"], ["maker.city"]),
    ],
)
def test_what_a_source_lacks(rule: SourceRule, lacks: list[str], has: list[str]) -> None:
    assert [name for name in (*lacks, *has) if rule.lacks(name)] == lacks


def test_what_settings_and_mapping_tell() -> None:
    told = {
        "a": {"settings": {"index": {"uuid": "1", "search": {"default_pipeline": "mine"}}}},
        "b": {"settings": {"index": {"mapping": {"source": {"mode": "DISABLED"}}}}},
        "c": {"settings": {"index": {"mapping": {"source": {"mode": "synthetic"}}}}},
        "d": {"settings": {}},
    }
    sources = {
        "a": {"mappings": {"_source": {"enabled": False}}},
        "c": {"mappings": {"_source": {"mode": "synthetic"}}},
        "d": {"mappings": {"_source": {"excludes": "body", "includes": ["*"]}}},
    }
    indices = read_indices(json.dumps(told).encode(), json.dumps(sources).encode())
    assert indices.names == ("a", "b", "c", "d")
    assert indices.pipelines == ("mine",)
    off = SourceRule(enabled=False)
    assert indices.sources == {"a": off, "b": off, "d": SourceRule(includes=("*",), excludes=("body",))}
    assert indices.lacking(["title", "body"]) == {"a": ("title", "body"), "b": ("title", "body"), "d": ("body",)}
    assert read_indices(None, None).lacking(["title"]) == {}


def origin_of(spec: dict[str, Any], name: str = "f", nested: tuple[str, ...] = ()) -> Origin | None:
    answer = {"a": {"mappings": {name: {"full_name": name, "mapping": {name.rpartition(".")[2]: spec}}}}}
    return read_origins(json.dumps(answer).encode(), {"a": (name,)}, nested).get("a", {}).get(name)


def test_where_values_stand_beside_the_source() -> None:
    assert origin_of({"type": "text"}) is None
    assert origin_of({"type": "text", "store": True}) == Origin("stored_fields", "f")
    assert origin_of({"type": "keyword"}, "a.f") == Origin("docvalue_fields", "a.f")
    assert origin_of({"type": "keyword"}, "a.f", nested=("a.f",)) is None
    assert origin_of({"type": "keyword", "doc_values": False}) is None
    assert origin_of({"type": "integer", "doc_values": False, "store": True}) == Origin("stored_fields", "f")
    assert origin_of({"type": "geo_point"}) is None
    raw = {"type": "keyword", "ignore_above": 256}
    assert origin_of({"type": "text", "fields": {"raw": raw}}) == Origin("docvalue_fields", "f.raw")
    fields = {"raw": raw, "all": {"type": "keyword"}, "off": {"type": "keyword", "doc_values": False}}
    assert origin_of({"type": "text", "fields": fields}) == Origin("docvalue_fields", "f.all")
    assert origin_of({"type": "text", "fields": {"stem": {"type": "text"}}}) is None
    assert read_origins(None, {"a": ("f",)}, ()) == {}


def hits_of(*named: str) -> list[Hit]:
    raw = [json.dumps({"_index": name[0], "_id": name, "_score": 1.0}).encode() for name in named]
    return SearchAnswer(b'{"hits":{"hits":[%b]}}' % b",".join(raw)).hits


def test_hits_are_grouped_by_where_their_texts_stand() -> None:
    off = SourceRule(enabled=False)
    stored = {"title": Origin("stored_fields", "title"), "brand": Origin("docvalue_fields", "brand.raw")}
    check = TargetCheck(
        names=("title", "brand"),
        indices=Indices(("a", "b", "c", "d"), {"b": off, "c": SourceRule(excludes=("brand",)), "d": off}),
        lacking={"b": ("title", "brand"), "c": ("brand",), "d": ("title", "brand")},
        origins={"b": stored},
    )
    groups = group_hits(hits_of("a1", "b1", "c1", "d1", "a2"), ("title", "brand"), check)
    assert [(group.sections(), [hit.text("_id") for hit in group.hits]) for group in groups] == [
        ({"fields": ["title", "brand"]}, ["a1", "a2"]),
        ({"stored_fields": ["title"], "docvalue_fields": ["brand.raw"]}, ["b1"]),
        ({"fields": ["title"]}, ["c1"]),
    ]
    assert groups[1].values({"title": ["x"], "brand.raw": ["y"]})["brand"] == ["y"]
    assert check.unreadable == {"c": ("brand",), "d": ("title", "brand")}
    assert not check.textless
    assert replace(check, origins={}, indices=replace(check.indices, names=("b", "d"))).textless


def test_a_groups_search_is_the_clients_for_its_hits_alone() -> None:
    body = b'{"query":{"match":{"t":"x"}},"post_filter":{"term":{"a":1.10}},"size":4,"fields":["y"],"_source":false}'
    group = Group(("title",), {"brand": Origin("docvalue_fields", "brand.raw")}, hits_of("a1", "b1", "a2"))
    sent = group_body(body, group)
    assert b'{"term":{"a":1.10}}' in sent
    decoded = json.loads(sent)
    assert decoded.pop("post_filter")["bool"]["filter"][1]["bool"]["should"] == [
        {"bool": {"filter": [{"term": {"_index": "a"}}, {"ids": {"values": ["a1", "a2"]}}]}},
        {"bool": {"filter": [{"term": {"_index": "b"}}, {"ids": {"values": ["b1"]}}]}},
    ]
    assert decoded == {
        "query": {"match": {"t": "x"}},
        "size": 4,
        "_source": False,
        "fields": ["title"],
        "docvalue_fields": ["brand.raw"],
    }


@pytest.mark.parametrize("answer", [error(400), error(503), ok(b"x")])
def test_texts_that_cannot_be_fetched_leave_the_engines_order(answer: UpstreamAnswer) -> None:
    mapping = {"products": {"mappings": {"_source": {"enabled": False}}}}
    origins = {"products": {"mappings": {"title": {"mapping": {"title": {"type": "text", "store": True}}}}}}
    setup = setup_for("{title}", ["title"], None, mapping, origins)
    setup.search = lambda need: answer if b"stored_fields" in need.call.body else setup.engine.search(need.call)
    result = setup.run(make_search({"query": QUERY}))
    assert isinstance(result, Rewritten)
    assert result.outcome.status is Status.FALLBACK
    assert ids(result.body) == "abcdef"
    assert json.loads(result.body)["hits"]["hits"][0]["_score"] == 6.0


def test_texts_of_rules_for_other_indices_are_not_asked_for() -> None:
    setup = setup_for("{title}", ["title"])
    setup.context.texts = (
        (TargetPattern("elsewhere"), parse_template("{nowhere}")),
        (TargetPattern("products"), parse_template("{title} {color}")),
    )
    setup.score = lambda need: ScoreResult([0.0] * len(need.documents), finished=FINISHED)
    setup.run(make_search({"query": QUERY}, target="products,more"))
    assert lookups(setup) == [*INDICES, "_field_caps?fields=title,title.*,color,color.*"]
    assert setup.context.problems == {"target products,more": "no index has the field color of the rule's text"}
