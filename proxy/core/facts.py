"""Looks up what must be known of a target's indices through the search's own credentials and keeps it for a while."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from cachetools import TTLCache

from proxy.core.mapping import MappingFacts, facts_from
from proxy.core.messages import NeedLookup, Search, UpstreamAnswer
from proxy.core.params import Params
from proxy.core.pipelines import read_pipeline
from proxy.core.target_check import (
    SETTINGS_API,
    SOURCES_PARAMS,
    Caps,
    Indices,
    Origin,
    TargetCheck,
    asked_of_caps,
    read_caps,
    read_indices,
    read_origins,
)

_TARGET_PARAMS = ("ignore_unavailable", "allow_no_indices", "expand_wildcards")
_MAX_TARGETS = 1000
_MAX_CHECKS = 3000
_FORBIDDEN = 403

FactsLookup = Generator[NeedLookup, UpstreamAnswer, MappingFacts | None]


TargetLookup = Generator[NeedLookup, UpstreamAnswer, TargetCheck | None]
_T = TypeVar("_T")


class FactsMemory:
    """Mapping facts by (target, credentials), so that nobody learns of a field that he may not see."""

    def __init__(self, ttl_s: float, clock: Callable[[], float]) -> None:
        """Keep facts for ``ttl_s`` seconds of ``clock``; 0: look them up for each search."""
        self._kept: TTLCache[tuple[str, str, bytes], MappingFacts | None] = TTLCache(
            _MAX_TARGETS, max(ttl_s, 0.0), timer=clock
        )
        self._checked: TTLCache[tuple[str, ...], Any] = TTLCache(_MAX_CHECKS, max(ttl_s, 0.0), timer=clock)

    def check(self, search: Search, names: Sequence[str], all_named: bool = True) -> TargetLookup:
        """Yield the lookups that tell whether a target's hits have texts in these fields; return what was found.

        None: the credentials do not allow it, or there is no index yet.

        Args:
            search: whose target and credentials.
            names: fields.
            all_named: their names come from people, so that it must be seen whether they exist.
        """
        target, options = _target_of(search)
        key = (target, options, search.identity.hex())
        caps = Caps()
        if names and all_named:
            asked = "fields=" + quote(",".join(asked_of_caps(names)), safe=",*")
            lookup = NeedLookup(target, "_field_caps", Params("&".join(filter(None, [asked, options]))))
            told = yield from self._kept_answer((*key, "caps", *names), lookup, lambda body: read_caps(body, names))
            if told is None:
                return None
            caps = told
        indices = yield from self._indices(key, target, options)
        lacking = indices.lacking(name for name in names if name not in (*caps.missing, *caps.objects))
        origins: dict[str, dict[str, Origin]] = {}
        if lacking:
            wanted = tuple(dict.fromkeys(name for lacks in lacking.values() for name in lacks))
            lookup = NeedLookup(target, f"_mapping/field/{quote(','.join(wanted), safe=',')}", Params(options))

            def read(body: bytes | None) -> dict[str, dict[str, Origin]]:
                return _or_none(read_origins, body, lacking, caps.nested) or {}

            origins = yield from self._kept_answer((*key, "origins", *wanted), lookup, read)
        return TargetCheck(tuple(names), caps, indices, lacking, origins)

    def _indices(
        self, key: tuple[str, ...], target: str, options: str
    ) -> Generator[NeedLookup, UpstreamAnswer, Indices]:
        known: Indices | None = self._checked.get((*key, "indices"))
        if known is not None:
            return known
        settings = yield NeedLookup(target, SETTINGS_API, Params(options))
        filtered = "&".join(filter(None, [SOURCES_PARAMS, options]))
        sources = yield NeedLookup(target, "_mapping", Params(filtered))
        read = _or_none(read_indices, _body_of(settings), _body_of(sources)) or Indices()
        if settings.failure is None and sources.failure is None:
            self._checked[(*key, "indices")] = read
        return read

    def pipeline(self, search: Search, name: str) -> Generator[NeedLookup, UpstreamAnswer, dict[str, Any] | None]:
        """Yield the lookup that tells what a search pipeline does; None: it is not there, or may not be read."""
        key = ("pipeline", name, search.identity.hex())
        lookup = NeedLookup("_search", f"pipeline/{quote(name, safe='')}", Params(""))
        return (yield from self._kept_answer(key, lookup, lambda body: read_pipeline(body, name)))

    def _kept_answer(
        self, key: tuple[str, ...], lookup: NeedLookup, read: Callable[[bytes | None], _T]
    ) -> Generator[NeedLookup, UpstreamAnswer, _T]:
        if key in self._checked:
            kept: _T = self._checked[key]
            return kept
        answer = yield lookup
        found = read(_body_of(answer))
        if answer.failure is None:
            self._checked[key] = found
        return found

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


def _target_of(search: Search) -> tuple[str, str]:
    """Return a search's target and the parameters that say which indices it means."""
    url = search.params.as_dict()
    target = search.target or quote(url.get("index", ""), safe=",*")
    return target, "&".join(f"{name}={quote(url[name], safe='')}" for name in _TARGET_PARAMS if name in url)


def _or_none(read: Callable[..., _T], *arguments: Any) -> _T | None:
    """Read answers; None: they have not the form that the engines give them."""
    try:
        return read(*arguments)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _body_of(answer: UpstreamAnswer) -> bytes | None:
    """The right to read does not imply the right to see the mapping: without it the facts are fewer, not wrong."""
    return answer.body if answer.failure is None and answer.status == 200 else None
