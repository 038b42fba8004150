"""Rows that no HTTP library can send: bytes for a bare socket, and how the engines and the proxy take them."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.contract.corpus import INDEX

SECTION = "HTTP"
NO_ANSWER = "closed"
"""The connection was closed without a word."""

_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3}) ")
_SECONDS = 20


@dataclass(frozen=True)
class WireRow:
    """One row: a name, the bytes that show it, and why the proxy takes them so."""

    name: str
    raw: bytes
    how: str = ""


def _request(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1") + body


_HOST = "Host: shop"
_JSON = "Content-Type: application/json"
_BODY = b'{"size":1}'
_CHUNKED = b"a\r\n" + _BODY + b"\r\n0\r\n\r\n"
_PATH = f"/{INDEX}/_search"
_STRICTER = "HTTP wants it refused"

WIRE_ROWS = (
    WireRow("HTTP/1.0", _request(f"GET {_PATH} HTTP/1.0"), "answered without chunks"),
    WireRow("an upgrade to HTTP/2", _request(f"GET {_PATH} HTTP/1.1", _HOST, "Connection: Upgrade", "Upgrade: h2c")),
    WireRow("OPTIONS *", _request("OPTIONS * HTTP/1.1", _HOST)),
    WireRow(
        "a path in Latin-1 or UTF-8",
        _request("GET /caf\u00e9/_search HTTP/1.1", _HOST),
        "percent-encode what is not ASCII",
    ),
    WireRow("a path without its slash", _request(f"GET {_PATH[1:]} HTTP/1.1", _HOST), _STRICTER),
    WireRow(
        "a whole URL instead of a path",
        _request(f"GET http://shop{_PATH} HTTP/1.1", _HOST),
        "HTTP wants it taken; the host in it is not looked at",
    ),
    WireRow("no `Host`", _request(f"GET {_PATH} HTTP/1.1"), _STRICTER),
    WireRow("two `Host`", _request(f"GET {_PATH} HTTP/1.1", _HOST, "Host: other"), _STRICTER),
    WireRow("an unknown method", _request(f"FIND {_PATH} HTTP/1.1", _HOST)),
    WireRow("a method in small letters", _request(f"get {_PATH} HTTP/1.1", _HOST), "letter case counts in methods"),
    WireRow("CONNECT", _request("CONNECT shop:80 HTTP/1.1", _HOST), "never sent on: it would open a tunnel"),
    WireRow("HTTP/2.0", _request(f"GET {_PATH} HTTP/2.0", _HOST)),
    WireRow(
        "a folded header", _request(f"GET {_PATH} HTTP/1.1", _HOST, "X-Long: one", " two"), "HTTP lets it be refused"
    ),
    WireRow("a space before the colon", _request(f"GET {_PATH} HTTP/1.1", _HOST, "X-Long : one")),
    WireRow(
        "Content-Length twice",
        _request(f"POST {_PATH} HTTP/1.1", _HOST, _JSON, "Content-Length: 10", "Content-Length: 10", body=_BODY),
    ),
    WireRow(
        "Content-Length and Transfer-Encoding",
        _request(
            f"POST {_PATH} HTTP/1.1", _HOST, _JSON, "Content-Length: 10", "Transfer-Encoding: chunked", body=_CHUNKED
        ),
        "two readings of where a request ends let one be smuggled in",
    ),
    WireRow(
        "Transfer-Encoding twice",
        _request(f"POST {_PATH} HTTP/1.1", _HOST, _JSON, *["Transfer-Encoding: chunked"] * 2, body=_CHUNKED),
        "the same",
    ),
    WireRow(
        "Transfer-Encoding: gzip, chunked",
        _request(f"POST {_PATH} HTTP/1.1", _HOST, _JSON, "Transfer-Encoding: gzip, chunked", body=_CHUNKED),
        "use `Content-Encoding`",
    ),
    WireRow("a request line of 5,000 bytes", _request(f"GET {_PATH}?preference={'a' * 5000} HTTP/1.1", _HOST)),
    WireRow(
        "a request line of 100,000 bytes",
        _request(f"GET {_PATH}?preference={'a' * 100_000} HTTP/1.1", _HOST),
        "above `max_header_bytes` the refusal is the proxy's own",
    ),
)


def status_of(url: str, row: WireRow) -> str:
    """Send a row's bytes and return the status of the answer."""
    parts = urlsplit(url)
    answer = b""
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=_SECONDS) as connection:
        try:
            connection.sendall(row.raw)
            while not (found := _STATUS.match(answer)):
                piece = connection.recv(65536)
                if not piece:
                    return NO_ANSWER
                answer += piece
        except ConnectionError:
            return NO_ANSWER
    return found[1].decode()


def mark(engines: str, ours: str) -> str:
    """Say in a cell what the engine and the proxy answered."""
    return engines if engines == ours else f"{engines}, here {ours}"
