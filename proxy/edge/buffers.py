"""Caps what is held in memory, over all requests at once, and decodes compressed bodies within a limit."""

from __future__ import annotations

import gzip
import zlib
from types import TracebackType


class BufferFull(Exception):
    """The bytes that may be buffered over all requests are used up."""


class TooLarge(Exception):
    """A body is larger than its limit."""


class BadEncoding(Exception):
    """A body's content coding cannot be undone."""


class BufferBudget:
    """The bytes that all requests together may hold."""

    def __init__(self, limit_bytes: int) -> None:
        """Allow ``limit_bytes`` in all."""
        self._limit = limit_bytes
        self.used_bytes = 0

    def lease(self) -> BufferLease:
        """Return one request's share, empty at first; to be used as a context manager."""
        return BufferLease(self)

    def take(self, count: int) -> None:
        """Count bytes in.

        Raises:
            BufferFull: they would exceed the limit; none is counted then.
        """
        if self.used_bytes + count > self._limit:
            raise BufferFull
        self.used_bytes += count

    def give_back(self, count: int) -> None:
        """Count bytes out."""
        self.used_bytes -= count


class BufferLease:
    """What one request holds; given back when the request ends."""

    def __init__(self, budget: BufferBudget) -> None:
        """Start with nothing."""
        self._budget = budget
        self._held = 0

    def take(self, count: int) -> None:
        """Count bytes in; see `BufferBudget.take`."""
        self._budget.take(count)
        self._held += count

    def __enter__(self) -> BufferLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.give_back(self._held)
        self._held = 0


def decode_body(body: bytes, coding: str | None, limit_bytes: int) -> bytes:
    """Undo a content coding: none, identity, gzip (several members too) or deflate (with or without zlib's frame).

    Raises:
        BadEncoding: another coding, or broken data.
        TooLarge: the decoded body would exceed ``limit_bytes``.
    """
    coding = (coding or "identity").strip().lower()
    if coding == "identity":
        return body
    try:
        if coding in ("gzip", "x-gzip"):
            return _gunzip(body, limit_bytes)
        if coding == "deflate":
            return _inflate(body, limit_bytes)
    except zlib.error as error:
        raise BadEncoding(str(error)) from None
    raise BadEncoding(f"content coding {coding!r}")


def _gunzip(body: bytes, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while body:
        unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
        pieces.append(unzip.decompress(body, limit_bytes - size + 1))
        size += len(pieces[-1])
        if size > limit_bytes:
            raise TooLarge
        if not unzip.eof:
            raise BadEncoding("the gzip data ends too early")
        body = unzip.unused_data
    return b"".join(pieces)


def _inflate(body: bytes, limit_bytes: int) -> bytes:
    for window_bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        unzip = zlib.decompressobj(window_bits)
        try:
            decoded = unzip.decompress(body, limit_bytes + 1)
        except zlib.error:
            if window_bits < 0:
                raise
            continue
        if len(decoded) > limit_bytes:
            raise TooLarge
        if not unzip.eof:
            raise BadEncoding("the deflate data ends too early")
        return decoded
    raise BadEncoding("no deflate data")


def gzip_body(body: bytes) -> bytes:
    """Compress quickly; the same body gives the same bytes."""
    return gzip.compress(body, compresslevel=3, mtime=0)
