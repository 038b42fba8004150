"""The engine that a suite runs on, and the proxy in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.core.context import IDENTITY
from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Rule, Settings, parse_template
from tests.engines import RELEASES, Engine, start
from tests.support import ProxyThread

_ELASTICSEARCH_SETTINGS = {"path.repo": "{home}/repositories", "node.attr.testattr": "test"}
_OPENSEARCH_SETTINGS = {
    **_ELASTICSEARCH_SETTINGS,
    "node.name": "node-1",
    "node.roles": "[cluster_manager, data, ingest, remote_cluster_client]",
    "repositories.url.allowed_urls": '["http://snapshot.*"]',
}
"""What the suites ask of a node."""
_JAVA_OPTIONS = ("-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Thousands of small, different requests: compiling them thoroughly costs more than it brings."""

_ELASTICSEARCH_OPTIONS = ("-Dtests.testfeatures.enabled=true",)
"""Elasticsearch then tells of the features that only its tests ask about: without them most are skipped."""

QUERY_TEXT = "anything"
"""To rank by, where it does not matter: few searches of the suites hold a text."""


@contextmanager
def engine_for_suite(name: str) -> Iterator[Engine]:
    """Run an engine of its own, with the settings that the suites ask for; its data is in memory where that can be."""
    memory = Path("/dev/shm")
    is_elasticsearch = RELEASES[name].is_elasticsearch
    settings = _ELASTICSEARCH_SETTINGS if is_elasticsearch else _OPENSEARCH_SETTINGS
    options = (*_JAVA_OPTIONS, *(_ELASTICSEARCH_OPTIONS if is_elasticsearch else ()))
    engine = start(name, settings, memory if memory.is_dir() else None, options)
    try:
        yield engine
    finally:
        engine.stop()


def proxy_for_suite(engine: Engine, scored: bool = False, text: str | None = None) -> ProxyThread:
    """Return a proxy that reranks every search on every target, and keeps the engine's order and scores.

    Args:
        engine: what stands behind it.
        scored: not by the model `identity`, which leaves the documents unread: texts are asked for, rendered and
            scored, all alike. Its window is small, so that pages reach across its end.
        text: the rule's `text`; None: it follows from each query, which in many indices of the suites finds none.
    """
    template = None if text is None else parse_template(text)
    rule = (
        Rule(model="alike", window=3, budget_ms=60_000, scores="keep", text=template)
        if scored
        else Rule(model=IDENTITY, scores="keep")
    )
    # Each case makes its indices anew under the names of the last: fields remembered from it would be another index's,
    # and how many searches are reranked would follow from the machine's speed.
    settings = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,), mapping_ttl_s=0)
    return ProxyThread(settings, _scorer_of_equals if scored else None)


def _scorer_of_equals() -> ThreadScorer:
    return ThreadScorer({"alike": lambda: DummyModel(fault=lambda query, text: 0.0)}, MemoryScoreCache(1000), 1)
