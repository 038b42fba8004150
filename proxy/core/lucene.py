"""Plain text out of Lucene's query syntax, for the model: words stay, syntax goes, what is negated goes too."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<range>[\[{][^\]}]{0,99}\bTO\b[^\]}]{0,99}[\]}]) # [1 TO 5}
  | (?P<regex>/(?:[^/\\]|\\.)+/)                        # /joh?n/
  | (?P<phrase>"(?P<inside>(?:[^"\\]|\\.)*)"(?:~\d*)?)  # "red shoes"~2
  | (?P<open>[({])
  | (?P<close>[)}])
  | (?P<operator>&&|\|\|)
  | (?P<word>(?:[^\s"()&|{}\[\]\\]|\\.|&(?!&)|\|(?!\|))+)
    """,
    re.VERBOSE,
)
_FIELD = re.compile(r"^[\w.*\\-]+:(?=.|$)")
_EXISTS = re.compile(r"[+!-]*_exists_:")
_COMPARISON = re.compile(r"^[<>]=?")
_SUFFIX = re.compile(r"(?:\^[\d.]+|~[\d.]*)+$")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_WILDCARD = re.compile(r"(?<!\\)[*?]")
_KEYWORDS = {"AND", "OR", "TO"}


def plain_query_string(text: str) -> str:
    """Return the words of a ``query_string`` query.

    Field prefixes, operators, boosts, fuzziness, wildcards, ranges and regular expressions go; so does what stands
    behind ``-``, ``!`` or ``NOT``, since those documents are not wanted.
    """
    words: list[str] = []
    negated = False
    groups: list[bool] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "close":
            if groups:
                groups.pop()
            continue
        if kind == "open":
            groups.append(negated)
            negated = False
            continue
        if kind in ("range", "regex", "operator"):
            negated = False
            continue
        if match.group("phrase"):
            if not negated and not any(groups):
                words.append(_unescape(match.group("inside")))
            negated = False
            continue
        word = match.group("word")
        if word == "NOT":
            negated = True
            continue
        if _EXISTS.match(word):
            negated = False
            continue  # it asks for a field, whatever its text is
        word, negated = _strip_prefixes(word, negated)
        if not word:
            continue  # the field or the sign belongs to what follows: a phrase or a group
        if not negated and not any(groups) and word not in _KEYWORDS:
            words.append(_plain_word(word))
        negated = False
    return " ".join(" ".join(words).split())


def _strip_prefixes(word: str, negated: bool) -> tuple[str, bool]:
    while word[:1] in ("+", "-", "!"):
        negated = negated or word[0] in "-!"
        word = word[1:]
    word = _FIELD.sub("", word, count=1)
    while word[:1] in ("+", "-", "!"):
        word = word[1:]
    return _COMPARISON.sub("", word), negated


def _plain_word(word: str) -> str:
    return _unescape(_WILDCARD.sub("", _SUFFIX.sub("", word)))


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)


_SIMPLE = re.compile(
    r"""
    (?P<phrase>-?"(?P<inside>(?:[^"\\]|\\.)*)"(?:~\d*)?)
  | (?P<open>-?\()
  | (?P<close>\))
  | (?P<word>(?:[^\s"()|\\]|\\.)+)
    """,
    re.VERBOSE,
)


def plain_simple_query_string(text: str) -> str:
    """Return the words of a ``simple_query_string`` query, which knows neither fields nor ``AND`` and ``NOT``."""
    words: list[str] = []
    groups: list[bool] = []
    for match in _SIMPLE.finditer(text):
        token = match.group()
        if match.group("close"):
            if groups:
                groups.pop()
        elif match.group("open"):
            groups.append(token.startswith("-"))
        elif token.startswith("-") or any(groups):
            continue
        elif match.group("phrase"):
            words.append(_unescape(match.group("inside")))
        else:
            words.append(_plain_word(token.lstrip("+")))
    return " ".join(" ".join(words).split())
