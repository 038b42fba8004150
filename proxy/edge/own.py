"""The proxy's own pages under ``/_rerank/``: no index can be named so, hence nothing of the engine is hidden."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from proxy import __version__
from proxy.edge.explain import PREFIX as EXPLAIN_PREFIX
from proxy.edge.explain import explain
from proxy.edge.forward import raw_target
from proxy.edge.http_server import ExactResponseWithBody, error_response
from proxy.edge.own_response import json_response, text_response
from proxy.edge.probe import check_rules, probe_engine
from proxy.edge.search import Rules
from proxy.edge.search_io import Services
from proxy.settings import redacted

PREFIX = "/_rerank/"
_PAGES = "health, health/live, health/ready, metrics, config, explain/{target}"


async def own_page(request: web.BaseRequest, services: Services, rules: Rules) -> web.StreamResponse:
    """Answer a request for one of the proxy's own pages."""
    path = raw_target(request).partition("?")[0].rstrip("/")
    if path == EXPLAIN_PREFIX or path.startswith(EXPLAIN_PREFIX + "/"):
        response = await explain(request, services, rules)
    elif request.method not in ("GET", "HEAD"):
        response = error_response(request, 405, "illegal_argument_exception", f"use GET for {path}")
    else:
        response = await _read_page(request, path, services)
    return await response.send(request)


async def _read_page(request: web.BaseRequest, path: str, services: Services) -> ExactResponseWithBody:
    match path:
        case "/_rerank/health/live":
            return json_response({"status": "live", "version": __version__})
        case "/_rerank/health/ready":
            return await _health(services, probe_models=False)
        case "/_rerank/health":
            return await _health(services, probe_models=True)
        case "/_rerank/metrics":
            return text_response(services.metrics.page(), CONTENT_TYPE_LATEST)
        case "/_rerank/config":
            return json_response(redacted(services.settings))
        case _:
            reason = f"there is no page {path}; the pages under {PREFIX} are: {_PAGES}"
            return error_response(request, 404, "resource_not_found_exception", reason)


async def _health(services: Services, probe_models: bool) -> ExactResponseWithBody:
    """Ready means that requests can be forwarded; without a model they are, in the engine's order: ``degraded``."""
    engine = await probe_engine(services.upstream, services.settings.metadata_auth)
    if probe_models and services.settings.metadata_auth is not None:
        await check_rules(services)
    models = await services.scorer.health(probe=probe_models)
    healthy = all(model.ok for model in models)
    status = ("ready" if healthy else "degraded") if engine.reached else "unavailable"
    page: dict[str, Any] = {
        "status": status,
        "version": __version__,
        "engine": {"reached": engine.reached, "detail": engine.detail},
        "targets": [{"name": name, "problem": problem} for name, problem in services.context.problems.items()],
        "models": [{"name": model.name, "ok": model.ok, "detail": model.detail} for model in models],
    }
    return json_response(page, 200 if engine.reached else 503)
