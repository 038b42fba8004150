"""Reads documents: products as the loader knows them, and JSON lines of any other fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from esci_loader.records import BadRecord, UnreadableFile
from esci_loader.records import read_products as read_known_products
from proxy.evaluate.qrels import BadInput
from training.json_files import read_records

Fields = Mapping[str, tuple[str, ...]]
"""Field -> its texts; a field without a text is left out."""

IDENTITIES = ("id", "_id", "document_id", "product_id")
"""Where a record that is no ESCI product has its id, the first one that is there."""


def read_documents(path: Path, locale: str | None = None) -> dict[str, Fields]:
    """Return a file's documents by id.

    A parquet file, and JSON lines whose first record has an ``asin``, are read as `esci_loader` reads them. Any other
    JSON records are taken with all their fields: objects in them as ``outer.inner``, as engines name such fields.

    Args:
        path: ``.parquet``, or JSON lines or an array, plain, ``.gz`` or ``.zst``.
        locale: only documents of it, of those that the loader reads; None: all.

    Raises:
        BadInput: the file cannot be read, or a record is no document; with the place.
    """
    known = path.suffix == ".parquet" or _has_asin(path)
    documents = _known(path, locale) if known else _any(path)
    if not documents:
        raise BadInput(f"{path}: no document in it" + (f" with locale {locale!r}" if known and locale else ""))
    return documents


def fields_of(record: Mapping[str, Any], where: str = "") -> dict[str, tuple[str, ...]]:
    """Return the fields that have a text. Numbers are written out; true, false and null are no text, as in serving."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= fields_of(value, f"{where}{name}.")
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        texts = tuple(text for one in values if (text := _text(one)))
        if texts:
            found[f"{where}{name}"] = texts
    return found


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return str(value).strip()


def _has_asin(path: Path) -> bool:
    for _, record in read_records(path):
        return isinstance(record, Mapping) and "asin" in record
    return False


def _known(path: Path, locale: str | None) -> dict[str, Fields]:
    documents: dict[str, Fields] = {}
    try:
        for product in read_known_products(path):
            if isinstance(product, BadRecord):
                raise BadInput(f"{product.place}: {product.reason}; expected a product")
            if locale is None or product["locale"] == locale:
                documents[product["asin"]] = fields_of({name: product[name] for name in product if name != "asin"})
    except UnreadableFile as error:
        raise BadInput(str(error)) from None
    return documents


def _any(path: Path) -> dict[str, Fields]:
    documents: dict[str, Fields] = {}
    for place, record in read_records(path):
        if isinstance(record, BadInput):
            raise record
        name = next((name for name in IDENTITIES if name in record), None) if isinstance(record, Mapping) else None
        identity = identity_of(record[name]) if name is not None else None
        if name is None or identity is None:
            raise BadInput(f"{place}: expected an object with an id ({', '.join(IDENTITIES)} or asin)")
        source = record.get("_source", record)
        if not isinstance(source, Mapping):
            raise BadInput(f"{place}: _source must be an object")
        documents[identity] = fields_of({key: value for key, value in source.items() if key != name})
    return documents


def identity_of(value: object) -> str | None:
    """Return an id as a text; None: it is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None
