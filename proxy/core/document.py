"""Renders a hit's document text from the values of its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.core.html_text import strip_html
from proxy.scorer.types import Document, Segment
from proxy.settings import Field, TargetPattern, Template

_CHARACTERS_PER_TOKEN = 32
"""More than any language needs: a text is cut so far before tokens are counted, so that huge fields cost nothing."""
_MARKUP_SHARE = 4
"""Of a text with markup so many times its limit is read: half of a page and more may be tags."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Which template a hit's text is made by."""

    default: Template
    by_index: tuple[tuple[TargetPattern, Template | None], ...] = ()
    """For hits of the indices that a pattern means, the first one counts; None: the default. Empty: it always."""

    def of(self, index: str | None) -> Template:
        """Return the template for a hit of an index."""
        names = [index] if index is not None else []
        found = next((template for pattern, template in self.by_index if names and pattern.matches(names)), None)
        return found or self.default

    def paths(self) -> tuple[str, ...]:
        """Return all fields that are read, each once, in order."""
        templates = [self.default, *(template for _, template in self.by_index if template is not None)]
        return tuple(dict.fromkeys(path for template in templates for path in field_paths(template)))


def render(
    template: Template, values: Mapping[str, Sequence[object]], document_tokens: int, html: bool = True
) -> Document | None:
    """Return a hit's document, None if none of the template's fields has a text.

    Several values are joined by a space. A value that stood in an earlier field already (a field copied to another,
    say) is left out. A literal is dropped with the field behind it, so that missing fields leave no separators.
    ``html``: tags are taken out of the values.
    """
    pieces: list[Segment] = []
    seen: set[str] = set()
    literal = ""
    for position, part in enumerate(template.parts):
        if not isinstance(part, Field):
            literal = part.text
            continue
        limit = part.max_tokens or document_tokens
        text = _join(list(_values_at(values, part.path)), seen, limit * _CHARACTERS_PER_TOKEN, html)
        if text:
            if literal and (pieces or position == 1):
                pieces.append(Segment(literal))
            pieces.append(Segment(text, part.max_tokens))
        literal = ""
    if pieces and literal.strip():
        pieces.append(Segment(literal))
    return tuple(pieces) or None


def _values_at(values: Mapping[str, Any], path: str) -> Iterator[object]:
    """Yield a field's values: under its whole name, or (nested objects on Elasticsearch) below a part of it."""
    if path in values:
        found = values[path]
        yield from found if isinstance(found, (list, tuple)) else (found,)
        return
    position = path.find(".")
    while position != -1:
        below = values.get(path[:position])
        if isinstance(below, list):
            for one in below:
                if isinstance(one, dict):
                    yield from _values_at(one, path[position + 1 :])
        position = path.find(".", position + 1)


def _join(values: Sequence[object], seen: set[str], limit: int, html: bool) -> str:
    texts: list[str] = []
    length = 0
    for value in values:
        text = _plain(value, limit, html)
        if text and text not in seen and length < limit:
            seen.add(text)
            texts.append(text)
            length += len(text) + 1
    return " ".join(texts)[:limit]


def _plain(value: object, limit: int, html: bool) -> str:
    if isinstance(value, bool) or value is None:
        return ""
    if html and isinstance(value, str):
        value = strip_html(value[: _MARKUP_SHARE * 2 * limit], 2 * limit)
    if isinstance(value, (str, int, float)):
        # White space can be longer than what is left of it: twice the limit is read.
        return " ".join(str(value)[: 2 * limit].split())
    return ""


def field_paths(template: Template) -> tuple[str, ...]:
    """Return the fields that the template reads, each once, in order."""
    return tuple(dict.fromkeys(part.path for part in template.parts if isinstance(part, Field)))
