"""Asks the engine who it is, at the start and for the health page; and whether its indices fit the rules."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
import msgspec
from multidict import CIMultiDict

from proxy.core.document import field_paths
from proxy.core.facts import TargetLookup
from proxy.core.lookups import ADVICE
from proxy.core.messages import NeedLookup, Search, UpstreamAnswer, UpstreamFailure
from proxy.core.params import Params
from proxy.core.target_check import TargetCheck
from proxy.edge.search_io import Services
from proxy.edge.upstream import Upstream, UpstreamUnreachable

_log = logging.getLogger(__name__)

_OWN_IDENTITY = b"metadata_auth"
"""No client's: what the proxy may see is not what they may."""
_TIMEOUT_S = 5.0
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of asking."""

    reached: bool
    detail: str
    """One line: which engine, or what is wrong."""


async def probe_engine(upstream: Upstream, authorization: str | None = None) -> Probe:
    """GET ``/``. Any answer means that requests can be forwarded, a refused login too."""
    headers = CIMultiDict({"Accept": "application/json"})
    if authorization is not None:
        headers["Authorization"] = authorization
    try:
        async with asyncio.timeout(_TIMEOUT_S), upstream.request("GET", "/", headers, repeatable=True) as answer:
            body = await answer.content.read(_MAX_BYTES)
            return Probe(True, _describe(answer.status, answer.headers.get("X-elastic-product"), body))
    except UpstreamUnreachable as error:
        return Probe(False, error.detail)
    except TimeoutError:
        return Probe(False, f"{', '.join(upstream.urls)}: no answer within {_TIMEOUT_S:.0f} s")
    except aiohttp.ClientError as error:
        return Probe(False, f"{', '.join(upstream.urls)}: the answer broke off: {error}")


async def check_rules(services: Services) -> None:
    """Check whether the indices of each rule with a text have its fields, with the proxy's own credentials.

    What is wrong is kept for the health page, and logged where it was not known; what is right again is forgotten.
    What cannot be found out is left to the searches.
    """
    problems = services.context.problems
    for rule in services.settings.rules:
        if rule.text is None:
            continue
        target = quote(rule.target, safe=",*-")
        search = Search(target, Params("ignore_unavailable=true&allow_no_indices=true"), b"", identity=_OWN_IDENTITY)
        checked = await _checked(services, services.context.facts.check(search, field_paths(rule.text)))
        if checked is None:
            continue
        subject, problem = f"target {rule.target}", checked.problem()
        if problem and problems.get(subject) != problem:
            _log.warning("%s: %s: %s", subject, problem, ADVICE)
            problems[subject] = problem
        elif not problem:
            problems.pop(subject, None)


async def _checked(services: Services, lookup: TargetLookup) -> TargetCheck | None:
    try:
        need = next(lookup)
        while True:
            need = lookup.send(await _look_up(services, need))
    except StopIteration as stop:
        found: TargetCheck | None = stop.value
        return found


async def _look_up(services: Services, need: NeedLookup) -> UpstreamAnswer:
    headers = CIMultiDict({"Accept": "application/json", "Authorization": services.settings.metadata_auth or ""})
    path = f"/{need.target}/{need.api}?{need.params.raw}"
    try:
        async with asyncio.timeout(_TIMEOUT_S), services.upstream.request("GET", path, headers, repeatable=True) as got:
            return UpstreamAnswer(got.status, (), await got.read())
    except (UpstreamUnreachable, TimeoutError, aiohttp.ClientError) as error:
        return UpstreamAnswer(0, failure=UpstreamFailure.UNREACHABLE, detail=str(error))


def _describe(status: int, product: str | None, body: bytes) -> str:
    if status == 401:
        return "reached; it asks for a login (401): clients log in as they do without the proxy"
    if status == 403:
        return "reached; it refuses to say what it is (403)"
    try:
        root = msgspec.json.decode(body)
        version = root["version"]
        name = "OpenSearch" if version.get("distribution") == "opensearch" else "Elasticsearch"
        return f"reached {name} {version['number']}, cluster {root.get('cluster_name', '?')}"
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        if product is not None:
            return f"reached {product} (GET / answers {status} and tells no version)"
        return f"reached a server that does not say which search engine it is (GET / answers {status})"
