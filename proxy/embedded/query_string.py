"""Reads the small part of the query-string syntax that people type: words, field:word, quotes, +, -, AND, OR, NOT."""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.embedded.errors import refused

MUST, SHOULD, NOT = "must", "should", "not"
_CLAUSE = re.compile(
    r"""\s*(?P<sign>[+\-!]?)(?:(?P<field>[\w.\-]+):(?=\S))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))(?=\s|$)""",
    re.VERBOSE,
)
_SYNTAX = re.compile(r"""[()\[\]{}^~*?\\/<>:"]|&&|\|\||^[+\-!]""")


@dataclass(slots=True)
class Clause:
    """A word or a phrase, the field that it names (or none), and whether it is wanted."""

    occur: str
    field: str | None
    text: str
    is_phrase: bool


def read_query_string(text: str, all_required: bool) -> list[Clause]:
    """Return the clauses. ``all_required``: words are joined by AND. Raises EngineError 400 for other syntax."""
    clauses: list[Clause] = []
    joint, negated = "", False
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _CLAUSE.match(text, position)
        if match is None:
            raise refused(f"the query string from [{text[position:].strip()[:40]}] on")
        position = match.end()
        word, phrase = match["word"], match["phrase"]
        if word in ("AND", "OR", "NOT") and not match["sign"] and not match["field"]:
            negated = negated or word == "NOT"
            joint = joint if word == "NOT" else word
            continue
        if word not in (None, "*", "*:*") and _SYNTAX.search(word):
            raise refused(f"[{word[:40]}] in a query string")
        _join(clauses, joint, all_required)
        occur = MUST if joint == "AND" or (all_required and joint != "OR") or match["sign"] == "+" else SHOULD
        if negated or match["sign"] in ("-", "!"):
            occur = NOT
        clauses.append(Clause(occur, match["field"], word if phrase is None else phrase, phrase is not None))
        joint, negated = "", False
    return clauses


def _join(clauses: list[Clause], joint: str, all_required: bool) -> None:
    """Let AND and OR change the clause before them too."""
    if clauses and joint == "AND" and clauses[-1].occur == SHOULD:
        clauses[-1].occur = MUST
    if clauses and joint == "OR" and all_required and clauses[-1].occur == MUST:
        clauses[-1].occur = SHOULD
