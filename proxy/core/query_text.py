"""Finds the text that a search asks for in the scoring clauses of the query DSL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from proxy.core.limits import as_list, unwrapped
from proxy.core.lucene import plain_query_string, plain_simple_query_string
from proxy.settings import Literal, Template

_BOOST = re.compile(r"^(?P<name>.*?)\^(?P<boost>[\d.]+)$")
_MATCHES = {"match", "match_phrase", "match_phrase_prefix", "match_bool_prefix"}
_MULTI_MATCHES = {"multi_match", "combined_fields"}
_SYNTAX_QUERIES = {"query_string": plain_query_string, "simple_query_string": plain_simple_query_string}
_WRAPPERS = {
    "function_score": "query",
    "script_score": "query",
    "constant_score": "filter",
    "boosting": "positive",
    "nested": "query",
    "pinned": "organic",
    "rule": "organic",
    "rule_query": "organic",
}
"""Query type -> the key under which the query that scores stands."""
_MAX_DEPTH = 64
MAX_QUERY_CHARACTERS = 4000
"""A longer query text is cut: the model reads some hundred words at most."""


@dataclass(frozen=True, slots=True)
class TextClause:
    """A scoring clause that holds a text."""

    kind: str
    text: str
    fields: tuple[tuple[str, float], ...]
    """(name or wildcard, boost); empty: the index's default fields."""
    required: bool
    """Every hit must match it: it stands at the top or under ``must`` all the way."""


@dataclass(frozen=True, slots=True)
class QueryText:
    """The text to rank by and where it was found."""

    text: str
    source: str
    """``given`` by the client, ``template …`` of the rule, or the kinds of clause, e.g. ``bool.must.match``."""
    clauses: tuple[TextClause, ...]
    """The clauses that hold the text; their fields say what a document's text is made of."""


def normalise(text: str) -> str:
    """Return the text with white space collapsed, cut to what a model could read."""
    return " ".join(text[: 4 * MAX_QUERY_CHARACTERS].split())[:MAX_QUERY_CHARACTERS]


def find_query_text(body: dict[str, Any], given: str | None, template: Template | None = None) -> QueryText | None:
    """Return the text to rank by: the given one, else the template's, else the one found in the query.

    Args:
        body: the search's.
        given: by the client, outright.
        template: the rule's, of paths into the body.

    Returns:
        None: there is no text.
    """
    clauses = tuple(_search_clauses(body))
    # Which clauses hold a given text cannot be known: all of them say which fields matter.
    if given is not None and normalise(given):
        return QueryText(normalise(given), "given", clauses)
    if template is not None and (text := _rendered(template, body)):
        return QueryText(text, f"template {template}", clauses)
    if not clauses:
        return None
    required = [clause for clause in clauses if clause.required]
    texts = _distinct(required) if required else [_most_shared(clauses)]
    wanted = {_same(text) for text in texts}
    chosen = tuple(clause for clause in clauses if _same(clause.text) in wanted)
    source = ", ".join(dict.fromkeys(clause.kind for clause in chosen))
    return QueryText(normalise(" ".join(texts)), source, chosen)


def _rendered(template: Template, body: dict[str, Any]) -> str:
    """Fill a template with texts of the body; empty where none of its paths leads to one."""
    pieces: list[str] = []
    separator, filled = "", False
    for part in template.parts:
        if isinstance(part, Literal):
            separator += part.text
            continue
        text = normalise(" ".join(_texts_at(body, part.path.split("."))))
        if text:
            # What stands before a path that leads nowhere is left out with it.
            pieces += [separator, text]
            filled = True
        separator = ""
    return normalise("".join([*pieces, separator])) if filled else ""


def _texts_at(value: object, steps: list[str]) -> Iterator[str]:
    """Yield the texts that a path leads to: by keys, which may hold dots, and by a list's numbers or all its items."""
    if isinstance(value, list):
        if steps and steps[0].isdigit():
            chosen = value[int(steps[0]) : int(steps[0]) + 1]
            steps = steps[1:]
        else:
            chosen = value
        for item in chosen:
            yield from _texts_at(item, steps)
    elif isinstance(value, str):
        if not steps:
            yield value
    elif isinstance(value, dict):
        for count in range(1, len(steps) + 1):
            key = ".".join(steps[:count])
            if key in value:
                yield from _texts_at(value[key], steps[count:])
                return
        if not steps and isinstance(value.get("query"), str):
            yield value["query"]  # `{"match": {"title": {"query": "red shoes"}}}`: the long form of a query


def _same(text: str) -> str:
    return text.casefold()


def _distinct(clauses: list[TextClause]) -> list[str]:
    texts: dict[str, str] = {}
    for clause in clauses:
        texts.setdefault(_same(clause.text), clause.text)
    return list(texts.values())


def _most_shared(clauses: tuple[TextClause, ...]) -> str:
    counts: dict[str, int] = {}
    for clause in clauses:
        counts[_same(clause.text)] = counts.get(_same(clause.text), 0) + 1
    # `max` keeps the first of equals, and a dict keeps the query's order.
    winner = max(counts, key=lambda text: counts[text])
    return next(clause.text for clause in clauses if _same(clause.text) == winner)


def _search_clauses(body: dict[str, Any]) -> Iterator[TextClause]:
    if "query" in body:
        yield from _clauses(body["query"], 1.0, True, "", 0)
    for section in as_list(body.get("knn")):
        yield from _vector(section, False, "knn")
    if "retriever" in body:
        yield from _retriever_clauses(body["retriever"], True, 0)


def _retriever_clauses(retriever: object, required: bool, depth: int) -> Iterator[TextClause]:
    if not isinstance(retriever, dict) or depth > _MAX_DEPTH:
        return
    for kind, options in retriever.items():
        if not isinstance(options, dict):
            continue
        if kind == "standard":
            yield from _clauses(options.get("query"), 1.0, required, "standard.", 0)
        elif kind == "knn":
            yield from _vector(options, required, kind)
        if "retriever" in options:
            yield from _retriever_clauses(options["retriever"], required, depth + 1)
        for child in as_list(options.get("retrievers")):
            inner = child["retriever"] if isinstance(child, dict) and "retriever" in child else child
            yield from _retriever_clauses(inner, False, depth + 1)


def _clauses(query: object, boost: float, required: bool, path: str, depth: int) -> Iterator[TextClause]:
    """Walk a query and yield its texts in the order of the query. What cannot be read holds no text."""
    if not isinstance(query, dict) or depth > _MAX_DEPTH:
        return
    for kind, options in query.items():
        if not isinstance(options, dict):
            continue
        inner_boost = boost * _number(options.get("boost"), 1.0)
        where = f"{path}{kind}"
        if kind in _MATCHES:
            yield from _match(options, boost, required, where)
        elif kind in _MULTI_MATCHES or kind in _SYNTAX_QUERIES:
            yield from _over_fields(kind, options, inner_boost, required, where)
        elif kind == "bool":
            yield from _bool(options, inner_boost, required, path, depth)
        elif kind in ("dis_max", "hybrid"):
            for child in as_list(options.get("queries")):
                yield from _clauses(child, inner_boost, False, f"{where}.", depth + 1)
        elif kind == "wrapper":
            yield from _clauses(unwrapped(options), inner_boost, required, f"{where}.", depth + 1)
        elif kind in _WRAPPERS:
            yield from _clauses(options.get(_WRAPPERS[kind]), inner_boost, required, f"{where}.", depth + 1)
        else:
            yield from _semantic(kind, options, required, where)


def _bool(options: dict[str, Any], boost: float, required: bool, path: str, depth: int) -> Iterator[TextClause]:
    for child in as_list(options.get("must")):
        yield from _clauses(child, boost, required, f"{path}bool.must.", depth + 1)
    for child in as_list(options.get("should")):
        yield from _clauses(child, boost, False, f"{path}bool.should.", depth + 1)


def _match(options: dict[str, Any], boost: float, required: bool, where: str) -> Iterator[TextClause]:
    for name, value in options.items():
        text = value.get("query") if isinstance(value, dict) else value
        own = _number(value.get("boost"), 1.0) if isinstance(value, dict) else 1.0
        if isinstance(text, str) and normalise(text):
            yield TextClause(where, normalise(text), ((name, boost * own),), required)


def _over_fields(kind: str, options: dict[str, Any], boost: float, required: bool, where: str) -> Iterator[TextClause]:
    text = options.get("query")
    if not isinstance(text, str):
        return
    text = normalise(text)  # cut first: reading the syntax costs time
    if kind in _SYNTAX_QUERIES:
        text = normalise(_SYNTAX_QUERIES[kind](text))
    if not text:
        return
    names = as_list(options.get("fields"))
    if not names and isinstance(options.get("default_field"), str):
        names = [options["default_field"]]
    fields = tuple(_field(name, boost) for name in names if isinstance(name, str))
    yield TextClause(where, text, () if _means_all(fields) else fields, required)


def _means_all(fields: tuple[tuple[str, float], ...]) -> bool:
    return [name for name, _ in fields] == ["*"]


def _field(name: str, boost: float) -> tuple[str, float]:
    match = _BOOST.match(name)
    return (match["name"], boost * _number(match["boost"], 1.0)) if match else (name, boost)


def _semantic(kind: str, options: dict[str, Any], required: bool, where: str) -> Iterator[TextClause]:
    """Queries whose text is embedded by the cluster: `semantic`, `sparse_vector`, `text_expansion`, `neural`, `knn`."""
    if kind in ("semantic", "sparse_vector"):
        text, field = options.get("query"), options.get("field")
        if isinstance(text, str) and normalise(text) and isinstance(field, str):
            yield TextClause(where, normalise(text), ((field, 1.0),), required)
    elif kind in ("neural", "neural_sparse", "text_expansion"):
        for value in options.values():
            text = value.get("query_text", value.get("model_text")) if isinstance(value, dict) else None
            if isinstance(text, str) and normalise(text):
                # The field holds a vector; a document's text is in the default ones.
                yield TextClause(where, normalise(text), (), required)
    elif kind == "knn":
        yield from _vector(options, required, where)


def _vector(options: object, required: bool, where: str) -> Iterator[TextClause]:
    """A vector search whose vector the cluster makes of a text (Elasticsearch's ``query_vector_builder``)."""
    for key in ("query_vector_builder", "text_embedding", "model_text"):
        options = options.get(key) if isinstance(options, dict) else None
    if isinstance(options, str) and normalise(options):
        yield TextClause(where, normalise(options), (), required)


def _number(value: object, default: float) -> float:
    try:
        return float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else default
    except (ValueError, OverflowError):
        return default
