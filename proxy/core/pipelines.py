"""Search pipelines of OpenSearch: which of them may reorder hits, or would be disturbed by a wider search."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

NO_PIPELINE = "_none"
RERANK = "rerank"
PIPELINE_KEYS = frozenset(
    {"request_processors", "response_processors", "phase_results_processors", "description", "version"}
)
_ROUTING_PROCESSORS = frozenset({"acl_routing_search", "hierarchical_routing_search", "temporal_routing_search"})
"""They send a search to the shards that its query allows (OpenSearch 3)."""
_REQUEST_PROCESSORS = frozenset({"filter_query", "neural_query_enricher", *_ROUTING_PROCESSORS})
_HIT_PROCESSORS = frozenset({"rename_field", "sort", "split"})
"""They change one field of each hit by itself."""


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


def reranks(pipeline: dict[str, Any]) -> bool:
    """Say whether a pipeline has a reranker of its own, or cannot be known not to."""
    responses = _each(pipeline.get("response_processors"))
    return responses is None or any(kind == RERANK for kind, _ in responses)


def changes_answer(pipeline: dict[str, Any]) -> bool:
    """Say whether a pipeline changes what an answer shows of its hits."""
    return bool(pipeline.get("response_processors"))


def read_pipeline(body: bytes | None, name: str) -> dict[str, Any] | None:
    """Read an answer to ``GET /_search/pipeline/{name}``; None: there is none of that name, or it may not be read."""
    try:
        definition = msgspec.json.decode(body)[name] if body else None
    except (msgspec.DecodeError, KeyError, TypeError):
        return None
    return definition if isinstance(definition, dict) else None


def _changes(options: dict[str, Any], fields: Collection[str] | None) -> bool:
    return fields is None or options.get("field") in fields or options.get("target_field") in fields


def _each(processors: object) -> list[tuple[str, dict[str, Any]]] | None:
    """Return each processor's kind and options; None: they do not have the form of processors."""
    listed = [] if processors is None else processors
    if not isinstance(listed, list) or not all(isinstance(one, dict) and len(one) == 1 for one in listed):
        return None
    found = [next(iter(one.items())) for one in listed]
    return found if all(isinstance(options, dict) for _, options in found) else None
