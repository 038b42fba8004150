"""What an engine tells of whether a target's hits have the texts of given fields, and where those stand.

Fields are read through ``fields``, which takes them from ``_source``. An index may keep none, or leave parts out of it.
Then nothing comes (Elasticsearch) or the search fails (OpenSearch, where ``_source`` is off); stored fields and doc
values, of a text's keyword multi-field too, are there all the same. (Seen on Elasticsearch 8.19 and 9.5 and OpenSearch
2.19 and 3.8.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from proxy.core.mapping import name_matches, parents
from proxy.core.pipelines import NO_PIPELINE

_OPEN_OBJECTS = frozenset({"flattened", "flat_object"})
"""Objects below which any name is a field."""
_OBJECTS = frozenset({"object", "nested"})
_DOC_VALUES = frozenset(
    {"keyword", "constant_keyword", "wildcard", "long", "integer", "short", "byte", "double", "float", "half_float"}
    | {"scaled_float", "unsigned_long", "date", "ip", "version"}
)
"""Types whose doc values can be read as a text."""
_SHOWN_INDICES = 5
_NO_LIMIT = 2**31


class Origin(NamedTuple):
    """Where an index has a field's values beside its ``_source``."""

    kind: Literal["stored_fields", "docvalue_fields"]
    name: str
    """The field itself or one of its multi-fields."""


@dataclass(frozen=True, slots=True)
class SourceRule:
    """What an index's ``_source`` lacks."""

    enabled: bool = True
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    def lacks(self, name: str) -> bool:
        """Say whether a field is not in it."""
        if not self.enabled:
            return True
        levels = (*parents(name), name)
        kept = not self.includes or any(name_matches(pattern, level) for pattern in self.includes for level in levels)
        return not kept or any(name_matches(pattern, level) for pattern in self.excludes for level in levels)


@dataclass(frozen=True, slots=True)
class Caps:
    """What ``_field_caps`` tells of given fields."""

    missing: tuple[str, ...] = ()
    """Fields that none of the indices has."""
    objects: tuple[str, ...] = ()
    """Those that are an object everywhere: their fields have values, they have none."""
    nested: tuple[str, ...] = ()
    """Those that lie in a nested object somewhere."""


@dataclass(frozen=True, slots=True)
class Indices:
    """What the settings and the mapping tell of a target's indices."""

    names: tuple[str, ...] = ()
    """All of them; empty where that cannot be told."""
    sources: Mapping[str, SourceRule] = field(default_factory=dict)
    """Of the indices whose ``_source`` lacks something."""
    pipelines: tuple[str, ...] = ()
    """The names of the search pipelines that some of them have by default. OpenSearch only."""

    def lacking(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return for each index whose ``_source`` lacks some of the fields which those are."""
        wanted = tuple(names)
        found = {index: tuple(filter(rule.lacks, wanted)) for index, rule in self.sources.items()}
        return {index: lacks for index, lacks in found.items() if lacks}


@dataclass(frozen=True, slots=True)
class TargetCheck:
    """What speaks against reranking a target's hits by given fields."""

    names: tuple[str, ...] = ()
    """The fields."""
    caps: Caps = field(default_factory=Caps)
    indices: Indices = field(default_factory=Indices)
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Index -> those of the fields that its ``_source`` lacks."""
    origins: Mapping[str, Mapping[str, Origin]] = field(default_factory=dict)
    """Index -> field that its ``_source`` lacks -> where its values stand instead."""

    @property
    def unreadable(self) -> dict[str, tuple[str, ...]]:
        """Index -> those of the fields that cannot be read from it at all."""
        found = {
            index: tuple(name for name in lacks if name not in self.origins.get(index, ()))
            for index, lacks in self.lacking.items()
        }
        return {index: names for index, names in found.items() if names}

    @property
    def textless(self) -> bool:
        """No hit of the target can have a text in these fields."""
        there = {name for name in self.names if name not in (*self.caps.missing, *self.caps.objects)}
        if self.names and not there:
            return True
        unreadable = self.unreadable
        return bool(self.names and self.indices.names) and all(
            there <= set(unreadable.get(index, ())) for index in self.indices.names
        )

    def fails_on_fields(self, index: str) -> bool:
        """Say whether OpenSearch refuses to give ``fields`` of an index's hits."""
        rule = self.indices.sources.get(index)
        return rule is not None and not rule.enabled

    def problem(self) -> str:
        """Return in words what is wrong; empty: nothing."""
        sentences = []
        if self.caps.missing:
            sentences.append(f"no index has the field {', '.join(self.caps.missing)} of the rule's text")
        sentences += [
            f"{name} of the rule's text is an object, which has no text itself: name one of its fields, as in "
            f"{{{name}.name}}"
            for name in self.caps.objects
        ]
        told: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
        for index, names in self.unreadable.items():
            told.setdefault((self.indices.sources[index].enabled, names), []).append(index)
        for (enabled, names), indices in told.items():
            shown = ", ".join(indices[:_SHOWN_INDICES]) + (" and others" if len(indices) > _SHOWN_INDICES else "")
            what = "leaves them out of _source" if enabled else "keeps no _source"
            whole = f"index {shown} {what}, and has neither stored fields nor doc values of them"
            sentences.append(f"{', '.join(names)} cannot be read: {whole}")
        return "; ".join(sentences)


def asked_of_caps(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names to ask ``_field_caps`` for: the fields, what lies below them, and the objects that they lie in.

    An object is only told of beside its fields.
    """
    return tuple(dict.fromkeys(one for name in names for one in (name, f"{name}.*", *parents(name))))


def read_caps(body: bytes | None, names: Sequence[str]) -> Caps | None:
    """Read a ``_field_caps`` answer to `asked_of_caps`; None: there is none, or it is of no index."""
    try:
        answer = msgspec.json.decode(body) if body else {}
        types = {name: frozenset(kinds) for name, kinds in answer["fields"].items()}
        if not answer.get("indices"):
            return None
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return None
    none: frozenset[str] = frozenset()
    above = {name: none.union(*(types.get(parent, none) for parent in parents(name))) for name in names}
    objects = tuple(
        name
        for name in names
        if types.get(name, none) <= _OBJECTS and (name in types or any(one.startswith(f"{name}.") for one in types))
    )
    there = {name for name in names if name in types or above[name] & _OPEN_OBJECTS}
    return Caps(
        missing=tuple(name for name in names if name not in there and name not in objects),
        objects=objects,
        nested=tuple(name for name in names if "nested" in above[name]),
    )


SETTINGS_API = "_settings/index.uuid,index.mapping.source.mode,index.search.default_pipeline"
"""What `read_indices` reads; the first is a setting of every index."""
SOURCES_PARAMS = "filter_path=**._source"


def read_indices(settings: bytes | None, sources: bytes | None) -> Indices:
    """Read answers to `SETTINGS_API` and to ``_mapping`` with `SOURCES_PARAMS`; what is missing is taken for usual."""
    found = _decoded(settings)
    rules = {index: _source_rule(one["mappings"]["_source"]) for index, one in _decoded(sources).items()}
    pipelines = dict[str, None]()
    for index, one in found.items():
        own = one["settings"].get("index", {})
        pipelines[own.get("search", {}).get("default_pipeline", NO_PIPELINE)] = None
        if str(own.get("mapping", {}).get("source", {}).get("mode")).lower() == "disabled":
            rules[index] = SourceRule(enabled=False)
    lacking = {index: rule for index, rule in rules.items() if rule != SourceRule()}
    return Indices(tuple(found), lacking, tuple(name for name in pipelines if name != NO_PIPELINE))


def _source_rule(section: Mapping[str, Any]) -> SourceRule:
    disabled = section.get("enabled") in (False, "false") or str(section.get("mode")).lower() == "disabled"
    return SourceRule(not disabled, _patterns(section.get("includes")), _patterns(section.get("excludes")))


def _patterns(value: object) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def read_origins(
    fields: bytes | None, lacking: Mapping[str, Sequence[str]], nested: Iterable[str]
) -> dict[str, dict[str, Origin]]:
    """Read a ``_mapping/field/…`` answer: where indices have the values that their ``_source`` lacks.

    Args:
        fields: the answer; None: it may not be read.
        lacking: index -> fields.
        nested: fields whose values stand in documents of their own, and are found nowhere else.
    """
    inner = frozenset(nested)
    origins: dict[str, dict[str, Origin]] = {}
    for index, one in _decoded(fields).items():
        for name in lacking.get(index, ()):
            spec = next(iter(one["mappings"].get(name, {}).get("mapping", {}).values()), None)
            origin = None if spec is None or name in inner else _origin(name, spec)
            if origin is not None:
                origins.setdefault(index, {})[name] = origin
    return origins


def _origin(name: str, spec: Mapping[str, Any]) -> Origin | None:
    if spec.get("store") in (True, "true"):
        return Origin("stored_fields", name)
    if _has_doc_values(spec):
        return Origin("docvalue_fields", name)
    subs = [(sub, one) for sub, one in spec.get("fields", {}).items() if one.get("type") in ("keyword", "wildcard")]
    subs = [(sub, one) for sub, one in subs if _has_doc_values(one)]
    if not subs:
        return None
    # Longer values than `ignore_above` have no doc values.
    best, _ = max(subs, key=lambda sub: int(sub[1].get("ignore_above", _NO_LIMIT)))
    return Origin("docvalue_fields", f"{name}.{best}")


def _has_doc_values(spec: Mapping[str, Any]) -> bool:
    return spec.get("type") in _DOC_VALUES and spec.get("doc_values") not in (False, "false")


def _decoded(body: bytes | None) -> dict[str, Any]:
    """The right to read does not imply the right to see the mapping: without it less is known."""
    value = msgspec.json.decode(body) if body else {}
    if not isinstance(value, dict):
        raise TypeError("the answer is no object")
    return value
