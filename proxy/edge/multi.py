"""Handles multi-searches: each item goes its own way through the core, all of them in one request to the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aiohttp import web
from multidict import CIMultiDict

from proxy.core.filter_path import FilterPath
from proxy.core.messages import (
    Forwarded,
    Outcome,
    Reason,
    Refused,
    Result,
    Rewritten,
    Search,
    SearchCall,
    Status,
    Trace,
    UpstreamAnswer,
    UpstreamFailure,
)
from proxy.core.multi import Item, MultiAnswer, NotMulti, lines_of, read_items
from proxy.core.params import Params
from proxy.core.rawjson import JsonError
from proxy.core.request import is_json_type
from proxy.core.search import cannot_be_ours, is_elasticsearch
from proxy.core.takeover import rerank
from proxy.edge.buffers import BufferLease
from proxy.edge.forward import forward, raw_target
from proxy.edge.headers import identity
from proxy.edge.outcome_headers import Ended, longest_ms, multi_headers
from proxy.edge.search import Rules, SearchHandler, asks_to_skip, query_text
from proxy.edge.search_io import SearchIO, Services
from proxy.settings import Rule

_log = logging.getLogger(__name__)
_JSON = "application/json"
_UNTOUCHED_PARAMS = frozenset({"source", "search_pipeline", "format"})
"""URL parameters that change what an item means, or how the answer looks."""
_FILTER = "filter_path"


class _Whole(Exception):
    """The multi-search as a whole cannot be rewritten: the client's own bytes are to be sent."""

    def __init__(
        self, answer: UpstreamAnswer | None = None, refused: Refused | None = None, untouched: bool = False
    ) -> None:
        super().__init__("the multi-search is forwarded as it came")
        self.answer = answer
        """Set: an answer that no change of ours has caused, to be passed on."""
        self.refused = refused
        """Set: what to answer instead."""
        self.untouched = untouched
        """None of its items is changed: its answer need not be read."""


@dataclass(slots=True)
class _Run:
    """One item on its way."""

    item: Item
    rule: Rule | None
    trace: Trace = field(default_factory=Trace)
    call: SearchCall | None = None
    """What is asked of the engine for it; None: its own line."""
    result: Result | None = None


class _ItemIO(SearchIO):
    """Does what an item's generator asks for; its searches go out together with the other items'."""

    def __init__(
        self, request: web.BaseRequest, services: Services, lease: BufferLease, path: str, batch: _Batch, number: int
    ) -> None:
        super().__init__(request, services, lease, path)
        self._batch = batch
        self._number = number

    async def search(self, call: SearchCall) -> UpstreamAnswer:
        return await self._batch.ask(self._number, call)


class _Batch:
    """Gathers the searches of all items and sends them when each item has asked, or is done without."""

    def __init__(self, runs: Sequence[_Run], io: SearchIO, content_type: str | None, params: Params) -> None:
        self._runs = runs
        self._io = io
        self._content_type = content_type
        self._params = params
        self._waiting = {number for number, run in enumerate(runs) if run.rule is not None}
        self.asked: dict[int, asyncio.Future[UpstreamAnswer]] = {}
        self._all_asked = asyncio.Event()
        self.answer: MultiAnswer | None = None
        self.upstream: UpstreamAnswer | None = None
        self.refused: Refused | None = None
        """An item that no engine would take: the engines answer 400 to the whole request then."""

    async def ask(self, number: int, call: SearchCall) -> UpstreamAnswer:
        """Return the engine's answer to an item's search."""
        if self.answer is not None:  # a second search of the same item: it goes alone
            upstream, answer = await self._send([self._runs[number].item], [call.body])
            return _as_answer(upstream, answer, 0)
        self._runs[number].call = call
        self.asked[number] = asyncio.get_running_loop().create_future()
        self.done(number)
        return await self.asked[number]

    def done(self, number: int) -> None:
        """Note that an item asks nothing more before the request is sent."""
        self._waiting.discard(number)
        if not self._waiting:
            self._all_asked.set()

    async def send(self) -> None:
        """Wait for all items, send the request, and hand out the answers.

        Raises:
            _Whole: there is nothing to change in it, or the answer is no multi-search's.
        """
        if self._waiting:
            await self._all_asked.wait()
        if self.refused is not None:
            raise _Whole(refused=self.refused)
        if not self.asked and all(run.call is None for run in self._runs):
            raise _Whole(untouched=True)
        bodies = [run.call.body if run.call else None for run in self._runs]
        upstream, answer = await self._send([run.item for run in self._runs], bodies)
        self.upstream, self.answer = upstream, answer
        for number, future in self.asked.items():
            future.set_result(_as_answer(upstream, answer, number))

    async def send_again(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Ask some items once more, as the client asked them; return their responses."""
        runs = [self._runs[number] for number in numbers]
        own = [run.result.call.body if isinstance(run.result, Forwarded) and run.result.call else None for run in runs]
        _, answer = await self._send([run.item for run in runs], own)
        return {number: answer.item(position) for position, number in enumerate(numbers)}

    async def _send(self, items: Sequence[Item], bodies: Sequence[bytes | None]) -> tuple[UpstreamAnswer, MultiAnswer]:
        try:
            lines = lines_of(items, bodies)
        except NotMulti:
            raise _Whole from None
        upstream = await self._io.search(SearchCall(self._params, lines, self._content_type))
        if upstream.failure is UpstreamFailure.UNREACHABLE or cannot_be_ours(upstream):
            raise _Whole(upstream)
        if upstream.failure is not None or upstream.status != 200 or not is_json_type(upstream.header("content-type")):
            raise _Whole
        try:
            return upstream, MultiAnswer(upstream.body, len(items))
        except JsonError:
            raise _Whole from None


def _as_answer(upstream: UpstreamAnswer, answer: MultiAnswer, position: int) -> UpstreamAnswer:
    return replace(upstream, status=answer.status(position), body=answer.item(position))


class MultiSearchHandler:
    """Answers multi-searches."""

    def __init__(self, services: Services, rules: Rules, searches: SearchHandler) -> None:
        """Keep what is needed."""
        self._services = services
        self._rules = rules
        self._searches = searches

    async def handle(self, request: web.BaseRequest, target: str, params: Params) -> web.StreamResponse:
        """Answer one multi-search."""
        upstream = self._services.upstream
        url = params.as_dict()
        shown = FilterPath.read(url[_FILTER]) if url.get(_FILTER) else None
        if _UNTOUCHED_PARAMS & url.keys() or (shown is not None and not shown.shows_hits(multi=True)):
            return await forward(request, upstream)
        with self._services.buffers.lease() as lease:
            received = await self._searches.receive(request, lease)
            if received.reason is not None:
                return await self._searches.stream_on(request, received, Trace())
            runs = self._read(target, params, received.decoded)
            if not any(run.rule for run in runs):
                return await forward(request, upstream, body=received.raw or None, streamed=False)
            path = raw_target(request).partition("?")[0]
            sent = params if shown is None else params.having(_FILTER, shown.for_engine(multi=True))
            io = SearchIO(request, self._services, lease, path)
            batch = _Batch(runs, io, request.headers.get("Content-Type"), sent)
            try:
                body = _less(shown, await self._run(request, target, params, runs, batch, lease), batch.upstream)
            except _Whole as whole:
                return await self._whole(request, runs, received.raw, whole)
            assert batch.upstream is not None
            return await self._searches.write(request, batch.upstream, body, self._headers(runs))

    def _read(self, target: str, params: Params, body: bytes) -> list[_Run]:
        try:
            items = read_items(body)
        except NotMulti:
            return []
        return [
            _Run(
                item,
                self._rules.match(target, params) if item.names is None else self._rules.match_names(list(item.names)),
            )
            for item in items
        ]

    async def _run(
        self,
        request: web.BaseRequest,
        target: str,
        params: Params,
        runs: list[_Run],
        batch: _Batch,
        lease: BufferLease,
    ) -> bytes:
        """Run all items; return the answer's body."""
        path = raw_target(request).partition("?")[0]

        async def run_item(number: int, run: _Run, rule: Rule) -> None:
            io = _ItemIO(request, self._services, lease, path, batch, number)
            search = _as_search(request, run.item, target, params, alone=len(runs) == 1)
            try:
                run.result = await io.drive(rerank(search, rule, self._services.context, run.trace))
            except _Whole:
                raise
            except Exception:  # never worse than without us: the item's own line is asked again
                _log.exception("an item of a multi-search could not be reranked; it is asked for as it came")
                run.result = Forwarded(Outcome(Status.FALLBACK, Reason.INTERNAL))
            if batch.answer is None and isinstance(run.result, Forwarded):
                run.call = run.result.call
            if isinstance(run.result, Refused):
                batch.refused = run.result
            batch.done(number)

        tasks = [asyncio.create_task(run_item(number, run, run.rule)) for number, run in enumerate(runs) if run.rule]
        try:
            await batch.send()
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return await self._assemble(runs, batch)

    async def _assemble(self, runs: list[_Run], batch: _Batch) -> bytes:
        assert batch.answer is not None
        items: dict[int, bytes] = {}
        again: list[int] = []
        for number, run in enumerate(runs):
            if isinstance(run.result, Rewritten):
                items[number] = run.result.body
            elif isinstance(run.result, Forwarded) and number in batch.asked:
                again.append(number)  # what was asked for it was ours, and has not served
        if again:
            items |= await batch.send_again(again)
        extra_took_ms = longest_ms(_ended(runs)) if self._services.settings.took else 0.0
        return batch.answer.with_items(items, round(extra_took_ms))

    async def _whole(self, request: web.BaseRequest, runs: list[_Run], raw: bytes, whole: _Whole) -> web.StreamResponse:
        outcome = Outcome(Status.FALLBACK, Reason.UPSTREAM_ERROR)
        if whole.refused is not None:
            outcome = whole.refused.outcome
        for run in runs:
            if run.rule is not None and not whole.untouched:
                run.result = Forwarded(outcome)
        headers = self._headers(runs)
        if whole.refused is not None:
            return await self._searches.refuse(request, whole.refused, headers)
        if whole.answer is not None:
            return await self._searches.relay(request, whole.answer, headers)
        return await forward(request, self._services.upstream, body=raw, streamed=False, extra=headers)

    def _headers(self, runs: list[_Run]) -> CIMultiDict[str]:
        """Count what became of the items, and say it."""
        ended = _ended(runs)
        for outcome, trace in ended:
            self._searches.note(outcome, trace)
        return multi_headers(len(runs), ended)


def _ended(runs: Sequence[_Run]) -> list[Ended]:
    """Return what became of the items that a rule matches."""
    return [(run.result.outcome, run.trace) for run in runs if run.result is not None]


def _less(shown: FilterPath | None, body: bytes, upstream: UpstreamAnswer | None) -> bytes:
    """Return an answer's body less what the client's filter leaves out.

    Raises:
        _Whole: it is none that can be filtered.
    """
    if shown is None or upstream is None:
        return body
    try:
        return shown.apply(body, is_elasticsearch(upstream))
    except JsonError:
        raise _Whole from None


def _as_search(request: web.BaseRequest, item: Item, target: str, params: Params, alone: bool) -> Search:
    """Return an item as the search that it would be alone."""
    shared = params.without((_FILTER,) if item.names is None else (_FILTER, "index"))
    joined = "&".join(part for part in (shared.raw, item.params.raw) if part)  # the header's keys win
    return Search(
        target=item.target(target),
        params=Params(joined),
        body=item.body_line.strip(),
        content_type=_JSON,
        accept=request.headers.get("Accept"),
        query_text=query_text(request) if alone else None,
        asked_to_skip=asks_to_skip(request),
        identity=identity(request.headers),
        filtered=bool(params.as_dict().get(_FILTER)),
    )
