"""Asks the engine who it is: at the start, and whenever the health page is read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp
import msgspec
from multidict import CIMultiDict

from proxy.edge.upstream import Upstream, UpstreamUnreachable

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
