"""Words out of Lucene's query syntax."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.lucene import plain_query_string, plain_simple_query_string


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("red shoes", "red shoes"),
        ("  red \n shoes ", "red shoes"),
        ("title:red AND brand:acme", "red acme"),
        ("title:(red shoes)", "red shoes"),
        ('title:"red shoes"~2^3', "red shoes"),
        ("red OR shoes && boots || clogs", "red shoes boots clogs"),
        ("shoes -red", "shoes"),
        ("shoes !red", "shoes"),
        ("shoes NOT red boots", "shoes boots"),
        ("shoes -(red blue) boots", "shoes boots"),
        ("shoes -title:(red (blue green)) boots", "shoes boots"),
        ('shoes NOT "dark red" boots', "shoes boots"),
        ("+shoes +title:boots", "shoes boots"),
        ("title:-red shoes", "red shoes"),
        ("shoes^2 boots^0.5", "shoes boots"),
        ("(shoes boots)^2", "shoes boots"),
        ("shoos~1 boots~", "shoos boots"),
        ("sho?s boo*", "shos boo"),
        ("price:[10 TO 20] shoes", "shoes"),
        ("price:{* TO 20} shoes", "shoes"),
        ("size:>=10 shoes", "10 shoes"),
        ("/jo.n(ath[oa]n)/ shoes", "shoes"),
        ("and/or 24/7", "and/or 24/7"),
        ("AT&T phone", "AT&T phone"),
        (r"1\+1 \(red\)", "1+1 (red)"),
        (r"\*star", "*star"),
        ('"say \\"hi\\""', 'say "hi"'),
        ("_exists_:brand shoes", "shoes"),
        ("shoes -_exists_:brand", "shoes"),
        ("product.title:shoes", "shoes"),
        ("product*:shoes", "shoes"),
        ("*:*", ""),
        ("NOT red", ""),
        (")) shoes ((", "shoes"),
        ('"open shoes', "open shoes"),
        ("", ""),
    ],
)
def test_query_string(text: str, words: str) -> None:
    assert plain_query_string(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("red shoes", "red shoes"),
        ("+red | shoes", "red shoes"),
        ("shoes -red", "shoes"),
        ('shoes -"dark red" "light blue"~2', "shoes light blue"),
        ("shoes -(red blue) boots", "shoes boots"),
        ("(red (blue)) shoes", "red blue shoes"),
        ("shoe* boots~1", "shoe boots"),
        ("wi-fi router", "wi-fi router"),
        ("phone - black", "phone black"),
        ("title:red AND blue", "title:red AND blue"),
        (r"\-10 \"x\"", '-10 "x"'),
        (") shoes (", "shoes"),
        ("", ""),
    ],
)
def test_simple_query_string(text: str, words: str) -> None:
    assert plain_simple_query_string(text) == words


@given(st.text(alphabet='ab "()[]{}+-!~^*?:/\\&|<>=1.TO', max_size=60))
def test_no_syntax_makes_it_fail(text: str) -> None:
    for read in (plain_query_string, plain_simple_query_string):
        words = read(text)
        assert words == " ".join(words.split())


@given(st.lists(st.text(alphabet="abcdefgh0123456789", min_size=1, max_size=6), max_size=8))
def test_plain_words_stay_as_they_are(words: list[str]) -> None:
    text = " ".join(words)
    assert plain_query_string(text) == plain_simple_query_string(text) == text
