"""Marks the words that a query has found in the text of a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.embedded import analysis
from proxy.embedded.analysis import Token
from proxy.embedded.errors import refused, unparsable
from proxy.embedded.index import Document
from proxy.embedded.mapping import Field
from proxy.embedded.values import as_bool, as_count, known_keys, wildcard

_OPTIONS = {"pre_tags", "post_tags", "fragment_size", "number_of_fragments", "require_field_match", "no_match_size"}


@dataclass(frozen=True, slots=True)
class Options:
    """How one field is marked."""

    before: str
    after: str
    fragment_size: int
    """Characters; a fragment ends with a word, so it may be somewhat longer."""
    fragments: int
    """0: the whole text, not cut."""
    own_field_only: bool
    no_match_size: int


@dataclass(frozen=True, slots=True)
class Highlight:
    """Which fields are marked and how."""

    fields: tuple[tuple[str, Options], ...]

    def mark(
        self, document: Document, fields: Mapping[str, Field], terms: Mapping[str, set[str]]
    ) -> dict[str, list[str]]:
        """Return the fragments by field; fields without any are left out."""
        marked: dict[str, list[str]] = {}
        for pattern, options in self.fields:
            for name in filter(wildcard(pattern), document.values):
                if name not in fields or not fields[name].is_words:
                    continue
                wanted = terms.get(name, set()) if options.own_field_only else set().union(*terms.values())
                fragments = _fragments(fields[name], list(map(str, document.values[name])), wanted, options)
                if fragments:
                    marked[name] = fragments
        return marked


def _fragments(field: Field, texts: list[str], wanted: set[str], options: Options) -> list[str]:
    found: list[str] = []
    for text in texts:
        analyzer = field.analyzer if field.type == "text" else "keyword"
        matching = [token for token in analysis.analyze(analyzer, text) if token.term in wanted]
        groups = _groups(matching, options.fragment_size) if options.fragments else [matching] * bool(matching)
        found += [_marked(text, group, options) for group in groups]
    if not found and options.no_match_size and texts:
        return [texts[0][: options.no_match_size]]
    return found[: options.fragments] if options.fragments else found


def _groups(tokens: list[Token], size: int) -> list[list[Token]]:
    """Put tokens together that fit into one fragment."""
    groups: list[list[Token]] = []
    for token in tokens:
        if groups and token.end - groups[-1][0].start <= size:
            groups[-1].append(token)
        else:
            groups.append([token])
    return groups


def _marked(text: str, tokens: list[Token], options: Options) -> str:
    start, end = 0, len(text)
    if options.fragments:
        # Room that the words leave is shared out before and after them, then both ends move to the next space.
        room = max(options.fragment_size - (tokens[-1].end - tokens[0].start), 0)
        start = max(tokens[0].start - room // 2, 0)
        end = min(start + max(options.fragment_size, tokens[-1].end - start), len(text))
        start = text.rfind(" ", 0, start + 1) + 1 if start else 0
        end = next((place for place in range(end, len(text)) if text[place] == " "), len(text))
    pieces: list[str] = []
    for token in tokens:
        pieces += [text[start : token.start], options.before, text[token.start : token.end], options.after]
        start = token.end
    return "".join([*pieces, text[start:end]])


def read_highlight(body: Any) -> Highlight:
    """Read the ``highlight`` of a search. Raises EngineError 400."""
    known_keys("highlight", body, {*_OPTIONS, "fields", "type"})
    fields = body.get("fields")
    if isinstance(fields, list) and all(isinstance(item, dict) for item in fields):
        fields = {name: options for item in fields for name, options in item.items()}
    if not isinstance(fields, dict):
        raise unparsable("[highlight] needs [fields]")
    return Highlight(tuple((name, _options(body, own)) for name, own in fields.items()))


def _options(common: dict[str, Any], own: Any) -> Options:
    options = {**common, **known_keys("highlight", own, {*_OPTIONS, "type"})}
    if options.get("type", "unified") not in ("unified", "plain"):
        raise refused(f"[highlight] of type [{options['type']}]")
    return Options(
        before=_tag(options.get("pre_tags", "<em>")),
        after=_tag(options.get("post_tags", "</em>")),
        fragment_size=as_count("fragment_size", options.get("fragment_size", 100)),
        fragments=as_count("number_of_fragments", options.get("number_of_fragments", 5)),
        own_field_only=as_bool("require_field_match", options.get("require_field_match", True)),
        no_match_size=as_count("no_match_size", options.get("no_match_size", 0)),
    )


def _tag(value: Any) -> str:
    tags = value if isinstance(value, list) else [value]
    if not tags or not isinstance(tags[0], str):
        raise unparsable("[highlight] needs tags that are strings")
    return tags[0]
