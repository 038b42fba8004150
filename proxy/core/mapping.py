"""What is known of the fields of a search's indices, read with the search's own credentials."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

TEXT_TYPES = frozenset({"text", "match_only_text", "search_as_you_type", "semantic_text"})
KEYWORD_TYPES = frozenset({"keyword", "constant_keyword", "wildcard"})
_OBJECT_TYPES = frozenset({"object", "nested", "flat_object", "flattened"})
_MAX_HOPS = 4
"""An alias may point to a field that others are copied to: so many steps are followed."""


@dataclass(frozen=True, slots=True)
class MappingFacts:
    """The fields of a target, over all its indices."""

    types: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Dotted field name -> its types in the indices (an alias has its target's)."""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Alias field -> its targets; several, itself even, if the indices differ."""
    copy_sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Field that others are copied to -> those others, in the mapping's order; itself too, if the indices differ."""
    multi_fields: Mapping[str, str] = field(default_factory=dict)
    """Multi-field (``title.keyword``) -> its parent (``title``)."""
    default_fields: tuple[str, ...] = ()
    """``index.query.default_field`` where it is set and can be read; empty: all fields."""
    without_source: bool = False
    """No index keeps its documents (``_source`` disabled): there is no text to be had."""

    def names(self) -> list[str]:
        """Return all field names but objects and the engine's own (``_id`` ...), in the mapping's order."""
        return [name for name, kinds in self.types.items() if not name.startswith("_") and kinds - _OBJECT_TYPES]

    def is_text(self, name: str) -> bool:
        """Say whether the field is analysed text in some index."""
        return bool(self.types.get(name, frozenset()) & TEXT_TYPES)

    def is_keyword(self, name: str) -> bool:
        """Say whether the field is a keyword in some index."""
        return bool(self.types.get(name, frozenset()) & KEYWORD_TYPES)

    def in_nested(self, name: str) -> bool:
        """Say whether the field lies in a nested object; its values stand elsewhere in an answer then."""
        return any("nested" in self.types.get(parent, ()) for parent in parents(name))

    def origins(self, name: str) -> tuple[str, ...]:
        """Return the fields that hold the text itself: alias -> target, multi-field -> parent, copy -> its sources."""
        current: tuple[str, ...] = (name,)
        for _ in range(_MAX_HOPS):
            resolved = tuple(dict.fromkeys(step for one in current for step in self._step(one)))
            if resolved == current:
                break
            current = resolved
        return current

    def _step(self, name: str) -> tuple[str, ...]:
        if name in self.aliases:
            return self.aliases[name]
        if name in self.copy_sources:
            return self.copy_sources[name]
        if name in self.multi_fields:
            return (self.multi_fields[name],)
        return (name,)


def name_matches(pattern: str, name: str) -> bool:
    """Say whether a field's name fits a pattern, in which ``*`` is the only wildcard."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))


def parents(name: str) -> Iterator[str]:
    """Yield the objects that a field lies in by its dotted name, the outermost first."""
    position = name.find(".")
    while position != -1:
        yield name[:position]
        position = name.find(".", position + 1)


def facts_from(field_caps: bytes, mapping: bytes | None, settings: bytes | None) -> MappingFacts:
    """Build the facts from the bodies of ``_field_caps?fields=*``, ``_mapping`` and ``_settings``.

    The last two need more than the right to read and may be missing (None).

    Raises:
        ValueError: an answer has not the form that the engines give it.
    """
    try:
        capabilities = msgspec.json.decode(field_caps)["fields"]
        types = {name: frozenset(kinds) for name, kinds in capabilities.items()}
        reader = _MappingReader()
        mappings = [index.get("mappings", {}) for index in msgspec.json.decode(mapping).values()] if mapping else []
        for one in mappings:
            reader.read_index(one)
        defaults = _default_fields(msgspec.json.decode(settings)) if settings else ()
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the mapping's facts cannot be read: {error}") from None
    ordered = {name: types[name] for name in reader.order if name in types}
    return MappingFacts(
        types={**ordered, **types},
        aliases=reader.origins(reader.aliases),
        copy_sources=reader.origins(reader.copies),
        multi_fields={**_guessed_multi_fields(types), **reader.multi_fields},
        default_fields=defaults,
        without_source=bool(mappings) and all(one.get("_source", {}).get("enabled") is False for one in mappings),
    )


def _guessed_multi_fields(types: Mapping[str, frozenset[str]]) -> dict[str, str]:
    """A field below another that is no object can only be a multi-field of it; this needs no right but to read."""
    guessed = {}
    for name in types:
        parent = name.rpartition(".")[0]
        if parent in types and not types[parent] & _OBJECT_TYPES:
            guessed[name] = parent
    return guessed


def _default_fields(settings: Mapping[str, Any]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for index in settings.values():
        value = index.get("settings", {}).get("index", {}).get("query", {}).get("default_field", [])
        for name in [value] if isinstance(value, str) else value:
            found[name] = None
    return () if "*" in found else tuple(found)


class _MappingReader:
    """Collects what ``_field_caps`` does not tell from the mappings of several indices."""

    def __init__(self) -> None:
        self.order: dict[str, None] = {}
        self.aliases: dict[str, dict[str, None]] = {}
        self.copies: dict[str, dict[str, None]] = {}
        self.multi_fields: dict[str, str] = {}
        self.plain: dict[str, None] = {}

    def read_index(self, mapping: Mapping[str, Any]) -> None:
        """Add the mapping of one index; the same name may mean another thing in each."""
        aliases: dict[str, str] = {}
        copies: dict[str, dict[str, None]] = {}
        plain: list[str] = []
        for name, spec in self._walk(mapping, ""):
            if spec.get("type") == "alias":
                aliases[name] = spec["path"]
                continue
            plain.append(name)
            copied_to = spec.get("copy_to", [])
            for copy in [copied_to] if isinstance(copied_to, str) else copied_to:
                copies.setdefault(copy, {})[name] = None
        for name, target in aliases.items():
            self.aliases.setdefault(name, {})[target] = None
        for name, sources in copies.items():
            self.copies.setdefault(name, {}).update(sources)
        # Where it is neither in this index, the field holds the text itself.
        self.plain.update(dict.fromkeys(name for name in plain if name not in copies))

    def _walk(self, mapping: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for key, spec in mapping.get("properties", {}).items():
            name = prefix + key
            self.order[name] = None
            yield name, spec
            for sub in spec.get("fields", {}):
                self.order[f"{name}.{sub}"] = None
                self.multi_fields[f"{name}.{sub}"] = name
            yield from self._walk(spec, f"{name}.")

    def origins(self, found: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
        """Return where each name's text stands, the name itself among it where some index has it as a plain field."""
        return {name: (*([name] if name in self.plain else []), *others) for name, others in found.items()}
