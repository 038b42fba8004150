"""Which header fields travel on (RFC 9110, section 7.6.1) and which say who asks."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

from multidict import CIMultiDict, MultiMapping

_HOP_BY_HOP = frozenset(
    {"connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
QUERY_HEADER = "X-Rerank-Query"
SKIP_HEADER = "X-Rerank-Skip"
_OURS = frozenset({QUERY_HEADER.lower(), SKIP_HEADER.lower()})
_SAYS_NOTHING_OF_THE_USER = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-elastic-client-meta",
        "x-opaque-id",
    }
)
_SALT = secrets.token_bytes(16)


def as_sent(raw_headers: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """Return header fields in the letter case in which they came; the parser rewrites the names that it knows."""
    return CIMultiDict((_text(name), _text(value)) for name, value in raw_headers)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """Return the header fields that travel on: all but the hop-by-hop ones and those that ``Connection`` names."""
    named = {token.strip().lower() for value in headers.getall("Connection", []) for token in value.split(",")}
    doomed = _HOP_BY_HOP | named
    return CIMultiDict([(name, value) for name, value in headers.items() if name.lower() not in doomed])


def for_upstream(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """Return a request's header fields for the engine: less ``Host`` (its own is sent) and what is meant for us."""
    doomed = _OURS | {"host"}
    if headers.get("Expect", "").lower() == "100-continue":  # that is between the two ends of a connection
        doomed |= {"expect"}
    # aiohttp's client keeps several fields of one name only if they are spelled alike.
    spelled: dict[str, str] = {}
    return CIMultiDict(
        (spelled.setdefault(name.lower(), name), value)
        for name, value in end_to_end(headers).items()
        if name.lower() not in doomed
    )


def identity(headers: MultiMapping[str]) -> bytes:
    """Digest of every field that could say who asks, 16 bytes; salted: outside this process it tells nothing."""
    digest = hashlib.blake2b(digest_size=16, key=_SALT)
    for name, value in sorted(
        (name.lower(), value)
        for name, value in headers.items()
        if name.lower() not in _SAYS_NOTHING_OF_THE_USER | _OURS
    ):
        if name in _HOP_BY_HOP:
            continue
        digest.update(f"{len(name)}:{name}{len(value)}:{value}".encode(errors="surrogatepass"))
    return digest.digest()


def accepts_gzip(headers: MultiMapping[str]) -> bool:
    """Say whether the client takes gzip. ``*`` does not count: engines answer it in whatever they like."""
    for value in headers.getall("Accept-Encoding", []):
        for token in value.split(","):
            coding, _, quality = token.partition(";")
            if coding.strip().lower() in ("gzip", "x-gzip") and _is_wanted(quality):
                return True
    return False


def _is_wanted(quality: str) -> bool:
    name, _, number = quality.strip().partition("=")
    try:
        return not name.strip() or float(number) > 0
    except ValueError:
        return False


def set_header(headers: CIMultiDict[str], name: str, value: str | None) -> None:
    """Set a field, or take it out where ``value`` is None."""
    if value is None:
        headers.popall(name, None)
    else:
        headers[name] = value


def drop(headers: CIMultiDict[str], names: Iterable[str]) -> None:
    """Take fields out."""
    for name in names:
        headers.popall(name, None)
