"""All indices together: making, naming, finding them."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from proxy.embedded.errors import EngineError, bad, no_such_index, refused
from proxy.embedded.index import Index
from proxy.embedded.values import as_bool, as_count, as_names, wildcard, words

_NAME = re.compile(r'(?![-_+.])[^A-Z\\/*?"<>|\s,#:]+')
_DEFAULT_FIELD = "query.default_field"
_SETTINGS = words(f"number_of_shards number_of_replicas refresh_interval max_result_window {_DEFAULT_FIELD}")
_INTERVAL = re.compile(r"(\d{1,6})(ms|s|m)|-1|0")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Engine:
    """The indices of one embedded engine."""

    def __init__(self) -> None:
        """Hold no index yet."""
        self._indices: dict[str, Index] = {}
        self._lock = threading.Lock()

    def create(self, name: str, body: dict[str, Any]) -> Index:
        """Make an index. Raises EngineError 400."""
        if not _NAME.fullmatch(name) or len(name.encode()) > 255:
            reason = (
                f'invalid index name [{name}]: lower case, none of \\ / * ? " < > | , # : or space, no _ - + . first'
            )
            raise EngineError(400, "invalid_index_name_exception", reason, index=name)
        for key in body:
            if key not in ("settings", "mappings"):
                raise refused(f"[{key}] of a new index")
        index = Index(name, read_settings(body.get("settings", {})), body.get("mappings", {}))
        with self._lock:
            if name in self._indices:
                reason = f"index [{name}/{self._indices[name].uuid}] already exists"
                raise EngineError(400, "resource_already_exists_exception", reason, index=name)
            self._indices[name] = index
        return index

    def get_or_create(self, name: str) -> Index:
        """Return the index to write to; the engine makes it with the first document."""
        try:
            return self._indices.get(name) or self.create(name, {})
        except EngineError as error:
            if error.kind != "resource_already_exists_exception":
                raise
            return self._indices[name]  # another client was quicker

    def get(self, name: str) -> Index:
        """Return one index. Raises EngineError 404."""
        if name not in self._indices:
            raise no_such_index(name)
        return self._indices[name]

    def delete(self, target: str, params: Mapping[str, str]) -> None:
        """Delete the indices that are named, one by one or as a list. Raises EngineError 400 or 404."""
        if "*" in target or target == "_all":
            raise bad("wildcard expressions or all indices are not allowed where indices are deleted")
        for index in self.resolve(target, params):
            with self._lock:
                self._indices.pop(index.name, None)

    def resolve(self, target: str | None, params: Mapping[str, str]) -> list[Index]:
        """Return the indices of a target: names, patterns and ``-`` exclusions, or all. Raises EngineError 404."""
        unavailable_ok = as_bool("ignore_unavailable", params.get("ignore_unavailable", "false"))
        none_ok = as_bool("allow_no_indices", params.get("allow_no_indices", "true"))
        known = dict(sorted(self._indices.items()))
        found: dict[str, Index] = {}
        for name in as_names("index", target or "_all"):
            if name.startswith("-") and found:
                found = {key: index for key, index in found.items() if not wildcard(name[1:])(key)}
            elif name == "_all" or "*" in name:
                matching = {key: index for key, index in known.items() if wildcard(name.replace("_all", "*"))(key)}
                if not matching and not none_ok:
                    raise no_such_index(name)
                found |= matching
            elif name in known:
                found[name] = known[name]
            elif not unavailable_ok:
                raise no_such_index(name)
        return list(found.values())


def read_settings(body: Any, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return settings: ``index`` holds them as text by name without ``index.``. Raises EngineError 400.

    ``known``: what that was before, if the index is there already. The number of shards and replicas has no effect.
    """
    flat = dict(known or {"number_of_shards": "1", "number_of_replicas": "0"})
    for name, value in _flattened(body, ""):
        key = name.removeprefix("index.")
        if key not in _SETTINGS:
            raise bad(f"unknown setting [index.{key}]; the embedded engine knows {sorted(_SETTINGS)}")
        if known is not None and key == "number_of_shards" and str(value) != known[key]:
            raise bad("[index.number_of_shards] cannot be changed")
        if value is None:
            flat.pop(key, None)
        elif key == _DEFAULT_FIELD:
            flat[key] = as_names(key, value)
        else:
            flat[key] = str(value) if key == "refresh_interval" else str(as_count(key, value))
    interval = _INTERVAL.fullmatch(flat.get("refresh_interval", "1s"))
    if interval is None:
        raise bad(f"[index.refresh_interval] is [{flat['refresh_interval']}], expected a form such as 1s, 500ms or -1")
    seconds = int(interval[1]) * _SECONDS[interval[2]] if interval[1] else float(interval[0])
    return {"index": flat, "refresh_interval_s": seconds}


def _flattened(node: Any, prefix: str) -> list[tuple[str, Any]]:
    if not isinstance(node, dict):
        raise bad("[settings] must be an object")
    found: list[tuple[str, Any]] = []
    for key, value in node.items():
        found += _flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return found
