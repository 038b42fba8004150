"""Reads files of JSON records, as lines or as one array, plain or compressed (``.gz``, ``.zst``)."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import zstandard

from proxy.evaluate.qrels import BadInput


def read_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (place, record), place being ``file:line`` or, in an array, ``file, element n``, both from 1.

    A line that is no JSON comes as a `BadInput` instead of a record, so that the caller may count it and read on.

    Raises:
        BadInput: the file cannot be read, or is an array that is no JSON.
    """
    try:
        with open_text(path) as file:
            first = next((line for line in file if line.strip()), "")
        if first.lstrip().startswith("["):
            yield from _array(path)
        else:
            yield from _lines(path)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text ({error.reason})") from None
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        raise BadInput(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def open_text(path: Path) -> IO[str]:
    """Open a text file, decompressing it by the ending of its name."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    if path.suffix == ".zst":
        plain = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True)
        return io.TextIOWrapper(io.BufferedReader(plain), encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _array(path: Path) -> Iterator[tuple[str, Any]]:
    with open_text(path) as file:
        try:
            records = json.load(file)
        except (ValueError, RecursionError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            raise BadInput(f"{path}: it starts as a JSON array and is none: {error}") from None
    for number, record in enumerate(records, start=1):
        yield f"{path}, element {number}", record


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                record = BadInput(f"{place}: not JSON: {error}; expected one JSON object a line")
            yield place, record
