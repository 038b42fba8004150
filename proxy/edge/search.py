"""Handles the searches for which a rule matches: reads the request, has the core handle it, writes the answer."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict

from proxy.core.messages import (
    Forwarded,
    Outcome,
    Reason,
    Refused,
    Relayed,
    Result,
    Rewritten,
    Search,
    Status,
    Trace,
    UpstreamAnswer,
)
from proxy.core.params import Params
from proxy.core.takeover import rerank
from proxy.edge.buffers import BadEncoding, BufferFull, BufferLease, TooLarge, decode_body, gzip_body
from proxy.edge.forward import forward, raw_target, read_chunks, send_continue, unreachable, wants_continue
from proxy.edge.headers import (
    QUERY_HEADER,
    SKIP_HEADER,
    as_sent,
    drop,
    end_to_end,
    for_upstream,
    identity,
)
from proxy.edge.http_server import ExactResponseWithBody
from proxy.edge.outcome_headers import outcome_headers
from proxy.edge.search_io import THREAD_ABOVE_BYTES, SearchIO, Services, call_headers
from proxy.settings import Rule, TargetPattern

_log = logging.getLogger(__name__)

_SEARCH_PATH = re.compile(r"^/(?:(?P<target>_all|[^/_][^/]*)/)?_search/?$")
_MULTI_PATH = re.compile(r"^/(?:(?P<target>_all|[^/_][^/]*)/)?_msearch/?$")
_MAX_WARNED = 1000


def search_target(method: str, path: str) -> str | None:
    """Return the target of a search's raw path (no query string), empty for all indices; None: it is no search."""
    match = _SEARCH_PATH.match(path) if method in ("GET", "POST") else None
    return (match["target"] or "") if match else None


class Rules:
    """The rules in their order."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        """Read each rule's target."""
        self._rules = [(TargetPattern(rule.target), rule) for rule in rules]

    def match(self, target: str, params: Params) -> Rule | None:
        """Return the first rule that matches every name that a search asks for; None: it is not reranked."""
        requested = unquote(target) if target else params.as_dict().get("index", "")
        return self.match_names([name for name in requested.split(",") if name])

    def match_names(self, names: list[str]) -> Rule | None:
        """Return the first rule that matches all names, which are no longer encoded; none means all indices."""
        return next((rule for pattern, rule in self._rules if pattern.matches(names)), None)

    def __bool__(self) -> bool:
        return bool(self._rules)


@dataclass(frozen=True, slots=True)
class Received:
    """What has been read of a request's body."""

    raw: bytes
    """As it came."""
    decoded: bytes
    reason: Reason | None = None
    """Set: the rest was not read, or it cannot be decoded; ``raw`` is to be streamed on, and the rest behind it."""


class SearchHandler:
    """Answers searches."""

    def __init__(self, services: Services) -> None:
        """Keep what is needed."""
        self._services = services
        self._warned: dict[str, None] = {}

    async def handle(self, request: web.BaseRequest, target: str, params: Params, rule: Rule) -> web.StreamResponse:
        """Answer one search."""
        with self._services.buffers.lease() as lease:
            received = await self.receive(request, lease)
            search = as_search(request, target, params, received.decoded)
            io = SearchIO(request, self._services, lease, raw_target(request).partition("?")[0])
            return await self.answer(request, search, rule, received, io)

    async def answer(
        self, request: web.BaseRequest, search: Search, rule: Rule, received: Received, io: SearchIO
    ) -> web.StreamResponse:
        """Answer a search whose body has been received."""
        trace = Trace()
        if received.reason is not None:
            return await self.stream_on(request, received, trace)
        result = await self._run(search, rule, trace, io)
        self.note(result.outcome, trace)
        return await self._answer(request, result, received, raw_target(request).partition("?")[0], trace)

    async def receive(self, request: web.BaseRequest, lease: BufferLease) -> Received:
        """Read a request's body as far as the limits allow."""
        if not request.body_exists:
            return Received(b"", b"")
        settings = self._services.settings
        declared = request.content_length
        if declared is not None and declared > settings.max_request_bytes:
            return Received(b"", b"", Reason.BODY_TOO_LARGE)
        if wants_continue(request):
            await send_continue(request)
        raw = bytearray()
        async for chunk in request.content.iter_any():
            raw += chunk
            try:
                lease.take(len(chunk))
            except BufferFull:
                return Received(bytes(raw), b"", Reason.BUSY)
            if len(raw) > settings.max_request_bytes:
                return Received(bytes(raw), b"", Reason.BODY_TOO_LARGE)
        try:
            decoded = decode_body(bytes(raw), request.headers.get("Content-Encoding"), settings.max_request_bytes)
        except TooLarge:
            return Received(bytes(raw), b"", Reason.BODY_TOO_LARGE)
        except BadEncoding:
            return Received(bytes(raw), b"", Reason.BODY)
        return Received(bytes(raw), decoded)

    async def stream_on(self, request: web.BaseRequest, received: Received, trace: Trace) -> web.StreamResponse:
        """Forward a request that is not to be read further."""
        outcome = Outcome(Status.SKIPPED, received.reason)
        self.note(outcome, trace)
        return await self.pass_on(request, received, outcome_headers(outcome, trace))

    async def pass_on(
        self, request: web.BaseRequest, received: Received, extra: CIMultiDict[str] | None = None
    ) -> web.StreamResponse:
        """Forward a request as it came, whether it has been read to its end or not."""
        upstream = self._services.upstream
        if received.reason is None:
            return await forward(request, upstream, body=received.raw or None, streamed=False, extra=extra)
        if not received.raw:
            return await forward(request, upstream, extra=extra)
        body = read_chunks(request, before=received.raw)
        return await forward(request, upstream, body=body, streamed=False, extra=extra)

    async def _run(self, search: Search, rule: Rule, trace: Trace, io: SearchIO) -> Result:
        try:
            return await io.drive(rerank(search, rule, self._services.context, trace))
        except Exception:  # never worse than without us: the client gets the engine's own answer
            _log.exception("a search could not be reranked; it is forwarded as it came")
            return Forwarded(Outcome(Status.FALLBACK, Reason.INTERNAL))

    def note(self, outcome: Outcome, trace: Trace) -> None:
        """Count what became of a search, and log what has not been logged yet."""
        self._services.metrics.count(outcome, trace)
        for subject, sentence in trace.warnings:
            if subject not in self._warned and len(self._warned) < _MAX_WARNED:
                self._warned[subject] = None
                _log.warning("%s: %s", subject, sentence)

    async def _answer(
        self, request: web.BaseRequest, result: Result, received: Received, path: str, trace: Trace
    ) -> web.StreamResponse:
        extra = outcome_headers(result.outcome, trace)
        if isinstance(result, Rewritten):
            return await self.write(request, result.answer, result.body, extra)
        if isinstance(result, Refused):
            return await self.refuse(request, result, extra)
        if isinstance(result, Relayed):
            return await self.relay(request, result.answer, extra)
        upstream, call = self._services.upstream, result.call
        if call is None:
            return await forward(request, upstream, body=received.raw or None, streamed=False, extra=extra)
        headers = call_headers(for_upstream(as_sent(request.raw_headers)), call)
        sent_path = f"{path}?{call.params.raw}" if call.params.raw else path
        return await forward(
            request, upstream, path=sent_path, headers=headers, body=call.body or None, streamed=False, extra=extra
        )

    async def refuse(self, request: web.BaseRequest, refused: Refused, extra: CIMultiDict[str]) -> web.StreamResponse:
        """Answer 400 with an error of ours."""
        headers = CIMultiDict({"Content-Type": "application/json"})
        headers.extend(extra)
        return await ExactResponseWithBody(400, headers, refused.body).send(request)

    async def relay(
        self, request: web.BaseRequest, answer: UpstreamAnswer, extra: CIMultiDict[str]
    ) -> web.StreamResponse:
        """Pass the engine's answer on, or say that there is none."""
        if answer.failure is not None:
            self._services.metrics.unreachable.inc()
            return await unreachable(request, answer.detail, extra)
        return await self.write(request, answer, answer.body, extra)

    async def write(
        self, request: web.BaseRequest, answer: UpstreamAnswer, body: bytes, extra: CIMultiDict[str]
    ) -> web.StreamResponse:
        """Answer with a body of ours under the engine's status and headers."""
        headers = end_to_end(CIMultiDict(answer.headers))
        if (answer.header("Content-Encoding") or "identity").lower() != "identity":
            # The engine was asked for gzip only where the client takes it.
            headers["Content-Encoding"] = "gzip"
            large = len(body) > THREAD_ABOVE_BYTES
            body = await asyncio.to_thread(gzip_body, body) if large else gzip_body(body)
        drop(headers, ["Content-Length"])
        headers.extend(extra)
        return await ExactResponseWithBody(answer.status, headers, body).send(request)


def multi_target(method: str, path: str) -> str | None:
    """Return the target of a multi-search's raw path, empty for none; None: it is no multi-search."""
    match = _MULTI_PATH.match(path) if method in ("GET", "POST") else None
    return (match["target"] or "") if match else None


def query_text(request: web.BaseRequest) -> str | None:
    """Return the query text that a client gives beside the body."""
    given = request.headers.get(QUERY_HEADER)
    return None if given is None else _decode_header(given)


def asks_to_skip(request: web.BaseRequest) -> bool:
    """Say whether a client wants the engine's own order."""
    return request.headers.get(SKIP_HEADER, "").strip().lower() in ("true", "1", "yes")


def as_search(request: web.BaseRequest, target: str, params: Params, body: bytes) -> Search:
    """Return what the core needs to know of a request."""
    return Search(
        target=target,
        params=params,
        body=body,
        content_type=request.headers.get("Content-Type"),
        accept=request.headers.get("Accept"),
        query_text=query_text(request),
        asked_to_skip=asks_to_skip(request),
        identity=identity(request.headers),
    )


def _decode_header(value: str) -> str:
    """A header's text: UTF-8 or Latin-1, or percent-encoded UTF-8 where a client can send ASCII only."""
    raw = value.encode("utf-8", "surrogateescape")
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        value = raw.decode("latin-1")
    return unquote(value, errors="replace") if "%" in value else value
