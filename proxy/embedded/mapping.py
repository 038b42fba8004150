"""The fields of an index: what the mapping says, and what new documents add to it."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

from proxy.embedded import analysis
from proxy.embedded.errors import EngineError, bad, refused
from proxy.embedded.values import as_bool, looks_like_date, parse_date

Value = str | int | float | bool
Values = dict[str, list[Value]]
"""Dotted field name -> the field's values in a document, in their type; multi-fields too."""

_INTEGER_BITS = {"long": 64, "integer": 32, "short": 16, "byte": 8}
_FLOATS = frozenset({"double", "float", "half_float"})
TYPES = frozenset({"text", "keyword", "boolean", "date", *_INTEGER_BITS, *_FLOATS})
_PARAMETERS = frozenset({"type", "fields", "analyzer", "index", "ignore_above"})
_NO_EFFECT = frozenset({"store", "doc_values", "norms", "fielddata", "eager_global_ordinals", "coerce"})
_ROOT_KEYS = frozenset({"properties", "dynamic", "date_detection", "_meta"})
_MAX_FIELDS = 1000
_MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Field:
    """A field that holds values: no object."""

    name: str
    type: str
    analyzer: str = "standard"
    index: bool = True
    ignore_above: int | None = None
    """Longer keywords are left out."""

    @property
    def is_words(self) -> bool:
        """Say whether the field is text or keyword."""
        return self.type in ("text", "keyword")

    @property
    def is_integer(self) -> bool:
        """Say whether values are kept as integers; dates are, as milliseconds."""
        return self.type in _INTEGER_BITS or self.type == "date"

    @property
    def is_float(self) -> bool:
        """Say whether values are kept as floating point numbers."""
        return self.type in _FLOATS

    @property
    def is_number(self) -> bool:
        """Say whether values are kept as numbers."""
        return self.is_integer or self.is_float

    def term(self, value: Value) -> str:
        """Return the text that stands for a value that is no number in the index."""
        return str(value).lower() if self.type == "boolean" else str(value)

    def read(self, value: Any) -> Value:
        """Return a JSON value in the field's type. Raises ValueError, TypeError or OverflowError."""
        if self.is_words:
            return value if isinstance(value, str) else _json_text(value)
        if self.type == "boolean":
            return as_bool(self.name, value)
        if self.type == "date":
            return parse_date(value)
        if isinstance(value, bool):
            raise TypeError("a boolean is no number")
        if self.is_float:
            number = float(value)
            if number - number != 0:
                raise ValueError("a finite number is expected")
            return number
        whole = value if isinstance(value, int) else _whole(value)
        if not -(1 << _INTEGER_BITS[self.type] - 1) <= whole < 1 << _INTEGER_BITS[self.type] - 1:
            raise ValueError(f"[{value}] is out of range")
        return whole


def _json_text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _whole(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
        return int(value)
    return int(float(value))


def _mapper_error(reason: str) -> EngineError:
    return EngineError(400, "mapper_parsing_exception", reason)


class Mapping:
    """The mapping of one index. Changes are made whole or not at all."""

    def __init__(self) -> None:
        """Know no field yet."""
        self.fields: dict[str, Field] = {}
        self.objects: dict[str, bool] = {}
        """Name of an object -> whether its inside is indexed."""
        self.sub_fields: dict[str, list[Field]] = {}
        self._tree: dict[str, Any] = {}
        self._dynamic = "true"
        self._date_detection = True

    def as_json(self) -> dict[str, Any]:
        """Return what ``_mapping`` shows."""
        root: dict[str, Any] = {} if self._dynamic == "true" else {"dynamic": self._dynamic}
        if not self._date_detection:
            root["date_detection"] = False
        return {**root, "properties": _sorted_tree(self._tree)} if self._tree else root

    def put(self, mappings: Any) -> None:
        """Add fields; a known field must stay what it is. Raises EngineError 400."""
        if not isinstance(mappings, dict):
            raise _mapper_error("the mapping must be an object")
        for key in mappings:
            if key not in _ROOT_KEYS:
                raise _mapper_error(f"the embedded engine does not support [{key}] at the mapping's root")
        changed = copy.deepcopy(self)
        dynamic = mappings.get("dynamic", changed._dynamic)
        changed._dynamic = _json_text(dynamic)
        if changed._dynamic not in ("true", "false", "strict"):
            raise refused(f"[dynamic: {dynamic}]")
        changed._date_detection = as_bool("date_detection", mappings.get("date_detection", changed._date_detection))
        changed._add(mappings.get("properties", {}), "", changed._tree)
        if len(changed.fields) + len(changed.objects) > _MAX_FIELDS:
            raise bad(f"the mapping would hold more than [{_MAX_FIELDS}] fields")
        self.__dict__ = changed.__dict__

    def _add(self, properties: Any, prefix: str, tree: dict[str, Any]) -> None:
        if not isinstance(properties, dict) or prefix.count(".") >= _MAX_DEPTH:
            raise _mapper_error(f"[properties] of [{prefix[:60]}] must be an object, at most {_MAX_DEPTH} levels deep")
        for key, spec in properties.items():
            head, dot, rest = key.partition(".")
            if not head or (dot and not rest) or not isinstance(spec, dict):
                raise _mapper_error(f"[{prefix}{key}] needs a name and an object that says its type")
            if dot:
                self._add({head: {"properties": {rest: spec}}}, prefix, tree)
            elif spec.get("type", "object") == "object":
                self._add_object(prefix + key, spec, tree.setdefault(key, {}))
            else:
                self._add_field(prefix + key, spec, tree.setdefault(key, {}))

    def _add_object(self, name: str, spec: dict[str, Any], node: dict[str, Any]) -> None:
        if name in self.fields:
            raise bad(f"[{name}] cannot be changed from type [{self.fields[name].type}] to [object]")
        unknown = spec.keys() - {"type", "properties", "enabled"}
        if unknown or not spec:
            raise _mapper_error(f"[{name}] needs a type; the embedded engine does not support {sorted(unknown)} in it")
        self.objects[name] = as_bool("enabled", spec.get("enabled", self.objects.get(name, True)))
        if not self.objects[name]:
            node.update(type="object", enabled=False)
        self._add(spec.get("properties", {}), f"{name}.", node.setdefault("properties", {}))

    def _add_field(self, name: str, spec: dict[str, Any], node: dict[str, Any]) -> None:
        if name in self.objects:
            raise bad(f"[{name}] cannot be changed from type [object] to [{spec['type']}]")
        field = _field(name, spec)
        known = self.fields.get(name)
        if known is not None and known.type != field.type:
            raise bad(f"mapper [{name}] cannot be changed from type [{known.type}] to [{field.type}]")
        if known is not None and (known.analyzer, known.index) != (field.analyzer, field.index):
            raise bad(f"mapper [{name}]: [analyzer] and [index] cannot be changed")
        self.fields[name] = field
        node.update({key: value for key, value in spec.items() if key != "fields"})
        subs = self.sub_fields.setdefault(name, [])
        for key, sub_spec in spec.get("fields", {}).items():
            if not isinstance(sub_spec, dict) or "fields" in sub_spec:
                raise _mapper_error(f"[{name}.{key}] cannot be a field of a field")
            node.setdefault("fields", {}).setdefault(key, {})
            self._add_field(f"{name}.{key}", sub_spec, node["fields"][key])
            subs[:] = [sub for sub in subs if sub.name != f"{name}.{key}"] + [self.fields[f"{name}.{key}"]]

    def read_document(self, source: dict[str, Any]) -> Values:
        """Return the values of a document, adding the fields that it has first. Raises EngineError 400."""
        new: dict[str, dict[str, Any]] = {}
        found: list[tuple[str, Any]] = []
        self._walk(source, "", new, found)
        if not new:
            return self._values(found)
        changed = copy.deepcopy(self)
        changed.put({"properties": new})
        values = changed._values(found)
        self.__dict__ = changed.__dict__
        return values

    def _values(self, found: list[tuple[str, Any]]) -> Values:
        values: Values = {}
        for name, value in found:
            for field in (self.fields[name], *self.sub_fields.get(name, ())):
                try:
                    read = field.read(value)
                except (ValueError, TypeError, OverflowError, EngineError) as error:
                    raise _unreadable(field, error) from None
                if field.ignore_above is None or len(str(read)) <= field.ignore_above:
                    values.setdefault(field.name, []).append(read)
        return values

    def _walk(self, node: dict[str, Any], prefix: str, new: dict[str, Any], found: list[tuple[str, Any]]) -> None:
        if prefix.count(".") > _MAX_DEPTH:
            raise bad(f"the document is deeper than {_MAX_DEPTH} levels at [{prefix[:60]}]")
        for key, value in node.items():
            if not all(key.split(".")):
                raise _document_error(f"[{prefix}{key}] is no field name")
            name = prefix + key
            if self.objects.get(name) is False:
                continue
            items = list(_items(value))
            for item in items:
                if isinstance(item, dict):
                    if name in self.fields:
                        raise _document_error(f"[{name}] of type [{self.fields[name].type}] cannot hold an object")
                    self._walk(item, f"{name}.", new, found)
                elif item is not None and self._takes(name, item, new):
                    found.append((name, item))

    def _takes(self, name: str, value: Any, new: dict[str, Any]) -> bool:
        """Say whether a value is indexed; plan the field where it is new."""
        if name in self.objects:
            raise _document_error(f"[{name}] is an object, but the document has a plain value there")
        if name in self.fields or name in new:
            return True
        if self._dynamic == "strict":
            reason = f"[{name}] is not in the mapping, and its [dynamic] is [strict]"
            raise EngineError(400, "strict_dynamic_mapping_exception", reason)
        if self._dynamic == "true":
            new[name] = self._guess(value)
        return self._dynamic == "true"

    def _guess(self, value: Any) -> dict[str, Any]:
        if isinstance(value, bool):
            return {"type": "boolean"}
        if isinstance(value, int):
            return {"type": "long"}
        if isinstance(value, float):
            return {"type": "float"}
        if self._date_detection and re.match(r"\d{4}-", value) and looks_like_date(value):
            return {"type": "date"}
        return {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}


def _items(value: Any) -> Any:
    """Yield a value, or the values of an array: the engine makes no difference, however deep arrays lie."""
    if isinstance(value, list):
        for item in value:
            yield from _items(item)
    else:
        yield value


def _field(name: str, spec: dict[str, Any]) -> Field:
    kind, analyzer = spec["type"], spec.get("analyzer", "standard")
    if kind not in TYPES:
        raise _mapper_error(f"[{name}] has the type [{kind}]; the embedded engine knows {sorted(TYPES)} and object")
    for key in spec:
        if key not in _PARAMETERS | _NO_EFFECT:
            raise _mapper_error(f"[{name}]: the embedded engine does not support the parameter [{key}]")
    if analyzer not in analysis.NAMES or (kind != "text" and "analyzer" in spec):
        raise _mapper_error(f"[{name}]: analyzer [{analyzer}]; text fields may have one of {sorted(analysis.NAMES)}")
    if not isinstance(spec.get("fields", {}), dict) or not isinstance(spec.get("ignore_above", 0), int):
        raise _mapper_error(f"[{name}]: [fields] must be an object, [ignore_above] a number")
    return Field(name, kind, analyzer, as_bool("index", spec.get("index", True)), spec.get("ignore_above"))


def _document_error(reason: str) -> EngineError:
    return EngineError(400, "document_parsing_exception", reason)


def _unreadable(field: Field, error: Exception) -> EngineError:
    return _document_error(f"failed to parse field [{field.name}] of type [{field.type}]: {error}")


def _sorted_tree(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the properties by name, as the engine shows them."""
    shown = {}
    for name, node in sorted(tree.items()):
        shown[name] = dict(node)
        for inner in ("properties", "fields"):
            if inner in node:
                shown[name][inner] = _sorted_tree(node[inner])
        if not shown[name].get("properties", True):
            del shown[name]["properties"]
            shown[name].setdefault("type", "object")
    return shown
