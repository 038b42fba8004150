"""Product files of all layouts become the same products; what is none is named, never lost in silence."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from esci_loader.__main__ import SAMPLE
from esci_loader.records import BadRecord, UnreadableFile, number, read_products

ESCI_S = {
    "type": "product",
    "locale": "us",
    "asin": "A1",
    "title": "Red shoe",
    "stars": "4.6 out of 5 stars",
    "ratings": "1,866 ratings",
    "category": ["Shoes", "Running"],
    "attrs": {"Brand": "Acme", "Color": "Red"},
    "bullets": ["light ", "", "fast"],
    "description": "",
    "price": "$1,029.95",
    "image": "https://example.org/a.jpg",
}
PRODUCT = {
    "asin": "A1",
    "title": "Red shoe",
    "bullets": ["light", "fast"],
    "brand": "Acme",
    "color": "Red",
    "category": ["Shoes", "Running"],
    "price": 1029.95,
    "stars": 4.6,
    "ratings": 1866,
    "image": "https://example.org/a.jpg",
    "locale": "us",
}


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("a.json", lambda data: data),
        ("a.json.gz", gzip.compress),
        ("a.json.zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_esci_s(tmp_path: Path, name: str, compress: Any) -> None:
    path = tmp_path / name
    path.write_bytes(compress(lines(ESCI_S)))
    assert list(read_products(path)) == [PRODUCT]


def test_plain_lines(tmp_path: Path) -> None:
    record = {
        "asin": "A1",
        "title": "Red shoe",
        "bullet_points": "light\nfast",
        "brand": "Acme",
        "color": "Red",
        "category": ["Shoes", "Running"],
        "price": 1029.95,
        "rating": 4.6,
        "rating_count": 1866,
        "image": "https://example.org/a.jpg",
        "is_book": False,
    }
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(record))
    assert list(read_products(path)) == [PRODUCT]


def test_official_parquet(tmp_path: Path) -> None:
    path = tmp_path / "products.parquet"
    rows = {
        "product_id": ["A1", None],
        "product_title": ["Red shoe", "nothing"],
        "product_description": [None, None],
        "product_bullet_point": ["light\nfast", None],
        "product_brand": ["Acme", None],
        "product_color": ["", None],
        "product_locale": ["jp", "us"],
    }
    pq.write_table(pa.table(rows), path)
    first, second = read_products(path)
    assert first == {"asin": "A1", "title": "Red shoe", "bullets": ["light", "fast"], "brand": "Acme", "locale": "jp"}
    assert second == BadRecord(f"{path}, row 2", "it has no product_id")


def test_bad_lines_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"asin": "A1"}\n{broken\n[]\n\n{"title": "no id"}\n{"asin": "A2"}\n')
    found = list(read_products(path))
    assert [one["asin"] for one in found if isinstance(one, dict)] == ["A1", "A2"]
    assert [one.place for one in found if isinstance(one, BadRecord)] == [f"{path}:{line}" for line in (2, 3, 5)]


def test_the_sample_catalogue_is_read_whole() -> None:
    found = list(read_products(SAMPLE))
    assert len(found) == len(SAMPLE.read_text().splitlines())
    assert all(isinstance(one, dict) and {"asin", "title", "price", "stars"} <= one.keys() for one in found)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json.gz", b"no gzip"), ("a.json.gz", gzip.compress(b"x" * 1000)[:-20]), ("a.parquet", b"no parquet")],
)
def test_a_broken_file_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableFile) as error:
        list(read_products(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_another_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "examples.parquet"
    pq.write_table(pa.table({"query": ["x"]}), path)
    with pytest.raises(UnreadableFile, match="no columns product_id, product_title"):
        list(read_products(path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$1,234.50", 1234.5),
        ("1.234,50 €", 1234.5),
        ("4.5 out of 5 stars", 4.5),
        ("1,234 ratings", 1234.0),
        ("$10.99 - $15.99", 10.99),
        ("12", 12.0),
        (7, 7.0),
        (True, None),
        ("", None),
        ("free", None),
        (None, None),
        ("1\u00a0234,5", 1234.5),
    ],
)
def test_numbers_in_text(text: object, value: float | None) -> None:
    assert number(text) == value
