"""What is counted, for Prometheus. Seconds and bytes; no label holds anything that a client writes."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from proxy.core.messages import Outcome, Trace
from proxy.edge.buffers import BufferBudget
from proxy.scorer.pool import ThreadScorer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters of one proxy."""

    def __init__(self, scorer: ThreadScorer, buffers: BufferBudget) -> None:
        """Count into a registry of its own; the scorer and the buffers are asked when the page is read."""
        self._registry = CollectorRegistry()
        self.searches = Counter(
            "rerank_searches",
            "Searches for which a rule matched, by what became of them",
            ["status", "reason"],
            registry=self._registry,
        )
        self.phases = Histogram(
            "rerank_phase_seconds", "Time by phase of a search", ["phase"], buckets=_SECONDS, registry=self._registry
        )
        self.requests = Counter("rerank_requests", "Requests by kind", ["kind"], registry=self._registry)
        self.in_flight = Gauge("rerank_requests_in_flight", "Requests being handled", registry=self._registry)
        self.unreachable = Counter(
            "rerank_upstream_unreachable", "Requests that the engine gave no answer to", registry=self._registry
        )
        self._registry.register(_ScorerCollector(scorer, buffers))

    def count(self, outcome: Outcome, trace: Trace) -> None:
        """Count a search that has ended."""
        self.searches.labels(str(outcome.status), str(outcome.reason or "")).inc()
        for phase, milliseconds in trace.timings_ms.items():
            self.phases.labels(phase).observe(milliseconds / 1000)

    def page(self) -> bytes:
        """Return the page in Prometheus' text format."""
        return generate_latest(self._registry)


class _ScorerCollector(Collector):
    def __init__(self, scorer: ThreadScorer, buffers: BufferBudget) -> None:
        self._scorer = scorer
        self._buffers = buffers

    def collect(self) -> list[Metric]:
        scorer, counts = self._scorer, self._scorer.counts
        totals: list[tuple[str, str, Callable[[], float]]] = [
            ("rerank_cache_hits", "Pairs whose logit was in the cache", lambda: counts.cache_hits),
            ("rerank_cache_misses", "Pairs whose logit was not in the cache", lambda: counts.cache_misses),
            ("rerank_pairs_scored", "Pairs that the model scored", lambda: counts.scored),
            ("rerank_pairs_failed", "Pairs on which the model failed", lambda: counts.failed),
            ("rerank_pairs_shared", "Pairs that another search was having scored already", lambda: counts.shared),
            ("rerank_scoring_seconds", "Time that workers spent on pairs", lambda: counts.busy_seconds),
            ("rerank_worker_restarts", "Workers that died and were replaced", lambda: counts.worker_restarts),
        ]
        levels: list[tuple[str, str, Callable[[], float]]] = [
            ("rerank_cache_entries", "Logits in the cache", lambda: scorer.cache.size),
            ("rerank_pairs_queued", "Pairs that wait for a worker", lambda: scorer.queued),
            ("rerank_buffered_bytes", "Bytes of bodies held in memory", lambda: self._buffers.used_bytes),
        ]
        metrics: list[Metric] = [CounterMetricFamily(name, text, value=read()) for name, text, read in totals]
        metrics += [GaugeMetricFamily(name, text, value=read()) for name, text, read in levels]
        healthy = GaugeMetricFamily("rerank_model_healthy", "1: the model scores; 0: it does not", labels=["model"])
        for name, ok in scorer.model_states().items():
            healthy.add_metric([name], float(ok))
        return [*metrics, healthy]
