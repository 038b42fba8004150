"""Shows every decision on a search's way: why it is reranked or not, by which texts, in which orders."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from proxy.core.messages import Forwarded, Refused, Relayed, Trace
from proxy.core.params import Params
from proxy.core.search import WindowTrace
from proxy.core.takeover import rerank
from proxy.edge.forward import raw_target
from proxy.edge.http_server import ExactResponseWithBody, error_response
from proxy.edge.outcome_headers import outcome_headers
from proxy.edge.own_response import json_response
from proxy.edge.search import Rules, as_search
from proxy.edge.search_io import SearchIO, Services
from proxy.scorer.types import ScoreRequest
from proxy.settings import Rule

PREFIX = "/_rerank/explain"


async def explain(request: web.BaseRequest, services: Services, rules: Rules) -> ExactResponseWithBody:
    """Run the search of ``POST /_rerank/explain/{target}`` (its parameters and body) and tell what was decided."""
    if request.method not in ("GET", "POST"):
        return error_response(request, 405, "illegal_argument_exception", "use POST with a search as the body")
    path, _, query = raw_target(request).partition("?")
    target = path[len(PREFIX) :].strip("/")
    params = Params(query)
    settings = services.settings
    body = await request.content.read(settings.max_request_bytes + 1) if request.body_exists else b""
    while request.body_exists and not request.content.at_eof() and len(body) <= settings.max_request_bytes:
        body += await request.content.read(settings.max_request_bytes + 1 - len(body))
    if len(body) > settings.max_request_bytes:
        reason = f"the search is longer than max_request_bytes ({settings.max_request_bytes})"
        return error_response(request, 413, "illegal_argument_exception", reason)
    rule = rules.match(target, params)
    if rule is None:
        return json_response({"status": "not matched", "reason": f"no rule matches the target {target or '_all'!r}"})
    trace = Trace()
    with services.buffers.lease() as lease:
        io = SearchIO(request, services, lease, f"/{target}/_search" if target else "/_search")
        search = as_search(request, target, params, body)
        result = await io.drive(rerank(search, rule, services.context, trace))
        shown: dict[str, Any] = {
            "status": str(result.outcome.status),
            "reason": result.outcome.reason,
            "header": str(result.outcome),
            "rule": _rule(rule),
        }
        window = trace.decisions.pop("window", None)
        shown.update(trace.decisions)
        if "text" in shown:
            shown["text_line"] = f"text: {msgspec.json.encode(shown['text']).decode()}"
        if isinstance(result, (Forwarded, Relayed)):
            shown["answer"] = "the engine's own"
        if isinstance(result, Refused):
            shown["answer"] = msgspec.Raw(result.body)
        if isinstance(result, Relayed):
            shown["engine"] = {"status": result.answer.status, "detail": result.answer.detail}
        shown["timings_ms"] = {phase: round(value, 1) for phase, value in trace.timings_ms.items()}
        shown["headers"] = dict(outcome_headers(result.outcome, trace))
        shown["cached"] = trace.cached
        shown["warnings"] = [f"{subject}: {sentence}" for subject, sentence in trace.warnings]
        if isinstance(window, WindowTrace):
            shown["hits"] = await _hits(services, rule, window, str(shown.get("query_text", {}).get("text", "")))
    return json_response(shown)


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "target": rule.target,
        "text": None if rule.text is None else str(rule.text),
        "model": rule.model,
        "window": rule.window,
        "budget_ms": rule.budget_ms,
        "document_tokens": rule.document_tokens,
        "html": rule.html,
        "long_text": rule.long_text,
        "max_chunks": rule.max_chunks,
        "textless_hits": rule.textless_hits,
        "blend": rule.blend,
        "blend_by": rule.blend_by,
        "rrf_k": rule.rrf_k,
        "scores": rule.scores,
        "min_score": rule.min_score,
        "hit_details": rule.hit_details,
        "takeover": rule.takeover,
    }


async def _hits(services: Services, rule: Rule, window: WindowTrace, query: str) -> list[dict[str, Any]]:
    """Return the window in its new order, each hit with both ranks, both scores and the text that the model saw."""
    documents = window.documents or [None] * len(window.hits)
    logits = window.logits or [None] * len(window.hits)
    texts = [document for document in documents if document is not None]
    request = ScoreRequest(rule.model, query, texts, rule.document_tokens, max_chunks=rule.chunks)
    visible = iter(await services.scorer.visible_texts(request) if texts else [])
    seen: list[list[str]] = [next(visible) if document is not None else [] for document in documents]
    ranking = window.ranking
    order = ranking.order if ranking is not None else tuple(range(len(window.hits)))
    rows = []
    for rank, position in enumerate(order, start=1):
        hit = window.hits[position]
        rows.append(
            {
                "_index": hit.text("_index"),
                "_id": hit.text("_id"),
                "rank": rank,
                "engine_rank": position + 1,
                "engine_score": hit.score,
                "score": ranking.scores[rank - 1] if ranking is not None and rule.scores == "replace" else hit.score,
                "logit": logits[position],
                "text": seen[position][0] if seen[position] else None,
                **({"chunks": seen[position]} if len(seen[position]) > 1 else {}),
                "_source": _source(hit.raw("_source")),
            }
        )
    return rows


def _source(raw: bytes | None) -> msgspec.Raw | None:
    return None if raw is None else msgspec.Raw(raw)
