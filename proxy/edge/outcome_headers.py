"""What an answer's header fields say of its reranking; docs/status.md lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import quote

from multidict import CIMultiDict

from proxy.core.messages import Outcome, Status, Trace

STATUS_HEADER = "X-Rerank-Status"
_WINDOW_HEADER = "X-Rerank-Window"
_CACHED_HEADER = "X-Rerank-Cached"
_MS_HEADER = "X-Rerank-Ms"
_MODEL_HEADER = "X-Rerank-Model"
_RANKED = (Status.FULL, Status.PARTIAL)

Ended = tuple[Outcome, Trace]
"""A search that is over."""


def outcome_headers(outcome: Outcome, trace: Trace) -> CIMultiDict[str]:
    """Return the fields that say what became of a search and how long each phase took."""
    headers = CIMultiDict({STATUS_HEADER: str(outcome)})
    headers.extend(_window_headers([(outcome, trace)]))
    if trace.timings_ms:
        phases = [f"{phase};dur={milliseconds:.1f}" for phase, milliseconds in trace.timings_ms.items()]
        headers["Server-Timing"] = ", ".join(phases)
    return headers


def multi_headers(items: int, ended: Sequence[Ended]) -> CIMultiDict[str]:
    """Return the fields of a multi-search: how many items, what became of those that rules match (``full=2``)."""
    statuses = Counter(outcome.status for outcome, _ in ended)
    parts = [f"items={items}", *(f"{status}={statuses[status]}" for status in Status if statuses[status])]
    headers = CIMultiDict({STATUS_HEADER: "; ".join(parts)})
    headers.extend(_window_headers(ended))
    return headers


def longest_ms(ended: Sequence[Ended]) -> float:
    """Return how long searches that are ranked side by side had to wait for their scores."""
    return max((trace.rerank_ms for outcome, trace in ended if outcome.status in _RANKED), default=0.0)


def _window_headers(ended: Sequence[Ended]) -> CIMultiDict[str]:
    ranked = [trace for outcome, trace in ended if outcome.status in _RANKED]
    if not ranked:
        return CIMultiDict()
    # A path would tell where things lie on this host.
    names = dict.fromkeys(quote(PurePath(trace.model).name) for trace in ranked)
    return CIMultiDict(
        {
            _WINDOW_HEADER: str(sum(trace.hits for trace in ranked)),
            _CACHED_HEADER: str(sum(trace.cached for trace in ranked)),
            _MS_HEADER: f"{longest_ms(ended):.1f}",
            _MODEL_HEADER: ", ".join(names),
        }
    )
