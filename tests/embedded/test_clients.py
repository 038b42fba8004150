"""The official client, as people use it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from elasticsearch import ApiError, AsyncElasticsearch, BadRequestError, ConflictError, NotFoundError
from elasticsearch.helpers import BulkIndexError, async_bulk, async_scan
from opensearchpy import AsyncOpenSearch

from proxy.embedded import EmbeddedServer
from tests.embedded.conftest import MAPPINGS, SHOP, Talk


@pytest.fixture
async def client(server: EmbeddedServer) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(server.url, retry_on_timeout=False, max_retries=0) as client:
        yield client


@pytest.fixture
async def loaded(client: AsyncElasticsearch) -> AsyncElasticsearch:
    await client.indices.create(index="shop", mappings=MAPPINGS, settings={"number_of_shards": 1})
    actions = [{"_index": "shop", "_id": doc_id, "_source": source} for doc_id, source in SHOP.items()]
    assert await async_bulk(client, actions, refresh="wait_for") == (len(SHOP), [])
    return client


async def test_life_of_an_index(client: AsyncElasticsearch) -> None:
    assert (await client.info())["version"]["number"] == "9.0.0"
    assert await client.ping()
    assert not await client.indices.exists(index="shop")
    await client.indices.create(index="shop", mappings=MAPPINGS)
    assert await client.indices.exists(index="shop")
    assert [row["index"] for row in (await client.cat.indices(format="json")).body] == ["shop"]
    assert (await client.cluster.health())["status"] == "green"
    mapping = await client.indices.get_mapping(index="shop")
    assert mapping["shop"]["mappings"]["properties"]["brand"] == {"type": "keyword"}
    await client.indices.put_settings(index="shop", settings={"refresh_interval": "-1"})
    assert (await client.indices.get_settings(index="shop"))["shop"]["settings"]["index"]["refresh_interval"] == "-1"
    await client.indices.delete(index="shop")
    assert not await client.indices.exists(index="shop")


async def test_life_of_a_document(client: AsyncElasticsearch) -> None:
    created = await client.index(index="shop", id="1", document={"title": "a"}, refresh=True)
    assert (created["result"], created["_version"]) == ("created", 1)
    assert (await client.index(index="shop", id="1", document={"title": "b", "n": {"x": 1}}))["result"] == "updated"
    with pytest.raises(ConflictError):
        await client.create(index="shop", id="1", document={"title": "c"})
    assert (await client.update(index="shop", id="1", doc={"n": {"y": 2}}))["_version"] == 3
    assert (await client.update(index="shop", id="1", doc={"n": {"y": 2}}))["result"] == "noop"
    assert (await client.get(index="shop", id="1"))["_source"] == {"title": "b", "n": {"x": 1, "y": 2}}
    assert await client.exists(index="shop", id="1")
    assert (await client.count(index="shop"))["count"] == 1
    assert (await client.delete(index="shop", id="1", refresh="wait_for"))["result"] == "deleted"
    assert (await client.count(index="shop"))["count"] == 0
    with pytest.raises(NotFoundError):
        await client.get(index="shop", id="1")
    assert len((await client.index(index="shop", document={"title": "no id given"}))["_id"]) > 10


async def test_search(loaded: AsyncElasticsearch) -> None:
    answer = await loaded.search(
        index="shop",
        query={"multi_match": {"query": "red case", "fields": ["title^2", "colors"]}},
        fields=["title", "price"],
        source=["brand"],
        highlight={"fields": {"title": {}}, "pre_tags": "[", "post_tags": "]"},
        size=2,
    )
    first, _ = answer["hits"]["hits"]
    assert answer["hits"]["total"] == {"value": 3, "relation": "eq"}
    assert answer["hits"]["max_score"] == first["_score"] > 0
    assert first["_id"] == "1"
    assert first["_source"] == {"brand": "Acme"}
    assert first["fields"] == {"title": ["red phone case"], "price": [9.5]}
    assert first["highlight"] == {"title": ["[red] phone [case]"]}


async def test_several_searches(loaded: AsyncElasticsearch) -> None:
    answer = await loaded.msearch(
        searches=[
            {"index": "shop"},
            {"query": {"term": {"brand": "Acme"}}},
            {"index": "nothing"},
            {"query": {"match_all": {}}},
        ]
    )
    found, failed = answer["responses"]
    assert (found["hits"]["total"]["value"], found["status"]) == (3, 200)
    assert (failed["error"]["type"], failed["status"]) == ("index_not_found_exception", 404)
    with pytest.raises(BadRequestError):
        await loaded.msearch(index="shop", searches=[{}, {"query": {"no_such_query": {}}}])


async def test_field_caps(loaded: AsyncElasticsearch) -> None:
    caps = await loaded.field_caps(index="shop", fields="ti*")
    assert caps["fields"].keys() == {"title", "title.english"}
    text = {"type": "text", "metadata_field": False, "searchable": True, "aggregatable": False}
    assert caps["fields"]["title"] == {"text": text}


async def test_rejected_documents_are_told(loaded: AsyncElasticsearch) -> None:
    actions = [
        {"_index": "shop", "_id": "good", "_source": {"price": 1}},
        {"_index": "shop", "_id": "bad", "_source": {"price": "cheap"}},
    ]
    with pytest.raises(BulkIndexError) as caught:
        await async_bulk(loaded, actions, refresh=True)
    (item,) = caught.value.errors
    assert item["index"]["_id"] == "bad"
    assert item["index"]["status"] == 400
    assert item["index"]["error"]["type"] == "document_parsing_exception"
    assert "[price]" in item["index"]["error"]["reason"]
    assert (await loaded.count(index="shop"))["count"] == len(SHOP) + 1


async def test_what_is_not_known_is_refused(loaded: AsyncElasticsearch) -> None:
    with pytest.raises(BadRequestError, match="no_such_query"):
        await loaded.search(index="shop", query={"no_such_query": {}})
    with pytest.raises(BadRequestError, match="scroll"):
        await anext(async_scan(loaded, index="shop"))
    with pytest.raises(ApiError, match="explain"):
        await loaded.search(index="shop", explain=True)


@pytest.mark.parametrize("version", ["8", "9"])
async def test_vendor_types_of_both_client_generations(shop: Talk, version: str) -> None:
    vendor = f"application/vnd.elasticsearch+json; compatible-with={version}"
    headers = {"Accept": vendor, "Content-Type": vendor}
    answer, body = await shop.raw("POST", "/shop/_search", b'{"size":1}', headers)
    assert answer.status == 200, body
    assert answer.headers["Content-Type"] == f"application/vnd.elasticsearch+json;compatible-with={version}"
    assert answer.headers["X-elastic-product"] == "Elasticsearch"


async def test_opensearch_client(server: EmbeddedServer, shop: Talk) -> None:
    client = AsyncOpenSearch(server.url)
    try:
        found = await client.search(index="shop", body={"query": {"match": {"title": "shoe"}}})
        assert [hit["_id"] for hit in found["hits"]["hits"]] == ["5"]
    finally:
        await client.close()
