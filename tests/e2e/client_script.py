"""Uses the official Elasticsearch client, sync and async, of whichever version is there: ``client_script.py URL``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import elasticsearch
from elasticsearch import AsyncElasticsearch, Elasticsearch, helpers

INDEX = "clients"
QUERY = {"match": {"title": "red shoe"}}
DOCUMENTS = {
    "1": {"title": "red car"},
    "2": {"title": "blue shoe shoe shoe"},
    "3": {"title": "red shoe"},
    "4": {"title": "green hat"},
}


def actions() -> Iterator[dict[str, Any]]:
    """Bulk actions for all documents."""
    for key, source in DOCUMENTS.items():
        yield {"_op_type": "index", "_index": INDEX, "_id": key, "_source": source}


def check_search(hits: list[dict[str, Any]]) -> None:
    """The hit that has both words comes first, all scores are ours, and they fall."""
    scores = [hit["_score"] for hit in hits]
    assert hits[0]["_id"] == "3", hits
    assert {hit["_id"] for hit in hits} == {"1", "2", "3"}, hits
    assert all(1 <= score <= 2 for score in scores), scores
    assert scores == sorted(scores, reverse=True), scores


def expect(error: type[Exception], call: Any, **arguments: Any) -> None:
    """The call raises the client's own error."""
    try:
        call(**arguments)
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected")


def check_sync(url: str) -> None:
    """The sync client: index, bulk, search, count, get, multi-search, scan, point in time, errors."""
    with Elasticsearch(url) as client:
        client.options(ignore_status=404).indices.delete(index=INDEX)
        client.indices.create(index=INDEX, settings={"number_of_replicas": 0})
        helpers.bulk(client, actions(), refresh=True)
        answer = client.search(index=INDEX, query=QUERY)
        check_search(answer["hits"]["hits"])
        assert answer.meta.headers["X-Rerank-Status"] == "full"
        assert client.count(index=INDEX)["count"] == len(DOCUMENTS)
        assert client.get(index=INDEX, id="3")["_source"] == DOCUMENTS["3"]
        items = client.msearch(searches=[{"index": INDEX}, {"query": QUERY}])["responses"]
        assert len(items[0]["hits"]["hits"]) == 3
        scanned = list(helpers.scan(client, index=INDEX, query={"query": QUERY}))
        assert {hit["_id"] for hit in scanned} == {"1", "2", "3"}
        pit = client.open_point_in_time(index=INDEX, keep_alive="1m")["id"]
        assert len(client.search(pit={"id": pit}, query=QUERY)["hits"]["hits"]) == 3
        expect(elasticsearch.NotFoundError, client.search, index="not-there", query=QUERY)
        expect(elasticsearch.BadRequestError, client.search, index=INDEX, query={"no_such_query": {}})


async def check_async(url: str) -> None:
    """The async client, compressing what it sends."""
    async with AsyncElasticsearch(url, http_compress=True) as client:
        await client.options(ignore_status=404).indices.delete(index=INDEX)
        await client.indices.create(index=INDEX, settings={"number_of_replicas": 0})
        await helpers.async_bulk(client, actions(), refresh=True)
        answer = await client.search(index=INDEX, query=QUERY)
        check_search(answer["hits"]["hits"])
        assert answer.meta.headers["X-Rerank-Status"] == "full"


if __name__ == "__main__":
    check_sync(sys.argv[1])
    asyncio.run(check_async(sys.argv[1]))
    print("checked with the client", elasticsearch.__versionstr__)
