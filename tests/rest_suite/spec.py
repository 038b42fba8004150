"""From an API's name and arguments to an HTTP request, by the API descriptions of a suite."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml

from tests.rest_suite.cases import load_yaml

JSON = "application/json"
NDJSON = "application/x-ndjson"
RAW = "raw"
"""Not an API but any request: its method and path are given."""
_ONE_IN = 10
_MOST_IN_URL = 3000
"""The engines take 4096 bytes of a request line."""
_RUNNERS_OWN = frozenset({"ignore", "body"})


class BadCall(ValueError):
    """The arguments fit no path of the API; a client library would refuse them (``catch: param``)."""


@dataclass(frozen=True)
class ApiPath:
    """One way to call an API."""

    template: str
    methods: tuple[str, ...]
    parts: frozenset[str]
    deprecated: bool = False


@dataclass(frozen=True)
class Request:
    """One HTTP request."""

    method: str
    target: str
    """Path and query string."""
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


@dataclass(frozen=True)
class Api:
    """One API as it is described."""

    name: str
    paths: tuple[ApiPath, ...]
    params: frozenset[str]
    required: frozenset[str]
    has_body: bool
    needs_body: bool
    bulk: bool
    """Its body is lines of JSON."""

    def request(self, arguments: dict[str, Any], headers: dict[str, str] | None = None) -> Request:
        """Return the request.

        Args:
            arguments: of the call.
            headers: to be sent; their Content-Type decides in which form the body is written.

        Raises:
            BadCall: no path takes these arguments.
        """
        given = {name: value for name, value in arguments.items() if name not in _RUNNERS_OWN}
        path = self._path(given)
        unknown = given.keys() - path.parts - self.params
        if unknown or self.required - given.keys():
            raise BadCall(f"{self.name}: unknown {sorted(unknown)}, missing {sorted(self.required - given.keys())}")
        body = arguments.get("body")
        if (body is None and self.needs_body) or (body is not None and not self.has_body):
            raise BadCall(f"{self.name}: it takes {'a' if self.needs_body else 'no'} body")
        filled = path.template
        for part in path.parts:
            filled = filled.replace(f"{{{part}}}", quote(text_of(given[part]), safe=",*"))
        query = urlencode({name: text_of(value) for name, value in given.items() if name not in path.parts})
        target = f"{filled}?{query}" if query else filled
        encoded, sent = _encoded(body, self.bulk, headers)
        request = Request(_method(path.methods, encoded, target), target, encoded, sent)
        return _with_source(request) if not self.bulk and "GET" in path.methods and encoded else request

    def _path(self, given: dict[str, Any]) -> ApiPath:
        fitting = [path for path in self.paths if path.parts <= given.keys()]
        if not fitting:
            raise BadCall(f"{self.name}: no path for {sorted(given)}")
        left = given.keys() - self.params
        return min(fitting, key=lambda path: (len(left - path.parts), path.deprecated, -len(path.parts)))


def _method(methods: tuple[str, ...], body: bytes | None, target: str) -> str:
    if body is None:
        return "GET" if "GET" in methods else methods[0]
    # Both forms are used by clients: which of them follows from the request, so that it stays the same between runs.
    return methods[zlib.crc32(target.encode() + body) % len(methods)]


def _with_source(request: Request) -> Request:
    """Put the body of one request in some into the URL, as clients do that cannot send one with GET."""
    body = request.body or b""
    source = urlencode({"source": body, "source_content_type": JSON})
    is_chosen = zlib.crc32(body) % _ONE_IN == 1 and len(source) < _MOST_IN_URL
    if not is_chosen or request.headers != {"Content-Type": JSON}:
        return request
    return Request("GET", request.target + ("&" if "?" in request.target else "?") + source)


def text_of(value: Any) -> str:
    """Write a value for a URL."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(text_of, value))
    return "" if value is None else str(value)


def raw_request(arguments: dict[str, Any], headers: dict[str, str]) -> Request:
    """Return the request of a `raw` call.

    Raises:
        BadCall: it has no method or no path.
    """
    given = {name: value for name, value in arguments.items() if name not in _RUNNERS_OWN}
    try:
        method, path = str(given.pop("method")), str(given.pop("path"))
    except KeyError as missing:
        raise BadCall(f"{RAW}: missing {missing}") from None
    query = urlencode({name: text_of(value) for name, value in given.items()})
    encoded, sent = _encoded(arguments.get("body"), False, headers)
    return Request(method, f"/{path.lstrip('/')}" + (f"?{query}" if query else ""), encoded, sent)


def _encoded(body: Any, bulk: bool, headers: dict[str, str] | None) -> tuple[bytes | None, dict[str, str]]:
    """Return a body's bytes, and the headers to send."""
    given = dict(headers or {})
    documents = [] if body is None else documents_of(body)
    if not documents:
        return None, given
    if "yaml" in given.get("Content-Type", ""):
        return yaml.safe_dump(parsed(documents[0]), allow_unicode=True, sort_keys=False).encode(), given
    encoded = encode_body(body, bulk)
    return encoded, {"Content-Type": NDJSON if bulk else JSON, **given}


def encode_body(body: Any, bulk: bool) -> bytes:
    """Write a body: JSON, or lines of it for bulk APIs and for several documents; texts hold JSON or YAML."""
    documents = documents_of(body)
    if not bulk and len(documents) == 1:
        return documents[0].encode() if isinstance(documents[0], str) else _json(documents[0])
    return b"".join(_line(item) + b"\n" for item in documents)


def documents_of(body: Any) -> list[Any]:
    """Return the documents of a body: a list's items, and those that its texts hold.

    A line of JSON stays as it is written, and so does what is neither JSON nor YAML.
    """
    if isinstance(body, list):
        return [document for item in body for document in documents_of(item)]
    if not isinstance(body, str):
        return [body]
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    if all(_read_json(line) is not None for line in lines):
        return lines
    documents = _read_json(body)
    if documents is not None:
        return documents
    try:
        return load_yaml(body)
    except yaml.YAMLError:
        return [body]


def parsed(document: Any) -> Any:
    """Return what a line of JSON says; anything else as it is."""
    read = _read_json(document) if isinstance(document, str) else None
    return read[0] if read else document


def _read_json(text: str) -> list[Any] | None:
    """Return the documents that stand one after the other in a text; None: it is no JSON."""
    found, rest = [], text.strip()
    try:
        while rest:
            document, end = json.JSONDecoder().raw_decode(rest)
            found.append(document)
            rest = rest[end:].lstrip()
    except json.JSONDecodeError:
        return None
    return found


def _line(item: Any) -> bytes:
    return item.strip().encode() if isinstance(item, str) else _json(item)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def read_apis(folder: Path) -> dict[str, Api]:
    """Return all APIs of a folder of descriptions, by name."""
    common = folder / "_common.json"
    shared = set(json.loads(common.read_text(encoding="utf-8"))["params"]) if common.is_file() else set()
    apis = {}
    for path in sorted(folder.glob("*.json")):
        described = json.loads(path.read_text(encoding="utf-8"))
        for name, description in described.items():
            if path != common:
                apis[name] = _api(name, description, shared)
    return apis


def _api(name: str, description: dict[str, Any], shared: set[str]) -> Api:
    paths = tuple(
        ApiPath(entry["path"], tuple(entry["methods"]), frozenset(entry.get("parts", {})), "deprecated" in entry)
        for entry in description["url"]["paths"]
    )
    own = description.get("params", {})
    body = description.get("body")
    return Api(
        name,
        paths,
        frozenset(own) | shared,
        frozenset(key for key, value in own.items() if value.get("required")),
        body is not None,
        bool(body and body.get("required")),
        bool(body and body.get("serialize") == "bulk"),
    )
