"""Points in time: opened through us, their searches are matched by rules as those of their indices are.

What is known is kept in this process alone. A point in time that another proxy has seen opened, or that was opened past
any, is treated as one of all indices.
"""

from __future__ import annotations

import re
from contextlib import suppress

import aiohttp
from aiohttp import web

from proxy.core.messages import SearchCall, UpstreamAnswer
from proxy.core.params import Params
from proxy.edge.buffers import BadEncoding, BufferLease, TooLarge, decode_body
from proxy.edge.forward import forward, raw_target
from proxy.edge.search import Rules, SearchHandler, as_search
from proxy.edge.search_io import SearchIO, Services
from proxy.settings import Rule

_LONGEST_ANSWER = 256 * 1024
"""Bytes. An id grows with the number of shards."""
_HEAD = 64
"""Bytes of an answer to a search within which its new id begins."""
_OPEN_PATH = re.compile(r"^/(?P<target>_all|[^/_][^/]*)/(?:_pit|_search/point_in_time)/?$")


def pit_target(method: str, path: str) -> str | None:
    """Return the target for which a raw path opens a point in time; None: it opens none."""
    match = _OPEN_PATH.match(path) if method == "POST" else None
    return match["target"] if match else None


class PitHandler:
    """Answers requests that open points in time, and searches of them."""

    def __init__(self, services: Services, rules: Rules, searches: SearchHandler) -> None:
        """Keep what is needed."""
        self._services = services
        self._rules = rules
        self._searches = searches
        self._pits = services.context.pits
        self.wanted = any(rule.pit for rule in services.settings.rules)
        """Whether any rule takes points in time."""

    def concerns(self, target: str, params: Params) -> bool:
        """Say whether a search may be on a point in time that is known: it names no index then."""
        return self.wanted and bool(self._pits) and not target and "index" not in params.as_dict()

    async def open(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        """Have a point in time opened, and remember for what."""
        seen = bytearray()

        def watch(answer: aiohttp.ClientResponse, chunk: bytes) -> None:
            if answer.status == 200 and len(seen) + len(chunk) <= _LONGEST_ANSWER:
                seen.extend(chunk)
                with suppress(BadEncoding, TooLarge):
                    coding = answer.headers.get("Content-Encoding")
                    self._pits.note(decode_body(bytes(seen), coding, _LONGEST_ANSWER), target)

        return await forward(request, self._services.upstream, watch=watch)

    async def search(self, request: web.BaseRequest, params: Params, rule: Rule | None) -> web.StreamResponse:
        """Answer a search that names no index. ``rule``: of those that have no point in time which is known."""
        with self._services.buffers.lease() as lease:
            received = await self._searches.receive(request, lease)
            target = self._pits.target_of(as_search(request, "", params, received.decoded))
            if target is not None:
                rule = self._rules.match(target, Params())
            if rule is None:
                return await self._searches.pass_on(request, received)
            search = as_search(request, target or "", params, received.decoded)
            path = raw_target(request).partition("?")[0]
            io = _PitIO(request, self._services, lease, path, target)
            return await self._searches.answer(request, search, rule, received, io)


class _PitIO(SearchIO):
    """Remembers the ids that answers tell: the engine may give a point in time another one with each."""

    def __init__(
        self, request: web.BaseRequest, services: Services, lease: BufferLease, path: str, target: str | None
    ) -> None:
        super().__init__(request, services, lease, path)
        self._pits = services.context.pits
        self._target = target

    async def search(self, call: SearchCall) -> UpstreamAnswer:
        answer = await super().search(call)
        if self._target is not None and b'"pit_id"' in answer.body[:_HEAD]:
            self._pits.note(answer.body, self._target)
        return answer
