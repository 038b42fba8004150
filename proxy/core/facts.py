"""Looks up a target's mapping facts through the search's own credentials and keeps them for a while."""

from __future__ import annotations

from collections.abc import Callable, Generator
from urllib.parse import quote

from cachetools import TTLCache

from proxy.core.mapping import MappingFacts, facts_from
from proxy.core.messages import NeedLookup, Search, UpstreamAnswer
from proxy.core.params import Params

TARGET_PARAMS = ("ignore_unavailable", "allow_no_indices", "expand_wildcards")
_MAX_TARGETS = 1000
_FORBIDDEN = 403

FactsLookup = Generator[NeedLookup, UpstreamAnswer, MappingFacts | None]


class FactsMemory:
    """Mapping facts by (target, credentials), so that nobody learns of a field that he may not see."""

    def __init__(self, ttl_s: float, clock: Callable[[], float]) -> None:
        """Keep facts for ``ttl_s`` seconds of ``clock``; 0: look them up for each search."""
        self._kept: TTLCache[tuple[str, str, bytes], MappingFacts | None] = TTLCache(
            _MAX_TARGETS, max(ttl_s, 0.0), timer=clock
        )

    def look_up(self, search: Search) -> FactsLookup:
        """Yield the lookups that are needed; return the facts, None where the credentials do not allow it."""
        url = search.params.as_dict()
        target = search.target or quote(url.get("index", ""), safe=",*")
        options = "&".join(f"{name}={quote(url[name], safe='')}" for name in TARGET_PARAMS if name in url)
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


def _body_of(answer: UpstreamAnswer) -> bytes | None:
    """The right to read does not imply the right to see the mapping: without it the facts are fewer, not wrong."""
    return answer.body if answer.failure is None and answer.status == 200 else None
