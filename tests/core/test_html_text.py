"""Plain text out of HTML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.html_text import looks_like_html, strip_html


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
        ("", ""),
    ],
)
def test_what_a_reader_reads(html: str, words: str) -> None:
    assert " ".join(strip_html(html).split()) == words


@given(st.text(alphabet="<>&;!-/= \"'abscript#x1\n", max_size=60))
def test_it_never_fails_and_leaves_plain_text_alone(text: str) -> None:
    stripped = strip_html(text)
    assert looks_like_html(text) or stripped == text
