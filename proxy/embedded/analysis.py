"""Turns text into the terms that are searched: a small copy of the engine's own analyzers."""

from __future__ import annotations

from typing import NamedTuple

import tantivy

# Words are split much as Unicode's word boundaries say: an apostrophe or a point between letters, and a point or a
# comma between digits, stay inside; each Chinese or Japanese sign is a word of its own.
_SIGN = r"[\p{Han}\p{Hiragana}]"
_WORD_CHARACTER = rf"[\w--{_SIGN}]"
_WORD = (
    rf"(?:{_WORD_CHARACTER}*\p{{L}}['’.])+\p{{L}}{_WORD_CHARACTER}*"
    rf"|(?:{_WORD_CHARACTER}*\d[.,;'’])+\d{_WORD_CHARACTER}*"
    rf"|{_WORD_CHARACTER}+|{_SIGN}"
)
_LOWER, _STOP, _STEM = (
    tantivy.Filter.lowercase(),
    tantivy.Filter.stopword("english"),
    tantivy.Filter.stemmer("english"),
)


class Token(NamedTuple):
    """A term and where it stood."""

    term: str
    position: int
    start: int
    end: int


def _analyzer(tokenizer: tantivy.Tokenizer, *filters: tantivy.Filter) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tokenizer)
    for step in filters:
        builder = builder.filter(step)
    return builder.build()


_ANALYZERS = {
    "standard": _analyzer(tantivy.Tokenizer.regex(_WORD), _LOWER),
    "english": _analyzer(tantivy.Tokenizer.regex(_WORD), _LOWER, _STOP, _STEM),
    "simple": _analyzer(tantivy.Tokenizer.regex(r"\p{L}+"), _LOWER),
    "whitespace": _analyzer(tantivy.Tokenizer.whitespace()),
    "keyword": _analyzer(tantivy.Tokenizer.raw()),
}
NAMES = tuple(_ANALYZERS)


def register(index: tantivy.Index) -> None:
    """Make all analyzers known to an index."""
    for name, analyzer in _ANALYZERS.items():
        index.register_tokenizer(name, analyzer)


def prepared(name: str, text: str) -> str:
    """Return the text as it is given to an analyzer: English endings are known with the plain apostrophe only."""
    return text.replace("’", "'") if name == "english" else text


def analyze(name: str, text: str) -> list[Token]:
    """Return the tokens of a text; offsets count characters."""
    tokens = _ANALYZERS[name].pre_tokenize(prepared(name, text)).tokens
    return [Token(token.text, token.position, token.char_offset_from, token.char_offset_to) for token in tokens]
