"""Facts about fields out of the engines' own bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.core.mapping import MappingFacts, facts_from, name_matches


def caps(**types: str) -> bytes:
    """Return a `_field_caps` body; ``title__keyword`` stands for ``title.keyword``, ``a|b`` for two types."""
    fields = {
        name.replace("__", "."): {
            kind: {"type": kind, "metadata_field": False, "searchable": True, "aggregatable": kind != "text"}
            for kind in kinds.split("|")
        }
        for name, kinds in types.items()
    }
    return json.dumps({"indices": ["products"], "fields": fields}).encode()


def mapping(*indices: dict[str, Any]) -> bytes:
    """Return a `_mapping` body with the properties of each index."""
    return json.dumps({f"i{n}": {"mappings": {"properties": one}} for n, one in enumerate(indices)}).encode()


def settings(*defaults: Any) -> bytes:
    """Return a `_settings/index.query.default_field` body; None: the index does not set it."""
    return json.dumps(
        {
            f"i{n}": {"settings": {} if one is None else {"index": {"query": {"default_field": one}}}}
            for n, one in enumerate(defaults)
        }
    ).encode()


TITLE = {"type": "text", "fields": {"keyword": {"type": "keyword"}, "raw": {"type": "text"}}}


def test_types_over_all_indices() -> None:
    facts = facts_from(caps(_id="_id", title="text|keyword", price="float", sku="keyword", w="wildcard"), None, None)
    assert facts.names() == ["title", "price", "sku", "w"]
    assert facts.is_text("title")
    assert facts.is_keyword("title")
    assert not facts.is_text("sku")
    assert facts.is_keyword("w")
    assert not facts.is_text("price") | facts.is_keyword("price") | facts.is_text("absent")


@pytest.mark.parametrize("kind", ["text", "match_only_text", "search_as_you_type"])
def test_text_like_types(kind: str) -> None:
    assert facts_from(caps(title=kind), None, None).is_text("title")


def test_names_come_in_the_mappings_order_and_hold_no_objects() -> None:
    body = mapping({"title": TITLE, "offer": {"properties": {"note": {"type": "text"}}}, "brand": {"type": "text"}})
    found = caps(brand="text", extra="text", offer="object", offer__note="text", title="text", title__keyword="keyword")
    assert facts_from(found, body, None).names() == ["title", "title.keyword", "offer.note", "brand", "extra"]


def test_multi_fields_are_told_by_the_mapping() -> None:
    facts = facts_from(caps(title="text", title__keyword="keyword", title__raw="text"), mapping({"title": TITLE}), None)
    assert facts.multi_fields == {"title.keyword": "title", "title.raw": "title"}
    assert facts.origins("title.raw") == ("title",)


def test_multi_fields_are_told_by_field_caps_where_the_mapping_may_not_be_read() -> None:
    facts = facts_from(
        caps(title="text", title__keyword="keyword", offer="object", offer__note="text", n="nested", n__x="text"),
        None,
        None,
    )
    assert facts.multi_fields == {"title.keyword": "title"}


def test_nested() -> None:
    facts = facts_from(caps(n="nested", n__x="text", o="object", o__x="text"), None, None)
    assert facts.in_nested("n.x")
    assert not facts.in_nested("o.x")
    assert not facts.in_nested("title")


def test_aliases_and_copies() -> None:
    body = mapping(
        {
            "name": {"type": "alias", "path": "title"},
            "title": {"type": "text", "copy_to": "all"},
            "brand": {"type": "keyword", "copy_to": ["all", "more"]},
            "all": {"type": "text"},
            "everything": {"type": "alias", "path": "all"},
        }
    )
    facts = facts_from(caps(name="text", title="text", brand="keyword", all="text", everything="text"), body, None)
    assert facts.origins("name") == ("title",)
    assert facts.origins("all") == ("title", "brand")
    assert facts.origins("everything") == ("title", "brand")
    assert facts.origins("title") == ("title",)
    assert facts.origins("more") == ("brand",)


def test_the_same_name_may_mean_another_thing_in_each_index() -> None:
    facts = facts_from(
        caps(title="text", name="text", label="text", body="text", all="text"),
        mapping(
            {
                "title": {"type": "alias", "path": "name"},
                "name": {"type": "text"},
                "body": {"type": "text", "copy_to": "all"},
                "all": {"type": "text"},
            },
            {"title": {"type": "alias", "path": "label"}, "label": {"type": "text"}},
            {"title": {"type": "text"}, "all": {"type": "text"}},
        ),
        None,
    )
    assert set(facts.origins("title")) == {"title", "name", "label"}
    assert set(facts.origins("all")) == {"all", "body"}


def test_circles_end() -> None:
    facts = MappingFacts(copy_sources={"a": ("b",), "b": ("a",)})
    assert facts.origins("a") in [("a",), ("b",)]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (None, ()),
        (b"{}", ()),
        (settings(None), ()),
        (settings("title"), ("title",)),
        (settings(["title^2", "body"]), ("title^2", "body")),
        (settings(["*"]), ()),
        (settings("title", ["body", "title"]), ("title", "body")),
        (settings("title", "*"), ()),
    ],
)
def test_default_fields(body: bytes | None, fields: tuple[str, ...]) -> None:
    assert facts_from(caps(title="text"), None, body).default_fields == fields


@pytest.mark.parametrize(
    ("enabled", "without"), [([False], True), ([False, False], True), ([False, None], False), ([True], False)]
)
def test_indices_without_source(enabled: list[bool | None], without: bool) -> None:
    body = {
        f"i{n}": {"mappings": {} if one is None else {"_source": {"enabled": one}}} for n, one in enumerate(enabled)
    }
    assert facts_from(caps(title="text"), json.dumps(body).encode(), None).without_source is without
    assert not facts_from(caps(title="text"), None, None).without_source


@pytest.mark.parametrize(
    ("field_caps", "mapped", "set_"),
    [
        (b"", None, None),
        (b"[]", None, None),
        (b"{}", None, None),
        (b'{"fields":[]}', None, None),
        (caps(), b"[]", None),
        (caps(), b'{"i":{"mappings":{"properties":{"a":{"type":"alias"}}}}}', None),
        (caps(), b'{"i":{"mappings":{"properties":[]}}}', None),
        (caps(), None, b'{"i":{"settings":[]}}'),
        (caps(), None, b'{"i":'),
    ],
)
def test_other_forms_are_refused_with_one_kind_of_error(
    field_caps: bytes, mapped: bytes | None, set_: bytes | None
) -> None:
    with pytest.raises(ValueError, match="facts cannot be read"):
        facts_from(field_caps, mapped, set_)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("title", "title", True),
        ("title", "titles", False),
        ("*", "a.b", True),
        ("t*e", "title", True),
        ("offer.*", "offer.note", True),
        ("offer.*", "offer", False),
        ("t?tle", "title", False),
        ("[t]itle", "title", False),
        ("[a]*", "[a]b", True),
        ("TITLE", "title", False),
    ],
)
def test_name_matches(pattern: str, name: str, fits: bool) -> None:
    assert name_matches(pattern, name) is fits
