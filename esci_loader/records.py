"""Reads product files of three layouts, one product at a time, into one form.

- the official parquet, ``shopping_queries_dataset_products.parquet``: columns ``product_id``, ``product_title`` ...
- ESCI-S, JSON lines with ``asin``, ``stars`` and ``ratings`` as text, a list of ``bullets``, the brand in ``attrs``;
- plain JSON lines with ``asin`` or ``id``, ``bullet_points`` as one text with line breaks, and ``rating``.

JSON lines may be compressed (``.gz``, ``.zst``).
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

FIELDS = (
    "asin",
    "title",
    "description",
    "bullets",
    "brand",
    "color",
    "category",
    "price",
    "stars",
    "ratings",
    "image",
    "locale",
)
_BATCH_ROWS = 500
_NUMBER = re.compile(r"\d[\d,.\u00a0\u202f]*\d|\d")
DEFAULT_LOCALE = "us"


class UnreadableFile(ValueError):
    """A file cannot be read at all; the text names it and says why."""


@dataclass(frozen=True)
class BadRecord:
    """A record that is no product."""

    place: str
    """``file:line``, or ``file, row n``."""
    reason: str


def read_products(path: Path) -> Iterator[dict[str, Any] | BadRecord]:
    """Give the file's products in order; what is none comes as a `BadRecord`.

    Raises:
        UnreadableFile: no such file, or broken compression or parquet.
    """
    try:
        if path.suffix == ".parquet":
            yield from _read_parquet(path)
        else:
            yield from _read_lines(path)
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFile(f"{path}: {reason}") from None


def _read_parquet(path: Path) -> Iterator[dict[str, Any] | BadRecord]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            missing = sorted({"product_id", "product_title"} - names)
            if missing:
                raise UnreadableFile(f"{path}: no columns {', '.join(missing)}; is it the products' parquet?")
            row = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for record in batch.to_pylist():
                    row += 1
                    yield (
                        _from_official(record)
                        if record["product_id"]
                        else BadRecord(f"{path}, row {row}", "it has no product_id")
                    )
    except pa.ArrowInvalid as error:
        raise UnreadableFile(f"{path}: {str(error).splitlines()[0]}") from None


def _read_lines(path: Path) -> Iterator[dict[str, Any] | BadRecord]:
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                record = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
                yield BadRecord(place, f"no JSON: {error}")
                continue
            asin = record.get("asin", record.get("id")) if isinstance(record, dict) else None
            if isinstance(asin, str) and asin:
                yield _from_lines(asin, record)
            else:
                yield BadRecord(place, "it has no asin (nor id) that is a text")


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    if path.suffix == ".zst":
        import zstandard

        try:
            return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True))
        except zstandard.ZstdError as error:
            raise UnreadableFile(f"{path}: {error}") from None
    return path.open("rb")


def _from_official(record: Mapping[str, Any]) -> dict[str, Any]:
    return _product(
        asin=record["product_id"],
        title=record["product_title"],
        description=record.get("product_description"),
        bullets=_lines(record.get("product_bullet_point")),
        brand=record.get("product_brand"),
        color=record.get("product_color"),
        locale=record.get("product_locale"),
    )


def _from_lines(asin: str, record: Mapping[str, Any]) -> dict[str, Any]:
    attrs = record.get("attrs")
    attrs = attrs if isinstance(attrs, dict) else {}
    return _product(
        asin=asin,
        title=record.get("title"),
        description=record.get("description"),
        bullets=_lines(record.get("bullets", record.get("bullet_points"))),
        brand=record.get("brand") or attrs.get("Brand"),
        color=record.get("color") or attrs.get("Color"),
        category=_lines(record.get("category")),
        price=number(record.get("price")),
        stars=number(record.get("stars", record.get("rating"))),
        ratings=_whole(number(record.get("ratings", record.get("rating_count")))),
        image=record.get("image"),
        locale=record.get("locale"),
    )


def _product(**fields: Any) -> dict[str, Any]:
    """Keep what has a value: an empty text would only cost room in the index."""
    fields["locale"] = fields.get("locale") or DEFAULT_LOCALE
    return {name: fields[name] for name in FIELDS if fields.get(name) not in (None, "", [])}


def _lines(value: object) -> list[str]:
    if isinstance(value, str):
        value = value.split("\n")
    if not isinstance(value, list):
        return []
    return [text for item in value if isinstance(item, str) and (text := item.strip())]


def number(value: object) -> float | None:
    """Read the first number in a text such as ``$1,234.50``, ``4.5 out of 5 stars`` or ``1.234,50 €``; None: none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value) if abs(value) < 1e15 else None
    match = _NUMBER.search(str(value))
    if match is None:
        return None
    digits = re.sub(r"\s", "", match[0])
    # The last separator is the decimal one if one or two digits follow it; all others only group.
    whole, decimals = digits, ""
    found = re.search(r"[.,](\d{1,2})$", digits)
    if found:
        whole, decimals = digits[: found.start()], found[1]
    whole = re.sub(r"[.,]", "", whole)
    return float(f"{whole}.{decimals}") if decimals else float(whole)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
