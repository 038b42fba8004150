"""What a hit shows of its document: the source, single fields, highlights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from proxy.embedded.errors import unparsable
from proxy.embedded.highlight import Highlight, read_highlight
from proxy.embedded.index import Document
from proxy.embedded.mapping import Field
from proxy.embedded.values import as_bool, as_names, format_date, known_keys, matches_any


@dataclass(frozen=True, slots=True)
class SourceFilter:
    """Which part of the source is shown. Patterns cover what lies below a name too; exclusion wins."""

    shown: bool = True
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    def apply(self, source: bytes) -> orjson.Fragment | dict[str, Any]:
        """Return the stored bytes where nothing is left out, else what is left."""
        if not self.includes and not self.excludes:
            return orjson.Fragment(source)
        left: dict[str, Any] = self._filtered(orjson.loads(source), "", not self.includes)
        return left

    def _filtered(self, node: dict[str, Any], prefix: str, included: bool) -> dict[str, Any]:
        left = {}
        for key, value in node.items():
            name = prefix + key
            if matches_any(name, self.excludes):
                continue
            inside = included or matches_any(name, self.includes)
            kept = self._below(value, f"{name}.", inside)
            if inside or kept not in (None, {}, []):
                left[key] = kept
        return left

    def _below(self, value: Any, prefix: str, included: bool) -> Any:
        if isinstance(value, dict):
            return self._filtered(value, prefix, included)
        if isinstance(value, list):
            items = [self._below(item, prefix, included) for item in value]
            return items if included else [item for item in items if item not in (None, {}, [])]
        return value if included else None


def read_source_filter(params: Mapping[str, str], body: Any = True) -> SourceFilter:
    """Read ``_source`` of the body and of the URL, which counts more. Raises EngineError 400."""
    shown, includes, excludes = True, [], []
    if isinstance(body, bool):
        shown = body
    elif isinstance(body, dict):
        known_keys("_source", body, {"includes", "excludes"})
        includes, excludes = (as_names("_source", body.get(key, [])) for key in ("includes", "excludes"))
    else:
        includes = as_names("_source", [body] if isinstance(body, str) else body)
    given = params.get("_source")
    if given in ("true", "false"):
        shown, includes, excludes = as_bool("_source", given), [], []
    elif given is not None:
        shown, includes, excludes = True, as_names("_source", given), []
    if params.keys() & {"_source_includes", "_source_excludes"}:
        shown = True
        includes = as_names("_source_includes", params.get("_source_includes", includes))
        excludes = as_names("_source_excludes", params.get("_source_excludes", excludes))
    return SourceFilter(shown, tuple(includes), tuple(excludes))


@dataclass(frozen=True, slots=True)
class Fetch:
    """What is asked of each hit's document."""

    source: SourceFilter
    fields: tuple[str, ...]
    highlight: Highlight | None

    def parts(self, document: Document, fields: Mapping[str, Field], terms: Mapping[str, set[str]]) -> dict[str, Any]:
        """Return the members of a hit. ``terms``: what the query looks for, by field."""
        parts: dict[str, Any] = {}
        if self.source.shown:
            parts["_source"] = self.source.apply(document.source)
        shown = {
            name: [_shown(fields[name], value) for value in values]
            for name, values in document.values.items()
            if name in fields and matches_any(name, self.fields)
        }
        if shown:
            parts["fields"] = shown
        marked = self.highlight.mark(document, fields, terms) if self.highlight else {}
        if marked:
            parts["highlight"] = marked
        return parts


def _shown(field: Field, value: Any) -> Any:
    return format_date(value) if field.type == "date" else value


def read_fetch(params: Mapping[str, str], body: dict[str, Any]) -> Fetch:
    """Read what a search asks of its hits. Raises EngineError 400."""
    names = []
    for item in body.get("fields", []) if isinstance(body.get("fields", []), list) else [None]:
        name = known_keys("fields", item, {"field"}).get("field") if isinstance(item, dict) else item
        if not isinstance(name, str):
            raise unparsable("[fields] must be a list of names, or of objects with a [field]")
        names.append(name)
    highlight = read_highlight(body["highlight"]) if "highlight" in body else None
    return Fetch(read_source_filter(params, body.get("_source", True)), tuple(names), highlight)
