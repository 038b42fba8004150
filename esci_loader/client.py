"""Finds out which engine answers and gives the official client for it, sync checks done.

Elasticsearch's client states its own major version with each request, and an engine one version older refuses it; that
engine is then spoken to in its own version. OpenSearch is known by what it lacks: Elasticsearch's product header.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

TIMEOUT_S = 120


class EngineError(Exception):
    """The engine cannot be used; the text says in one line why."""


@dataclass(frozen=True)
class Access:
    """Where the engine is and how to log in."""

    url: str
    user: str | None = None
    """``name:password``"""
    api_key: str | None = None
    ca: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the header fields for a request of our own."""
        if self.api_key:
            return {"Authorization": f"ApiKey {self.api_key}"}
        if self.user:
            return {"Authorization": aiohttp.BasicAuth(*self._login()).encode()}
        return {}

    def _login(self) -> tuple[str, str]:
        name, _, password = (self.user or "").partition(":")
        return name, password

    def tls(self) -> ssl.SSLContext | None:
        """Return what to trust; None: the system's authorities."""
        return ssl.create_default_context(cafile=self.ca) if self.ca else None


async def connect(access: Access) -> Any:
    """Return an `AsyncElasticsearch` or an `AsyncOpenSearch`, whichever fits the engine.

    Raises:
        EngineError: it cannot be reached, refuses the login, or answers no search engine's way.
    """
    status, headers = await _ask(access, "application/vnd.elasticsearch+json; compatible-with=9")
    if headers.get("X-elastic-product") is None:
        if status in (401, 403):
            raise EngineError(f"{access.url}: login refused ({status}); see --user and --api-key")
        return _opensearch(access)
    if status == 400:
        return _elasticsearch(access, version=8)
    if status in (401, 403):
        raise EngineError(f"{access.url}: login refused ({status}); see --user and --api-key")
    return _elasticsearch(access, version=9)


async def _ask(access: Access, accept: str) -> tuple[int, Mapping[str, str]]:
    url = f"{access.url.rstrip('/')}/_cluster/health"
    try:
        connector = aiohttp.TCPConnector(ssl=access.tls() or True)
        timeout = aiohttp.ClientTimeout(total=30)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(url, headers={**access.headers(), "Accept": accept}) as answer,
        ):
            return answer.status, answer.headers.copy()
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise EngineError(f"{access.url}: {' '.join(str(error).split()) or type(error).__name__}") from None


def _elasticsearch(access: Access, version: int) -> Any:
    from elastic_transport import AsyncTransport
    from elasticsearch import AsyncElasticsearch

    class Compatible(AsyncTransport):
        """States the engine's version where the client would state its own."""

        async def perform_request(self, *arguments: Any, **options: Any) -> Any:  # type: ignore[override]
            sent = options.pop("headers", None) or {}
            ours, theirs = "compatible-with=9", f"compatible-with={version}"
            stated = {name: value.replace(ours, theirs) for name, value in sent.items()}
            return await super().perform_request(*arguments, headers=stated, **options)

    options: dict[str, Any] = {"request_timeout": TIMEOUT_S, "transport_class": Compatible}
    if access.ca:
        options["ca_certs"] = access.ca
    if access.api_key:
        options["api_key"] = access.api_key
    elif access.user:
        options["basic_auth"] = access._login()
    return AsyncElasticsearch(access.url, **options)


def _opensearch(access: Access) -> Any:
    from opensearchpy import AsyncOpenSearch

    options: dict[str, Any] = {"timeout": TIMEOUT_S}
    if access.ca:
        options["ca_certs"] = access.ca
    if access.api_key:
        options["headers"] = access.headers()
    elif access.user:
        options["http_auth"] = access._login()
    return AsyncOpenSearch(access.url, **options)
