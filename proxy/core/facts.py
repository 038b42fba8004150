"""Looks up what must be known of a target's indices through the search's own credentials and keeps it for a while."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
from cachetools import TTLCache

from proxy.core.mapping import MappingFacts, facts_from
from proxy.core.messages import NeedLookup, Search, UpstreamAnswer
from proxy.core.params import Params

_TARGET_PARAMS = ("ignore_unavailable", "allow_no_indices", "expand_wildcards")
_MAX_TARGETS = 1000
_FORBIDDEN = 403

FactsLookup = Generator[NeedLookup, UpstreamAnswer, MappingFacts | None]


@dataclass(frozen=True, slots=True)
class TargetCheck:
    """What speaks against reranking a target's hits by given fields."""

    missing: tuple[str, ...] = ()
    """Fields that none of its indices has."""
    without_source: bool = False
    """None of its indices keeps its documents."""
    pipeline: bool = False
    """Some index has a search pipeline by default, which may rerank by itself. OpenSearch only."""


TargetLookup = Generator[NeedLookup, UpstreamAnswer, TargetCheck | None]


class FactsMemory:
    """Mapping facts by (target, credentials), so that nobody learns of a field that he may not see."""

    def __init__(self, ttl_s: float, clock: Callable[[], float]) -> None:
        """Keep facts for ``ttl_s`` seconds of ``clock``; 0: look them up for each search."""
        self._kept: TTLCache[tuple[str, str, bytes], MappingFacts | None] = TTLCache(
            _MAX_TARGETS, max(ttl_s, 0.0), timer=clock
        )
        self._checked: TTLCache[tuple[str, str, bytes, tuple[str, ...]], TargetCheck | None] = TTLCache(
            _MAX_TARGETS, max(ttl_s, 0.0), timer=clock
        )

    def check(self, search: Search, names: Sequence[str], opensearch: bool) -> TargetLookup:
        """Yield the lookups that tell whether a target's hits have these fields; return what was found.

        None: the credentials do not allow it, or there is no index yet.
        """
        target, options = _target_of(search)
        key = (target, options, search.identity, (*names, "OpenSearch" if opensearch else "Elasticsearch"))
        if key in self._checked:
            return self._checked[key]
        missing: tuple[str, ...] = ()
        if names:
            wanted = "fields=" + quote(",".join(names), safe=",")
            caps = yield NeedLookup(target, "_field_caps", Params("&".join(filter(None, [wanted, options]))))
            found = _fields_in(_body_of(caps))
            if found is None:
                if caps.failure is None:
                    self._checked[key] = None
                return None
            missing = tuple(name for name in names if name not in found)
        pipeline = without_source = False
        if opensearch:
            settings = yield NeedLookup(target, "_settings/index.search.default_pipeline", Params(options))
            pipeline = _names_pipeline(_body_of(settings))
            filtered = "&".join(filter(None, ["filter_path=**._source", options]))
            mapping = yield NeedLookup(target, "_mapping", Params(filtered))
            without_source = _has_no_source(_body_of(mapping))
        checked = self._checked[key] = TargetCheck(missing, without_source, pipeline)
        return checked

    def look_up(self, search: Search) -> FactsLookup:
        """Yield the lookups that are needed; return the facts, None where the credentials do not allow it."""
        target, options = _target_of(search)
        key = (target, options, search.identity)
        if key in self._kept:
            return self._kept[key]
        field_caps = yield NeedLookup(target, "_field_caps", Params("&".join(filter(None, ["fields=*", options]))))
        if field_caps.failure is not None or field_caps.status != 200:
            if field_caps.status == _FORBIDDEN:
                self._kept[key] = None
            return None
        mapping = yield NeedLookup(target, "_mapping", Params(options))
        settings = yield NeedLookup(target, "_settings/index.query.default_field", Params(options))
        try:
            facts = facts_from(field_caps.body, _body_of(mapping), _body_of(settings))
        except ValueError:
            return None
        self._kept[key] = facts
        return facts

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._checked.clear()


def _target_of(search: Search) -> tuple[str, str]:
    """Return a search's target and the parameters that say which indices it means."""
    url = search.params.as_dict()
    target = search.target or quote(url.get("index", ""), safe=",*")
    return target, "&".join(f"{name}={quote(url[name], safe='')}" for name in _TARGET_PARAMS if name in url)


def _fields_in(body: bytes | None) -> set[str] | None:
    """Return the names of a ``_field_caps`` answer; None: there is none, or it is of no index."""
    try:
        answer = msgspec.json.decode(body) if body else {}
        return set(answer["fields"]) if answer.get("indices") else None
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return None


def _names_pipeline(body: bytes | None) -> bool:
    try:
        found = msgspec.json.decode(body) if body else {}
        settings = [index["settings"] for index in found.values() if index["settings"]]
        return any(one["index"]["search"]["default_pipeline"] != "_none" for one in settings)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return False


def _has_no_source(body: bytes | None) -> bool:
    """Say whether each index of a ``_mapping`` answer, filtered to ``_source``, has it switched off."""
    try:
        found = msgspec.json.decode(body) if body else {}
        return bool(found) and all(index["mappings"]["_source"].get("enabled") is False for index in found.values())
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return False


def _body_of(answer: UpstreamAnswer) -> bytes | None:
    """The right to read does not imply the right to see the mapping: without it the facts are fewer, not wrong."""
    return answer.body if answer.failure is None and answer.status == 200 else None
