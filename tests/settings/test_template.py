from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import Field, Literal, Template, TemplateError, parse_template

NAMES = st.text("abz_-.:@é中 0", min_size=1, max_size=12).filter(
    lambda name: name == name.strip() and "" not in name.split(".") and ":" not in name
)
FIELDS = st.builds(Field, NAMES, st.none() | st.integers(1, 100_000))
LITERALS = st.builds(Literal, st.text("ab {}:\n", min_size=1))


@st.composite
def templates(draw: st.DrawFn) -> Template:
    parts: list[Literal | Field] = []
    for field in draw(st.lists(FIELDS, min_size=1, max_size=5)):
        literal = draw(st.none() | LITERALS)
        parts += [literal, field] if literal else [field]
    last = draw(st.none() | LITERALS)
    return Template((*parts, last) if last else tuple(parts))


@given(templates())
def test_what_is_written_is_read_back(template: Template) -> None:
    assert parse_template(str(template)) == template


@given(st.text("a{}:6. *", max_size=20))
def test_any_text_is_read_exactly_or_refused_in_one_line(text: str) -> None:
    said = ""
    try:
        template = parse_template(text)
    except TemplateError as error:
        said = str(error)
    if said:
        assert said.isprintable()
        assert "write" in said
    else:
        assert str(template) == text
        assert any(isinstance(part, Field) for part in template.parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "{title} {brand} {bullets:60}",
            (Field("title"), Literal(" "), Field("brand"), Literal(" "), Field("bullets", 60)),
        ),
        ("{{{title}}}", (Literal("{"), Field("title"), Literal("}"))),
        ("{a}{b.c}", (Field("a"), Field("b.c"))),
        (" x{a b} ", (Literal(" x"), Field("a b"), Literal(" "))),
        ("{xml:title:3}", (Field("xml:title", 3),)),
    ],
)
def test_parts(text: str, parts: tuple[Literal | Field, ...]) -> None:
    assert parse_template(text).parts == parts


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' names no field"),
        ("title", "'title' names no field"),
        ("{{title}}", "names no field"),
        ("{a} {title", "at character 5 of '{a} {title': the brace is never closed"),
        ("{a} title}", "at character 10 of '{a} title}': the brace closes nothing"),
        ("{}", "at character 1 of '{}': the field has no name"),
        ("{a}{:60}", "at character 4 of '{a}{:60}': the field has no name"),
        ("{ title}", "at character 1 of '{ title}': ' title' is no field's name"),
        ("{a..b}", "'a..b' is no field's name"),
        ("{title*}", "'title*' is no field's name"),
        ("{a{b}}", "'a{b' is no field's name"),
        ("{a:0}", "at character 4 of '{a:0}': '0' is no number of tokens"),
        ("{a:-1}", "'-1' is no number of tokens"),
        ("{a:060}", "'060' is no number of tokens"),
        ("{a:100001}", "'100001' is no number of tokens"),
        ("{a:}", "'' is no number of tokens"),
        ("{a:six}", "'six' is no number of tokens; write a whole number from 1 to 100000, as in {a:60}"),
    ],
)
def test_errors_say_where_and_what(text: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(text)
    assert said in str(caught.value)
