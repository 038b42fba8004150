"""Plain text out of HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.html_text import strip_html


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>Red <b>run</b>ning shoe</p><p>Size&nbsp;42 &amp; up</p>", "Red running shoe Size 42 & up"),
        ("<ul><li>light</li><li>warm</li></ul>", "light warm"),
        ("a<br/>b<br>c", "a b c"),
        ("<script>var x = '<p>no</p>';</script>yes<style>p {}</style>", "yes"),
        ("shoe <!-- hidden --> lace", "shoe lace"),
        ("&lt;b&gt; is a tag", "<b> is a tag"),
        ("&#82;ed &#x53;hoe", "Red Shoe"),
        ("3 < 4 and 5 > 2", "3 < 4 and 5 > 2"),
        ("AT&T, R&D; Q&A", "AT&T, R&D; Q&A"),
        ("an <unclosed tag", "an <unclosed tag"),
        ("<p>cut in the mid", "cut in the mid"),
        ("plain", "plain"),
        # what only looks like markup is text
        ("List<String> of Map<K, V>", "List<String> of Map<K, V>"),
        ("set rel=1&copy=2, a&b;", "set rel=1&copy=2, a&b;"),
        # elements of other languages are markup where they are closed
        ("<item><title>Red shoe</title><o:p>warm</o:p></item>", "Red shoe warm"),
        ("<![CDATA[Red shoe]]> <?xml version='1.0'?><!DOCTYPE html><html>warm</html>", "Red shoe warm"),
        # a > in a quoted value ends no tag, an apostrophe elsewhere opens no value
        ("<a title=\"a > b\" href='x>y'>Red</a> shoe", "Red shoe"),
        ("<p don't>Red</p> <P CLASS=X>shoe</P>", "Red shoe"),
        ("<HEAD><title>no</title></HEAD>yes<SCRIPT>no", "yes"),
        ("yes<!-- <p>no</p>", "yes"),
        ("3&frac12; &sup2; &nosuchthing; &#9999999;", "3½ ² &nosuchthing; \ufffd"),
        ("", ""),
    ],
)
def test_what_a_reader_reads(html: str, words: str) -> None:
    assert " ".join(strip_html(html).split()) == words


@given(st.text(alphabet="<>&;!-/= \"'abscript#x1\n", max_size=60))
def test_it_never_fails_and_leaves_text_without_tags_or_references_alone(text: str) -> None:
    stripped = strip_html(text)
    assert len(stripped) <= 2 * len(text)
    if not ({"<", "&"} & set(text)):
        assert stripped == text


@given(
    st.lists(st.sampled_from(["<p>", "</p>", "<b>", "<x>", "</x>", "&amp;", "word", " ", "<!-- c -->"]), max_size=20)
)
def test_stopping_early_gives_the_beginning(pieces: list[str]) -> None:
    html = "".join(pieces)
    assert strip_html(html).startswith(strip_html(html, 5))
    assert len(strip_html(html, 5)) >= min(5, len(strip_html(html)))


@pytest.mark.parametrize(
    "piece",
    ["<a ", "<a '", '<x y="<x" ', "<!--", "<![CDATA[", "<!d", "</a ", "<p>", "<x></x>", "<script></", "&#1", "a<"],
)
def test_hostile_texts_take_time_in_proportion_to_their_length(piece: str) -> None:
    # A parser that reads on from each of these to the end of the text would outlast the test's time limit.
    strip_html(piece * 1_000_000)


def test_a_reference_of_any_length_is_no_error() -> None:
    digits = "&#" + "9" * 10_000 + ";"
    assert strip_html(f"<p>{digits}</p>").strip() == digits
