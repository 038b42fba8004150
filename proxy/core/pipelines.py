"""Search pipelines of OpenSearch: which of them a wider search would disturb, and which one is an index's default."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from typing import Any
from urllib.parse import quote

import msgspec
from cachetools import TTLCache

from proxy.core.facts import TARGET_PARAMS
from proxy.core.messages import NeedLookup, Search, UpstreamAnswer
from proxy.core.params import Params

RERANK = "rerank"
PIPELINE_KEYS = frozenset(
    {"request_processors", "response_processors", "phase_results_processors", "description", "version"}
)
_REQUEST_PROCESSORS = frozenset({"filter_query", "neural_query_enricher"})
_HIT_PROCESSORS = frozenset({"rename_field", "sort", "split"})
"""They change one field of each hit by itself."""
_SETTING = "index.search.default_pipeline"
_MAX_TARGETS = 1000
_FORBIDDEN = 403

PipelineLookup = Generator[NeedLookup, UpstreamAnswer, bool]


def disturbed_by_widening(pipeline: dict[str, Any], read_fields: Collection[str] | None) -> bool:
    """Say whether a pipeline gives other hits to a wider search, or cannot be known not to; ``rerank`` counts not.

    ``oversample`` together with a plain ``truncate_hits`` gives the size that was asked for, a wider one too.

    Args:
        pipeline: its definition.
        read_fields: the fields that are read of each hit, which no processor may change; None: they may be any.
    """
    requests, responses = _each(pipeline.get("request_processors")), _each(pipeline.get("response_processors"))
    if requests is None or responses is None or not pipeline.keys() <= PIPELINE_KEYS:
        return True
    oversamples = [kind for kind, _ in requests if kind == "oversample"]
    truncates = [kind for kind, options in responses if kind == "truncate_hits" and "target_size" not in options]
    if len(oversamples) != len(truncates) or len(oversamples) > 1:
        return True
    if any(kind not in _REQUEST_PROCESSORS and kind != "oversample" for kind, _ in requests):
        return True
    others = [(kind, options) for kind, options in responses if kind != RERANK]
    others = [(kind, options) for kind, options in others if kind != "truncate_hits" or "target_size" in options]
    return any(kind not in _HIT_PROCESSORS or _changes(options, read_fields) for kind, options in others)


def _changes(options: dict[str, Any], fields: Collection[str] | None) -> bool:
    return fields is None or options.get("field") in fields or options.get("target_field") in fields


def _each(processors: object) -> list[tuple[str, dict[str, Any]]] | None:
    """Return each processor's kind and options; None: they do not have the form of processors."""
    listed = [] if processors is None else processors
    if not isinstance(listed, list) or not all(isinstance(one, dict) and len(one) == 1 for one in listed):
        return None
    found = [next(iter(one.items())) for one in listed]
    return found if all(isinstance(options, dict) for _, options in found) else None


def reranks(pipeline: dict[str, Any]) -> bool:
    """Say whether a pipeline has a ``rerank`` processor."""
    return any(kind == RERANK for kind, _ in _each(pipeline.get("response_processors")) or [])


class PipelineMemory:
    """Whether a target's default pipeline stands against reranking, by (target, credentials)."""

    def __init__(self, ttl_s: float, clock: Callable[[], float]) -> None:
        """Keep what is found for ``ttl_s`` seconds of ``clock``; 0: look it up for each search."""
        self._kept: TTLCache[tuple[str, str, bytes], bool] = TTLCache(_MAX_TARGETS, max(ttl_s, 0.0), timer=clock)
        self._is_elasticsearch = False

    def forbids(self, search: Search) -> PipelineLookup:
        """Yield the lookups that are needed; return whether the index's own pipeline reranks or would be disturbed.

        Only OpenSearch has such pipelines. A pipeline that may not be read with the search's credentials counts as one
        that reranks; if not even the index's settings may be read, there is none.
        """
        if self._is_elasticsearch:
            return False
        url = search.params.as_dict()
        target = search.target or quote(url.get("index", ""), safe=",*")
        options = "&".join(f"{name}={quote(url[name], safe='')}" for name in TARGET_PARAMS if name in url)
        key = (target, options, search.identity)
        if key in self._kept:
            return self._kept[key]
        settings = yield NeedLookup(target, f"_settings/{_SETTING}", Params(options))
        if settings.header("x-elastic-product") is not None:
            self._is_elasticsearch = True
            return False
        if settings.failure is not None or settings.status != 200:
            if settings.status == _FORBIDDEN:
                self._kept[key] = False
            return False
        forbids = False
        for name in _default_pipelines(settings.body):
            answer = yield NeedLookup("", f"_search/pipeline/{quote(name, safe='')}", Params())
            forbids = forbids or _forbids(answer, name)
        self._kept[key] = forbids
        return forbids


def _default_pipelines(body: bytes) -> list[str]:
    try:
        indices = msgspec.json.decode(body, type=dict[str, dict[str, dict[str, Any]]])
    except msgspec.DecodeError:
        return []
    names: dict[str, None] = {}
    for index in indices.values():
        found: Any = index.get("settings", {})
        for step in _SETTING.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, str) and found != "_none":
            names[found] = None
    return list(names)


def _forbids(answer: UpstreamAnswer, name: str) -> bool:
    if answer.failure is not None or answer.status != 200:
        return True
    try:
        pipeline = msgspec.json.decode(answer.body, type=dict[str, dict[str, Any]]).get(name, {})
    except msgspec.DecodeError:
        return True
    return reranks(pipeline) or disturbed_by_widening(pipeline, None)
