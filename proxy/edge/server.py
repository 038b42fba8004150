"""The proxy as a running server: start, serve, shut down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial

from aiohttp import web

from proxy.core.context import IDENTITY, Context
from proxy.core.facts import FactsMemory
from proxy.core.outcomes import MaxScores, OutcomeMemory
from proxy.core.params import Params
from proxy.edge.buffers import BufferBudget
from proxy.edge.forward import forward, raw_target
from proxy.edge.http_server import ProxyServer, unspoken
from proxy.edge.metrics import Metrics
from proxy.edge.multi import MultiSearchHandler
from proxy.edge.own import PREFIX as OWN_PREFIX
from proxy.edge.own import own_page
from proxy.edge.pits import PitHandler, pit_target
from proxy.edge.probe import check_rules, probe_engine
from proxy.edge.search import Rules, SearchHandler, multi_target, search_target
from proxy.edge.search_io import Services
from proxy.edge.upstream import Upstream
from proxy.edge.wrapped import WrappedSearchHandler, wrapped_search
from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.cores import usable_cores
from proxy.scorer.models import find_model
from proxy.scorer.pool import ThreadScorer
from proxy.scorer.types import PairModel
from proxy.settings import Rule, Settings, TargetPattern, Template

_log = logging.getLogger(__name__)


class Proxy:
    """A proxy that listens. Made by `start_proxy`."""

    def __init__(self, settings: Settings, services: Services, scorer: ThreadScorer) -> None:
        """Put the parts together; nothing listens yet."""
        self.settings = settings
        self.services = services
        self._scorer = scorer
        self._rules = Rules(settings.rules)
        self._searches = SearchHandler(services)
        self._multi_searches = MultiSearchHandler(services, self._rules, self._searches)
        self._pits = PitHandler(services, self._rules, self._searches)
        self._wrapped = WrappedSearchHandler(services, self._rules, self._searches)
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def listen(self) -> None:
        """Accept connections.

        Raises:
            OSError: the address is taken or not ours.
        """
        server = ProxyServer(self.handle, self.settings.max_header_bytes)
        runner = web.ServerRunner(server, shutdown_timeout=self.settings.shutdown_grace_s)
        await runner.setup()
        site = web.TCPSite(runner, self.settings.listen.host, self.settings.listen.port, backlog=1024)
        await site.start()
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Shut down: accept no more, let open requests end for a while, then the scorer, then the connections."""
        if self._runner is not None:
            await self._runner.cleanup()
        await self._scorer.close()
        await self.services.upstream.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: an own page, a search for which a rule matches, or anything else, which is forwarded."""
        metrics = self.services.metrics
        with metrics.in_flight.track_inprogress():
            refusal = unspoken(request)
            if refusal is not None:
                metrics.requests.labels("refused").inc()
                return await refusal.send(request)
            path, _, query = raw_target(request).partition("?")
            if path.startswith(OWN_PREFIX):
                metrics.requests.labels("own").inc()
                return await own_page(request, self.services, self._rules)
            target = search_target(request.method, path)
            if target is not None:
                params = Params(query)
                rule = self._rules.match(target, params)
                if self._pits.concerns(target, params):
                    metrics.requests.labels("search").inc()
                    return await self._pits.search(request, params, rule)
                if rule is not None:
                    metrics.requests.labels("search").inc()
                    return await self._searches.handle(request, target, params, rule)
            multi = multi_target(request.method, path) if self._rules else None
            if multi is not None:
                metrics.requests.labels("multi-search").inc()
                return await self._multi_searches.handle(request, multi, Params(query))
            opened = pit_target(request.method, path) if self._pits.wanted else None
            if opened is not None:
                metrics.requests.labels("pit").inc()
                return await self._pits.open(request, opened)
            wrapped = wrapped_search(request.method, path) if self._rules else None
            if wrapped is not None:
                metrics.requests.labels(wrapped[0].value).inc()
                return await self._wrapped.handle(request, *wrapped, Params(query))
            metrics.requests.labels("forwarded").inc()
            return await forward(request, self.services.upstream)


def load_bundled(name: str, settings: Settings) -> PairModel:
    """Find and load a model. Blocks."""
    from proxy.scorer.onnx_model import load_model  # only where a model is used at all

    return load_model(find_model(name, settings.model_dir), name)


def make_scorer(settings: Settings) -> ThreadScorer:
    """Make the scorer for all models that the rules name."""
    names = dict.fromkeys(rule.model for rule in settings.rules if rule.model != IDENTITY)
    return ThreadScorer(
        {name: partial(load_bundled, name, settings) for name in names},
        MemoryScoreCache(settings.cache_entries, settings.cache_ttl_s),
        settings.scorer_threads or usable_cores(),
        settings.max_queued_pairs,
    )


def texts_of(rules: Sequence[Rule]) -> tuple[tuple[TargetPattern, Template | None], ...]:
    """Return the rules' targets and texts, nothing where no two differ."""
    if len({rule.text for rule in rules}) < 2:
        return ()
    return tuple((TargetPattern(rule.target), rule.text) for rule in rules)


async def start_proxy(settings: Settings, scorer: ThreadScorer | None = None) -> Proxy:
    """Start a proxy: models, connections, then the listening socket. ``scorer``: another than the settings' own.

    Raises:
        ValueError: a file that the settings name cannot be read.
        OSError: the listening address cannot be had.
    """
    scorer = scorer or make_scorer(settings)
    upstream = Upstream(settings)
    buffers = BufferBudget(settings.max_buffered_bytes)
    context = Context(
        outcomes=OutcomeMemory(settings.outcome_entries, settings.outcome_ttl_s, time.monotonic),
        facts=FactsMemory(settings.mapping_ttl_s, time.monotonic),
        add_took=settings.took,
        max_scores=MaxScores(settings.outcome_entries),
        texts=texts_of(settings.rules),
    )
    services = Services(settings, upstream, scorer, buffers, Metrics(scorer, buffers), context)
    proxy = Proxy(settings, services, scorer)
    try:
        await scorer.start()
        await proxy.listen()
    except BaseException:
        await proxy.close()
        raise
    return proxy


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Start, say in one line what was found, serve until ``stop`` is set, and shut down."""
    proxy = await start_proxy(settings)
    try:
        probe = await probe_engine(proxy.services.upstream, settings.metadata_auth)
        level = logging.INFO if probe.reached else logging.WARNING
        _log.log(level, "listening on %s; upstream: %s", proxy.url, probe.detail)
        if settings.metadata_auth is not None:
            await check_rules(proxy.services)
        await stop.wait()
        _log.info("shutting down: open requests have %s s", settings.shutdown_grace_s)
    finally:
        await proxy.close()
