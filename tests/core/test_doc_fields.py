"""Which fields make a document's text where the rule names none."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.doc_fields import MAX_FIELDS, choose_template
from proxy.core.mapping import MappingFacts, facts_from
from proxy.core.query_text import find_query_text
from tests.core.test_mapping import TITLE, caps, mapping, settings

SHOP = mapping(
    {
        "sku": {"type": "keyword"},
        "title": TITLE,
        "brand": {"type": "keyword"},
        "description": {"type": "text"},
        "price": {"type": "float"},
        "name": {"type": "alias", "path": "title"},
        "note": {"type": "text", "copy_to": "all"},
        "tags": {"type": "keyword", "copy_to": "all"},
        "weight": {"type": "float", "copy_to": "all"},
        "all": {"type": "text"},
        "offers": {"type": "nested", "properties": {"text": {"type": "text"}}},
        "vendor": {"properties": {"name": {"type": "text"}}},
    }
)
CAPS = caps(
    sku="keyword",
    title="text",
    title__keyword="keyword",
    title__raw="text",
    brand="keyword",
    description="text",
    price="float",
    name="text",
    note="text",
    tags="keyword",
    weight="float",
    all="text",
    offers="nested",
    offers__text="text",
    vendor="object",
    vendor__name="text",
)
FACTS = facts_from(CAPS, SHOP, settings(["title"]))


def template(query: dict[str, Any], facts: MappingFacts | None = FACTS, tokens: int = 128) -> str | None:
    found = find_query_text({"query": query}, None)
    assert found is not None
    chosen = choose_template(found.clauses, facts, tokens)
    return None if chosen is None else str(chosen)


def multi(*fields: str) -> dict[str, Any]:
    return {"multi_match": {"query": "red shoes", "fields": list(fields)}}


@pytest.mark.parametrize(
    ("query", "text"),
    [
        # the clause's fields, by boost, ties as in the query
        ({"match": {"title": "x"}}, "{title}"),
        (multi("description", "title^3", "note"), "{title} {description:64} {note:64}"),
        (multi("note", "description"), "{note} {description:64}"),
        # clause x field, the maximum per field
        (
            {
                "bool": {
                    "should": [
                        multi("title", "description^2"),
                        {"match": {"title": {"query": "red shoes", "boost": 4}}},
                    ]
                }
            },
            "{title} {description:64}",
        ),
        # text-like types only; keyword only beside a text field of the same clause
        (multi("title", "brand", "price"), "{title} {brand:64}"),
        (multi("brand^5", "title"), "{brand} {title:64}"),
        (
            {"bool": {"must": [{"match": {"brand": "acme"}}, {"match": {"description": "x"}}]}},
            "{description}",
        ),
        # wildcards are expanded; a multi-field is not taken beside its parent
        (multi("t*", "desc*^2"), "{description} {title:64} {tags:64}"),
        (multi("vendor.*"), "{vendor.name}"),
        # alias -> target, multi-field -> parent, copy_to target -> its sources (those that hold text)
        ({"match": {"name": "x"}}, "{title}"),
        ({"match": {"title.raw": "x"}}, "{title}"),
        (multi("title.raw^3", "title"), "{title}"),
        (multi("title", "title.keyword"), "{title}"),
        ({"match": {"all": "x"}}, "{note} {tags:64}"),
        # values of nested objects stand elsewhere in an answer: the default fields
        ({"nested": {"path": "offers", "query": {"match": {"offers.text": "x"}}}}, "{title}"),
        # no field, or none with text: the index's default fields
        ({"query_string": {"query": "x"}}, "{title}"),
        ({"match": {"brand": "acme"}}, "{title}"),
        ({"match": {"absent": "x"}}, "{title}"),
        (multi("*"), "{title}"),
    ],
)
def test_fields_of_the_query(query: dict[str, Any], text: str) -> None:
    assert template(query) == text


def test_at_most_eight_fields() -> None:
    names = [f"f{number}" for number in range(12)]
    facts = facts_from(caps(**dict.fromkeys(names, "text")), None, None)
    chosen = template(multi(*names), facts)
    assert chosen is not None
    assert chosen.split(" ") == ["{f0}", *(f"{{f{number}:64}}" for number in range(1, MAX_FIELDS))]


@pytest.mark.parametrize(("tokens", "text"), [(200, "{title} {note:100}"), (1, "{title} {note:1}")])
def test_no_field_but_the_first_takes_more_than_half(tokens: int, text: str) -> None:
    assert template(multi("title", "note"), tokens=tokens) == text


ALL = {"query_string": {"query": "x"}}


@pytest.mark.parametrize(
    ("types", "defaults", "text"),
    [
        # the index's default fields, with boosts, wildcards and what else a query's fields may be
        ({"title": "text", "body": "text"}, ["body^2", "title"], "{body} {title:64}"),
        ({"title": "text", "title_de": "text", "x": "text"}, ["title*"], "{title} {title_de:64}"),
        ({"title": "text", "brand": "keyword"}, ["title", "brand"], "{title} {brand:64}"),
        ({"title": "text", "a^b": "text"}, ["a^b"], "{a^b}"),
        # `*`: usual names, in this order, wherever they stand in a name
        (
            dict.fromkeys(["text", "content", "body", "summary", "description", "headline", "name", "title"], "text"),
            None,
            "{title} {name:64} {headline:64} {description:64} {summary:64} {body:64} {content:64} {text:64}",
        ),
        (
            {"zzz": "text", "productDescription": "text", "product_title": "text"},
            "*",
            "{product_title} {productDescription:64}",
        ),
        ({"subtitled": "text", "vendor": "object", "vendor.NAME": "text"}, None, "{vendor.NAME}"),
        # else the first three text fields
        ({"k": "keyword", "d": "text", "c": "text", "b": "text", "a": "text"}, None, "{d} {c:64} {b:64}"),
        # a default field that is no text does not count
        ({"sku": "keyword", "title": "text"}, ["sku"], "{title}"),
        ({"sku": "keyword"}, None, None),
        ({}, None, None),
    ],
)
def test_default_fields(types: dict[str, str], defaults: Any, text: str | None) -> None:
    names = {name.replace(".", "__"): kind for name, kind in types.items()}
    facts = facts_from(caps(**names), None, settings(defaults))
    assert template(ALL, facts) == text


def test_defaults_hold_no_copies_multi_fields_or_nested_values() -> None:
    facts = facts_from(CAPS, SHOP, None)
    assert template(ALL, facts) == "{title} {vendor.name:64} {description:64}"


def test_a_given_text_without_clauses_takes_the_default_fields() -> None:
    chosen = choose_template((), FACTS, 128)
    assert str(chosen) == "{title}"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        (multi("brand", "title^2", "t*", "_all"), "{title} {brand:64}"),
        ({"match": {"title": "x"}}, "{title}"),
        (ALL, None),
        (multi("t*"), None),
    ],
)
def test_where_the_mapping_cannot_be_read_the_named_fields_count(query: dict[str, Any], text: str | None) -> None:
    assert template(query, None) == text


def test_another_meaning_in_each_index() -> None:
    facts = facts_from(
        caps(title="text", name="text"),
        mapping({"title": {"type": "alias", "path": "name"}, "name": {"type": "text"}}, {"title": {"type": "text"}}),
        None,
    )
    assert template({"match": {"title": "x"}}, facts) == "{title} {name:64}"
