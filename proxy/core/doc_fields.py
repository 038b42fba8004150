"""Chooses which fields make up a document's text where the rule names none."""

from __future__ import annotations

import re
from collections.abc import Iterable

from proxy.core.mapping import MappingFacts, name_matches
from proxy.core.query_text import TextClause
from proxy.settings import Field, Literal, Template

MAX_FIELDS = 8
_USUAL_NAMES = ("title", "name", "headline", "description", "summary", "body", "content", "text")
_FALLBACK_FIELDS = 3


def choose_template(clauses: Iterable[TextClause], facts: MappingFacts | None, document_tokens: int) -> Template | None:
    """Return the template for a search's documents, best field first. None: no field can be found.

    ``facts`` None: the mapping cannot be read; the fields that the query names outright are taken as they are.
    """
    boosts: dict[str, float] = {}
    for clause in clauses:
        for name, boost in _fields_of(clause, facts):
            boosts[name] = max(boost, boosts.get(name, 0.0))
    if not boosts and facts is not None:
        boosts = dict.fromkeys(default_text_fields(facts), 1.0)
    # `sorted` is stable: fields with equal boosts stay in the query's order.
    ordered = sorted(boosts, key=lambda name: -boosts[name])[:MAX_FIELDS]
    return as_template(ordered, document_tokens) if ordered else None


def as_template(names: list[str], document_tokens: int) -> Template:
    """Join fields by a space; no field but the first may take more than half of the document's tokens."""
    parts: list[Literal | Field] = []
    for position, name in enumerate(names):
        if position:
            parts.append(Literal(" "))
        parts.append(Field(name, max(1, document_tokens // 2) if position else None))
    return Template(tuple(parts))


def _fields_of(clause: TextClause, facts: MappingFacts | None) -> list[tuple[str, float]]:
    """Return the clause's text fields, wildcards expanded, each resolved to the fields that hold the text."""
    if facts is None:
        return [(name, boost) for name, boost in clause.fields if "*" not in name and not name.startswith("_")]
    named = clause.fields or tuple((name, 1.0) for name in facts.default_fields)
    # A default field may carry a boost, as in `title^2`.
    named = tuple(_split_boost(name, boost) for name, boost in named)
    concrete = [(one, boost) for name, boost in named for one in _expand(name, facts)]
    texts = any(facts.is_text(name) for name, _ in concrete)
    found: dict[str, float] = {}
    for name, boost in concrete:
        if not (facts.is_text(name) or (texts and facts.is_keyword(name))):
            continue
        for origin in facts.origins(name):
            if not facts.in_nested(origin) and (facts.is_text(origin) or facts.is_keyword(origin)):
                found[origin] = max(boost, found.get(origin, 0.0))
    return list(found.items())


def _split_boost(name: str, boost: float) -> tuple[str, float]:
    base, caret, factor = name.rpartition("^")
    try:
        return (base, boost * float(factor)) if caret else (name, boost)
    except ValueError:
        return name, boost


def _expand(pattern: str, facts: MappingFacts) -> list[str]:
    if "*" not in pattern:
        return [pattern]
    # Of a field and its multi-fields the parent is enough; an engine expands to both.
    return [name for name in facts.names() if name_matches(pattern, name) and name not in facts.multi_fields]


def default_text_fields(facts: MappingFacts) -> list[str]:
    """Return the fields of a query that names none: the index's default fields, else the usual names, else the first.

    Multi-fields and copies are left out: their text stands in the fields that they come from.
    """
    named = _fields_of(TextClause("default", "", tuple((name, 1.0) for name in facts.default_fields), True), facts)
    if named:
        return [name for name, _ in named]
    texts = [
        name
        for name in facts.names()
        if facts.is_text(name) and facts.origins(name) == (name,) and not facts.in_nested(name)
    ]
    usual = [name for word in _USUAL_NAMES for name in texts if word in _words(name)]
    return list(dict.fromkeys(usual)) or texts[:_FALLBACK_FIELDS]


def _words(name: str) -> set[str]:
    """Split the last part of a field's name into lower-case words: ``productTitle`` is product and title."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name.rpartition(".")[2])}
