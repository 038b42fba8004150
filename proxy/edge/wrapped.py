"""Searches inside another API: templates and asynchronous searches, reranked where a rule asks for it.

A template is rendered by the engine, with the client's credentials, and goes its way as the search that it stands for.
An asynchronous search is sent as it came; if it is over at once, what it found is put in the order that the same
search, as a plain one, is given. Whatever does not fit, the client gets what the engine says to its own request.
"""

from __future__ import annotations

import logging
import re
from enum import Enum

from aiohttp import web

from proxy.core.filter_path import FilterPath
from proxy.core.messages import (
    Forwarded,
    Outcome,
    Reason,
    Result,
    Rewritten,
    Search,
    SearchCall,
    Status,
    Trace,
    UpstreamAnswer,
)
from proxy.core.params import Params
from proxy.core.rawjson import Edit, JsonError, apply_edits, decode, insertion, object_members, strip_span
from proxy.core.request import is_json_type
from proxy.core.takeover import rerank
from proxy.edge.forward import forward, raw_target
from proxy.edge.outcome_headers import outcome_headers
from proxy.edge.search import Received, Rules, SearchHandler, as_search
from proxy.edge.search_io import SearchIO, Services
from proxy.settings import Rule

_log = logging.getLogger(__name__)


class Kind(Enum):
    """The API that a search is inside of."""

    TEMPLATE = "template"
    ASYNC = "async"


_PATHS = {
    Kind.TEMPLATE: (re.compile(r"^/(?:(?P<target>_all|[^/_][^/]*)/)?_search/template/?$"), ("GET", "POST")),
    Kind.ASYNC: (re.compile(r"^/(?:(?P<target>_all|[^/_][^/]*)/)?_async_search/?$"), ("POST",)),
}
_RENDERED_ALONE = (
    "q",
    "df",
    "analyzer",
    "analyze_wildcard",
    "lenient",
    "default_operator",
    "from",
    "size",
    "sort",
    "_source",
    "_source_includes",
    "_source_excludes",
    "stored_fields",
    "docvalue_fields",
    "explain",
    "version",
    "seq_no_primary_term",
    "timeout",
    "terminate_after",
    "track_scores",
    "stats",
    "suggest_field",
    "suggest_mode",
    "suggest_size",
    "suggest_text",
)
"""URL parameters that belong to a search's body: a template's own body takes their place (seen on OpenSearch 2)."""
_ASYNC_ALONE = ("wait_for_completion_timeout", "keep_on_completion", "keep_alive")


def wrapped_search(method: str, path: str) -> tuple[Kind, str] | None:
    """Return the API and the target of a raw path, empty for all indices; None: it is neither."""
    for kind, (pattern, methods) in _PATHS.items():
        match = pattern.match(path) if method in methods else None
        if match:
            return kind, match["target"] or ""
    return None


class WrappedSearchHandler:
    """Answers searches inside another API."""

    def __init__(self, services: Services, rules: Rules, searches: SearchHandler) -> None:
        """Keep what is needed."""
        self._services = services
        self._rules = rules
        self._searches = searches

    async def handle(self, request: web.BaseRequest, kind: Kind, target: str, params: Params) -> web.StreamResponse:
        """Answer one."""
        rule = self._rules.match(target, params)
        if rule is None or not (rule.templates if kind is Kind.TEMPLATE else rule.async_search):
            return await forward(request, self._services.upstream)
        trace = Trace()
        with self._services.buffers.lease() as lease:
            received = await self._searches.receive(request, lease)
            if received.reason is not None:
                return await self._searches.stream_on(request, received, trace)
            path = f"/{target}/_search" if target else "/_search"
            io = SearchIO(request, self._services, lease, path)
            answer = self._template if kind is Kind.TEMPLATE else self._async
            return await answer(request, as_search(request, target, params, received.decoded), received, rule, io)

    async def _template(
        self, request: web.BaseRequest, search: Search, received: Received, rule: Rule, io: SearchIO
    ) -> web.StreamResponse:
        trace = Trace()
        call = SearchCall(Params(), search.body, search.content_type)
        rendered = _rendered(await io.send("POST", "/_render/template", call), search.body)
        if rendered is None:
            result: Result = Forwarded(Outcome(Status.SKIPPED, Reason.BODY))
        else:
            result = await self._rerank(_searching(search, rendered, _RENDERED_ALONE), rule, trace, io)
        self._searches.note(result.outcome, trace)
        extra = outcome_headers(result.outcome, trace)
        if isinstance(result, Rewritten):
            body = result.body
            if not result.answer.header("x-elastic-product"):
                body = _with_status(body, search.params.as_dict().get("filter_path"))
            return await self._searches.write(request, result.answer, body, extra)
        upstream = self._services.upstream
        return await forward(request, upstream, body=received.raw or None, streamed=False, extra=extra)

    async def _async(
        self, request: web.BaseRequest, search: Search, received: Received, rule: Rule, io: SearchIO
    ) -> web.StreamResponse:
        trace = Trace()
        path = raw_target(request).partition("?")[0]
        own = await io.send("POST", path, SearchCall(search.params, search.body, search.content_type))
        if own.failure is not None and own.status:  # it has come, and cannot be held: it is asked for once more
            outcome = Outcome(Status.FALLBACK, Reason.ANSWER_TOO_LARGE)
            self._searches.note(outcome, trace)
            extra = outcome_headers(outcome, trace)
            upstream = self._services.upstream
            return await forward(request, upstream, body=received.raw or None, streamed=False, extra=extra)
        result: Result = Forwarded(Outcome(Status.FALLBACK, Reason.UPSTREAM_ERROR))
        if own.status == 200:
            result = Forwarded(Outcome(Status.SKIPPED, Reason.RUNNING))
            if _is_over(own):
                result = await self._rerank(_searching(search, search.body, _ASYNC_ALONE), rule, trace, io)
        self._searches.note(result.outcome, trace)
        extra = outcome_headers(result.outcome, trace)
        if isinstance(result, Rewritten):
            members = object_members(own.body, strip_span(own.body))
            body = apply_edits(own.body, [Edit(members["response"].value, result.body.strip())])
            return await self._searches.write(request, own, body, extra)
        return await self._searches.relay(request, own, extra)

    async def _rerank(self, search: Search, rule: Rule, trace: Trace, io: SearchIO) -> Result:
        try:
            return await io.drive(rerank(search, rule, self._services.context, trace))
        except Exception:  # never worse than without us: the client gets the engine's own answer
            _log.exception("a search could not be reranked; the client gets what the engine says to its own request")
            return Forwarded(Outcome(Status.FALLBACK, Reason.INTERNAL))


def _searching(search: Search, body: bytes, alone: tuple[str, ...]) -> Search:
    """Return the plain search that a wrapped one stands for."""
    return Search(
        target=search.target,
        params=search.params.without(alone),
        body=body,
        content_type=search.content_type,
        accept=search.accept,
        query_text=search.query_text,
        asked_to_skip=search.asked_to_skip,
        identity=search.identity,
    )


def _rendered(answer: UpstreamAnswer, body: bytes) -> bytes | None:
    """Return the search that a template has become; None: it has not."""
    if answer.failure is not None or answer.status != 200 or not is_json_type(answer.header("content-type")):
        return None
    try:
        output = object_members(answer.body, strip_span(answer.body))["template_output"].value
        rendered = answer.body[output.start : output.end]
        members = object_members(rendered)
        asked = decode(body)
        for key in ("explain", "profile"):
            if asked.get(key) is True and key not in members:
                rendered = apply_edits(rendered, [insertion(members, key.encode(), b"true", strip_span(rendered))])
                members = object_members(rendered)
    except (JsonError, KeyError):
        return None
    return rendered


def _is_over(answer: UpstreamAnswer) -> bool:
    """Say whether an asynchronous search's answer is whole."""
    if not is_json_type(answer.header("content-type")):
        return False
    try:
        members = object_members(answer.body, strip_span(answer.body))
    except JsonError:
        return False
    values = {key: answer.body[member.value.start : member.value.end] for key, member in members.items()}
    running, partial = values.get("is_running"), values.get("is_partial")
    return running == b"false" and partial == b"false" and "response" in members


def _with_status(body: bytes, filter_path: str | None) -> bytes:
    """Add what OpenSearch ends the answer to a template with."""
    span = strip_span(body)
    edit = insertion(object_members(body, span), b"status", b"200", span)
    if body.startswith(b"{\n", span.start):
        edit = Edit(edit.span, b',\n  "status" : 200')
    complete = apply_edits(body, [edit])
    return FilterPath.read(filter_path).apply(complete, keeps_empty=False) if filter_path else complete
