"""Text templates such as ``{title} {brand} {bullets:60}``: how a hit's fields become a document's text."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_FIELD_TOKENS = 100_000

_LIMIT = re.compile(r"[1-9][0-9]{0,5}")


class TemplateError(ValueError):
    """A template cannot be read. The text says in one line what is wrong, at which character, and what to write."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stands in every document."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """The values of a field."""

    path: str
    """The field's full name, dots included."""
    max_tokens: int | None = None
    """Cut after so many of the model's tokens; None: only by the document's limit."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text template: literals and fields in order."""

    parts: tuple[Literal | Field, ...]

    def __str__(self) -> str:
        """Return the template as it is written in the settings."""
        return "".join(_written(part) for part in self.parts)


def _written(part: Literal | Field) -> str:
    if isinstance(part, Literal):
        return part.text.replace("{", "{{").replace("}", "}}")
    return f"{{{part.path}}}" if part.max_tokens is None else f"{{{part.path}:{part.max_tokens}}}"


def parse_template(text: str) -> Template:
    """Read a template; ``str()`` of the result gives ``text`` back.

    Grammar: ``{name}`` is a field, ``{name:60}`` at most 60 tokens of it, ``{{`` and ``}}`` are braces, all else stands
    for itself. What follows the last colon within braces is the number of tokens.

    Raises:
        TemplateError: with the position, counted in characters from 1.
    """
    parts: list[Literal | Field] = []
    literal = ""
    at = 0
    while at < len(text):
        pair = text[at : at + 2]
        if pair in ("{{", "}}"):
            literal += pair[0]
            at += 2
        elif text[at] == "{":
            end = text.find("}", at)
            if end < 0:
                raise _error(text, at, "the brace is never closed; write {field}, or {{ for a brace itself")
            if literal:
                parts.append(Literal(literal))
                literal = ""
            parts.append(_parse_field(text, at, text[at + 1 : end]))
            at = end + 1
        elif text[at] == "}":
            raise _error(text, at, "the brace closes nothing; write }} for a brace itself")
        else:
            literal += text[at]
            at += 1
    if literal:
        parts.append(Literal(literal))
    if not any(isinstance(part, Field) for part in parts):
        raise TemplateError(f"{_shown(text)} names no field; write a field's name in braces, as in {{title}}")
    return Template(tuple(parts))


def _parse_field(text: str, at: int, inner: str) -> Field:
    path, colon, limit = inner.rpartition(":") if ":" in inner else (inner, "", "")
    if not path.strip():
        raise _error(text, at, "the field has no name; write it in the braces, as in {title}")
    if path != path.strip() or "{" in path or "*" in path or "" in path.split("."):
        raise _error(
            text, at, f"{path!r} is no field's name; write one full name without spaces around it, as in {{title}}"
        )
    if not colon:
        return Field(path)
    if not _LIMIT.fullmatch(limit) or int(limit) > MAX_FIELD_TOKENS:
        advice = f"write a whole number from 1 to {MAX_FIELD_TOKENS}, as in {{{path}:60}}, or no colon"
        raise _error(text, at + len(path) + 2, f"{limit!r} is no number of tokens; {advice}")
    return Field(path, int(limit))


def _error(text: str, at: int, problem: str) -> TemplateError:
    return TemplateError(f"at character {at + 1} of {_shown(text)}: {problem}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
