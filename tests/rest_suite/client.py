"""Sends requests over one connection that stays open."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from tests.rest_suite.cases import load_yaml
from tests.rest_suite.spec import Request

_TIMEOUT_S = 90


@dataclass(frozen=True)
class Response:
    """An answer."""

    method: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def all_headers(self, name: str) -> list[str]:
        """Return all fields of a name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @cached_property
    def parsed(self) -> Any:
        """The body read by its type: JSON, YAML, else its text; of a HEAD request whether it found something."""
        if self.method == "HEAD":
            return self.status < 400
        kind = next(iter(self.all_headers("content-type")), "")
        if "json" in kind:
            return json.loads(self.body) if self.body else None
        if "yaml" in kind:
            documents = load_yaml(self.text)
            return documents[0] if documents else None
        return self.text


class Client:
    """A client of one engine, or of a proxy in front of it."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        """Connect at the first request; ``headers`` are sent with every request."""
        self._headers = headers or {}
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)

    def send(self, request: Request) -> Response:
        """Send a request and read its answer.

        Raises:
            OSError: no answer came.
        """
        connection = self._connection
        for attempt in (1, 2):
            reused = connection.sock is not None
            try:
                headers = {**self._headers, **request.headers}
                connection.request(request.method, request.target, request.body, headers)
                answer = connection.getresponse()
                return Response(request.method, answer.status, tuple(answer.getheaders()), answer.read())
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                # A connection that was closed while idle: nothing has been answered on it.
                if not (reused and attempt == 1 and isinstance(error, http.client.RemoteDisconnected)):
                    raise ConnectionError(f"{request}: {error!r}") from error
        raise AssertionError("both attempts either return or raise")

    def ask(self, method: str, target: str, body: Any = None) -> Response:
        """Send a request with JSON, none for None."""
        encoded = None if body is None else json.dumps(body).encode()
        return self.send(Request(method, target, encoded, {"Content-Type": "application/json"} if encoded else {}))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
