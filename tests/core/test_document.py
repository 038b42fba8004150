"""A hit's text out of the values of its fields."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.document import field_paths, render
from proxy.scorer.types import Segment
from proxy.settings import parse_template
from tests.core.fake_engine import plain

S = Segment


@pytest.mark.parametrize(
    ("template", "values", "document"),
    [
        ("{title}", {"title": ["Red shoes"]}, (S("Red shoes"),)),
        ("{title}", {}, None),
        ("{title}", {"title": []}, None),
        ("{title}", {"title": ["", "  \n"]}, None),
        ("{title}", {"title": [None, True, {"a": 1}, ["x"]]}, None),
        ("{title} {brand}", {"title": ["Shoes"], "brand": ["Acme"]}, (S("Shoes"), S(" "), S("Acme"))),
        ("{title} {brand}", {"title": ["Shoes"]}, (S("Shoes"),)),
        ("{title} {brand}", {"brand": ["Acme"]}, (S("Acme"),)),
        ("{a} {b} {c}", {"a": ["1"], "c": ["3"]}, (S("1"), S(" "), S("3"))),
        ("{title:5}", {"title": ["Shoes"]}, (S("Shoes", 5),)),
        ("{tags}", {"tags": ["red", "blue", "red"]}, (S("red blue"),)),
        ("{tags}", {"tags": [4, 2.5, "x"]}, (S("4 2.5 x"),)),
        ("{title}", {"title": ["  Red \n\t shoes "]}, (S("Red shoes"),)),
        # what stood in an earlier field is left out
        ("{title} {all}", {"title": ["Shoes"], "all": ["Shoes", "Acme"]}, (S("Shoes"), S(" "), S("Acme"))),
        ("{title} {all}", {"title": ["Shoes"], "all": ["Shoes"]}, (S("Shoes"),)),
        # literals go with the field behind them; those at both ends stay while there is a text
        ("Title: {title}", {"title": ["Shoes"]}, (S("Title: "), S("Shoes"))),
        ("Title: {title} by {brand}", {"brand": ["Acme"]}, (S("Acme"),)),
        ("{title} by {brand}", {"title": ["Shoes"]}, (S("Shoes"),)),
        ("{title} by {brand}", {"title": ["Shoes"], "brand": ["Acme"]}, (S("Shoes"), S(" by "), S("Acme"))),
        ("{title} (used)", {"title": ["Shoes"]}, (S("Shoes"), S(" (used)"))),
        ("{title} (used)", {}, None),
        ("{title} ", {"title": ["Shoes"]}, (S("Shoes"),)),
        ("Title: {title}", {}, None),
    ],
)
def test_render(template: str, values: dict[str, list[Any]], document: tuple[Segment, ...] | None) -> None:
    assert render(parse_template(template), values, 128) == document


@pytest.mark.parametrize(("template", "limit"), [("{title}", 128), ("{title:3}", 3)])
def test_a_huge_text_is_cut_before_anyone_counts_its_tokens(template: str, limit: int) -> None:
    document = render(parse_template(template), {"title": ["word " * 100_000, "more"]}, 128)
    assert document is not None
    assert len(document[0].text) <= limit * 32
    assert document[0].text.startswith("word word")


def test_many_values_are_read_no_further_than_the_limit() -> None:
    document = render(parse_template("{tags}"), {"tags": [f"tag{number}" for number in range(100_000)]}, 2)
    assert document is not None
    assert len(document[0].text) <= 64


def test_field_paths() -> None:
    assert field_paths(parse_template("{title} x {brand:6} {title:3}")) == ("title", "brand")


def test_html_is_read_as_text_unless_the_rule_says_otherwise() -> None:
    template = parse_template("{title}: {body}")
    values = {"title": ["Shoe &amp; lace"], "body": ["<p>Warm</p><p>Light</p>", "<script>x</script>"]}
    assert plain(render(template, values, 99) or ()) == "Shoe & lace: Warm Light"
    assert plain(render(template, values, 99, html=False) or ()) == (
        "Shoe &amp; lace: <p>Warm</p><p>Light</p> <script>x</script>"
    )


@pytest.mark.parametrize(
    "values",
    [
        {"parts.name": ["sole", "lace"]},
        {"parts.name": ("sole", "lace")},
        {"parts": [{"name": ["sole"]}, {"weight": [2]}, {"name": ["lace"]}]},
        {"parts": [{"name": ["sole", "lace"], "name.raw": ["x"]}]},
    ],
)
def test_nested_values_are_found_in_both_engines_forms(values: dict[str, list[object]]) -> None:
    assert plain(render(parse_template("{parts.name}"), values, 99) or ()) == "sole lace"


def test_deeper_nesting() -> None:
    values = {"a": [{"b.c": [{"d": ["x"]}]}, {"b.c": [{"d": ["y"]}]}]}
    assert plain(render(parse_template("{a.b.c.d}"), values, 99) or ()) == "x y"
