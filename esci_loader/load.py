"""Streams products into an index: bounded memory, back-off on 429, every rejected document counted and shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from esci_loader.client import EngineError
from esci_loader.records import BadRecord, read_products

CHUNK_DOCUMENTS = 500
CHUNK_BYTES = 5 * 1024 * 1024
_MAX_RETRIES = 8
_FIRST_BACKOFF_S = 1
_MAX_SHOWN = 10
_EXISTS = "resource_already_exists_exception"


@dataclass
class Report:
    """What became of the records."""

    indexed: int = 0
    skipped: int = 0
    """Of another locale."""
    rejected: int = 0
    """By the engine."""
    unreadable: int = 0
    """No products."""
    shown: list[str] = field(default_factory=list)
    """The first problems, a line each."""

    @property
    def complete(self) -> bool:
        """Whether every record that was wanted is in the index."""
        return not self.rejected and not self.unreadable

    def note(self, line: str) -> None:
        """Keep a problem for the end, if there is room."""
        if len(self.shown) < _MAX_SHOWN:
            self.shown.append(line)


def index_body(analyzer: str) -> dict[str, Any]:
    """Return settings and mappings for products."""
    text = {"type": "text", "analyzer": analyzer}
    name = {"type": "text", "analyzer": analyzer, "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
    keyword = {"type": "keyword", "ignore_above": 1024}
    return {
        "settings": {"number_of_shards": 1, "number_of_replicas": 0},
        "mappings": {
            "properties": {
                "asin": keyword,
                "title": text,
                "description": text,
                "bullets": text,
                "brand": name,
                "color": name,
                "category": name,
                "price": {"type": "float"},
                "stars": {"type": "float"},
                "ratings": {"type": "integer"},
                "image": {"type": "keyword", "index": False, "doc_values": False},
                "locale": keyword,
            }
        },
    }


async def prepare_index(client: Any, index: str, analyzer: str, recreate: bool, append: bool) -> None:
    """Make the index; an existing one is deleted, kept, or an error, as asked.

    Raises:
        EngineError: it exists and neither was asked, or the engine refuses to make it.
    """
    api_errors = api_error_types()
    try:
        if recreate:
            await client.indices.delete(index=index, ignore_unavailable=True)
        elif append and await client.indices.exists(index=index):
            return
        await client.indices.create(index=index, body=index_body(analyzer))
    except api_errors as error:
        raise EngineError(_create_problem(error, index, analyzer)) from None


def _create_problem(error: Exception, index: str, analyzer: str) -> str:
    text = " ".join(str(error).split())
    if _EXISTS in text:
        return f"the index {index!r} exists already: --append adds to it, --recreate deletes it first"
    if "analyzer" in text and analyzer in text:
        return f"the engine has no analyzer {analyzer!r}; every engine has `--analyzer standard`"
    return f"the index {index!r} cannot be made: {text[:300]}"


async def load(client: Any, index: str, paths: Iterable[Path], locale: str | None, quiet: bool = False) -> Report:
    """Index the products of all files.

    Args:
        client: of either engine.
        index: its name.
        paths: product files.
        locale: only products of it; None: all.
        quiet: no progress bar.

    Raises:
        EngineError: the engine stopped answering.
        UnreadableFile: a file cannot be read.
    """
    streaming_bulk = _bulk_helper(client)
    report = Report()
    with tqdm(unit=" products", disable=quiet, smoothing=0.1) as bar:
        try:
            async for ok, item in streaming_bulk(
                client,
                _actions(index, paths, locale, report),
                chunk_size=CHUNK_DOCUMENTS,
                max_chunk_bytes=CHUNK_BYTES,
                max_retries=_MAX_RETRIES,
                initial_backoff=_FIRST_BACKOFF_S,
                max_backoff=60,
                raise_on_error=False,
                raise_on_exception=True,
            ):
                _count(report, ok, item)
                bar.update()
        except api_error_types() as error:
            text = " ".join(str(error).split())[:300]
            raise EngineError(f"the engine failed after {report.indexed} products: {text}") from None
    await client.indices.refresh(index=index)
    return report


def _actions(index: str, paths: Iterable[Path], locale: str | None, report: Report) -> Iterator[dict[str, Any]]:
    for path in paths:
        for product in read_products(path):
            if isinstance(product, BadRecord):
                report.unreadable += 1
                report.note(f"{product.place}: {product.reason}")
            elif locale is not None and product["locale"] != locale:
                report.skipped += 1
            else:
                yield {"_op_type": "index", "_index": index, "_id": product["asin"], "_source": product}


def _count(report: Report, ok: bool, item: dict[str, Any]) -> None:
    if ok:
        report.indexed += 1
        return
    report.rejected += 1
    outcome = next(iter(item.values()))
    error = outcome.get("error", outcome.get("exception", outcome))
    reason = error.get("reason", error) if isinstance(error, dict) else error
    report.note(f"{outcome.get('_id')}: rejected with {outcome.get('status')}: {' '.join(str(reason).split())[:300]}")


def _bulk_helper(client: Any) -> Any:
    import opensearchpy
    from elasticsearch.helpers import async_streaming_bulk

    is_opensearch = isinstance(client, opensearchpy.AsyncOpenSearch)
    return opensearchpy.helpers.async_streaming_bulk if is_opensearch else async_streaming_bulk


def api_error_types() -> tuple[type[Exception], ...]:
    """Return the errors that either client raises where the engine, or the way to it, refuses something."""
    import opensearchpy
    from elastic_transport import TransportError
    from elasticsearch import ApiError

    return ApiError, TransportError, opensearchpy.exceptions.OpenSearchException
