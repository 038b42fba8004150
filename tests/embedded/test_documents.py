"""Writing: single documents, bulk, mappings that grow, and when searches see it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from proxy.embedded.engine import read_settings
from proxy.embedded.index import Index
from tests.embedded.conftest import MAPPINGS, Talk


def _ndjson(*lines: Any) -> bytes:
    return b"".join((line if isinstance(line, bytes) else orjson.dumps(line)) + b"\n" for line in lines)


async def _bulk(talk: Talk, *lines: Any, path: str = "/shop/_bulk?refresh=true") -> Any:
    _, body = await talk.raw("POST", path, _ndjson(*lines))
    return orjson.loads(body)


async def test_bulk_tells_of_each_item(shop: Talk) -> None:
    answer = await _bulk(
        shop,
        {"index": {"_id": "new"}},
        {"title": "x"},
        {"create": {"_id": "1"}},
        {"title": "there already"},
        {"update": {"_id": "1"}},
        {"doc": {"price": 5}},
        {"update": {"_id": "none"}},
        {"doc": {"price": 5}},
        {"delete": {"_id": "2"}},
        {"delete": {"_id": "never"}},
        {"index": {"_id": "broken"}},
        b'{"title": ',
        {"index": {"_index": "elsewhere", "_id": "1"}},
        {"title": "another index"},
        {"index": {"_index": "BAD"}},
        {"title": "x"},
    )
    results = [next(iter(item.items())) for item in answer["items"]]
    told = [(action, item["status"], item.get("result") or item["error"]["type"]) for action, item in results]
    assert told == [
        ("index", 201, "created"),
        ("create", 409, "version_conflict_engine_exception"),
        ("update", 200, "updated"),
        ("update", 404, "document_missing_exception"),
        ("delete", 200, "deleted"),
        ("delete", 404, "not_found"),
        ("index", 400, "x_content_parse_exception"),
        ("index", 201, "created"),
        ("index", 400, "invalid_index_name_exception"),
    ]
    assert answer["errors"] is True
    assert await shop.ids({"match_all": {}}) == ["3", "4", "5", "new", "1"]
    assert await shop.ids({"term": {"price": 5}}) == ["1"]
    assert await shop.ids({"match_all": {}}, "elsewhere") == ["1"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "required"),
        (b'{"index":{}}\n{"a":1}', "newline"),
        (b'{"index":{}}\n', "missing"),
        (b'{"nonsense":{}}\n{}\n', "nonsense"),
        (b"[1]\n{}\n", "line [1]"),
        (b'{"index":{"_id":"1","pipeline":"p"}}\n{}\n', "[pipeline]"),
        (b'{"delete":{}}\n', "id is missing"),
    ],
)
async def test_a_bulk_that_cannot_be_read_is_refused_whole(shop: Talk, body: bytes, named: str) -> None:
    answer, content = await shop.raw("POST", "/shop/_bulk", body)
    assert answer.status == 400
    assert named in orjson.loads(content)["error"]["reason"]
    await shop.ok("POST", "/shop/_refresh")
    assert len(await shop.ids({"match_all": {}})) == 5


async def test_fields_appear_as_documents_bring_them(talk: Talk) -> None:
    document = {
        "title": "red phone",
        "n": 3,
        "x": 1.5,
        "yes": True,
        "day": "2026-01-05",
        "deep": {"a": {"b": ["one", "two"]}, "list": [{"k": 1}, {"k": 2}]},
        "dotted.name": "x",
        "empty": None,
        "none": [],
    }
    await talk.index("shop", {"1": document})
    properties = (await talk.ok("GET", "/shop/_mapping"))["shop"]["mappings"]["properties"]
    text = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
    assert properties == {
        "title": text,
        "n": {"type": "long"},
        "x": {"type": "float"},
        "yes": {"type": "boolean"},
        "day": {"type": "date"},
        "deep": {
            "properties": {"a": {"properties": {"b": text}}, "list": {"properties": {"k": {"type": "long"}}}},
        },
        "dotted": {"properties": {"name": text}},
    }
    assert await talk.ids({"term": {"title.keyword": "red phone"}}) == ["1"]
    assert await talk.ids({"match": {"deep.a.b": "two"}}) == ["1"]
    assert await talk.ids({"term": {"deep.list.k": 2}}) == ["1"]


async def test_documents_of_before_a_new_field_are_still_found(shop: Talk) -> None:
    await shop.ok("PUT", "/shop/_doc/6?refresh=true", {"title": "red", "material": "felt"})
    assert await shop.ids({"match": {"material": "felt"}}) == ["6"]
    assert await shop.ids({"term": {"title": "red"}}) == ["6", "5", "1"]


@pytest.mark.parametrize(
    "document",
    [
        {"price": "cheap"},
        {"stock": 3_000_000_000},
        {"stock": True},
        {"added": "soon"},
        {"brand": {"name": "Acme"}},
        {"size": 3},
        {"": 1},
        {"a..b": 1},
        {"fresh": [1, "two"]},
        orjson.loads('{"a":' * 25 + "1" + "}" * 25),
    ],
    ids=lambda document: str(document)[:40],
)
async def test_a_bad_document_is_refused_and_changes_nothing(shop: Talk, document: Any) -> None:
    before = await shop.ok("GET", "/shop/_mapping")
    await shop.refusal("PUT", "/shop/_doc/5?refresh=true", document)
    assert await shop.ok("GET", "/shop/_mapping") == before
    assert (await shop.ok("GET", "/shop/_doc/5"))["_source"]["title"] == "red shoe"


async def test_dynamic_modes(talk: Talk) -> None:
    title = {"title": {"type": "text"}}
    mappings = {"dynamic": "strict", "properties": {**title, "any": {"type": "object", "enabled": False}}}
    await talk.index("strict", {"1": {"title": "x", "any": {"thing": [1, "a"]}}}, mappings)
    kind, reason = await talk.refusal("PUT", "/strict/_doc/2", {"other": 1})
    assert (kind, "[other]" in reason) == ("strict_dynamic_mapping_exception", True)
    await talk.index("loose", {"1": {"title": "x", "other": 1}}, {"dynamic": False, "properties": title})
    assert (await talk.ok("GET", "/loose/_field_caps?fields=o*"))["fields"] == {}
    assert (await talk.ok("GET", "/loose/_doc/1"))["_source"] == {"title": "x", "other": 1}


@pytest.mark.parametrize(
    ("mappings", "named"),
    [
        ({"properties": {"v": {"type": "dense_vector"}}}, "[dense_vector]"),
        ({"properties": {"v": {"type": "text", "copy_to": "w"}}}, "[copy_to]"),
        ({"properties": {"v": {"type": "text", "analyzer": "german"}}}, "[german]"),
        ({"properties": {"v": {}}}, "[v]"),
        ({"properties": []}, "[properties]"),
        ({"dynamic_templates": []}, "[dynamic_templates]"),
        ({"properties": {"title": {"type": "long"}}}, "[title]"),
        ({"properties": {"title": {"type": "text", "analyzer": "english"}}}, "[title]"),
        ({"properties": {"title": {"properties": {"a": {"type": "long"}}}}}, "[title]"),
    ],
    ids=str,
)
async def test_a_mapping_that_is_not_understood_is_refused(shop: Talk, mappings: Any, named: str) -> None:
    before = await shop.ok("GET", "/shop/_mapping")
    _, reason = await shop.refusal("PUT", "/shop/_mapping", mappings)
    assert named in reason
    assert await shop.ok("GET", "/shop/_mapping") == before


async def test_field_caps_tell_of_conflicts(shop: Talk) -> None:
    await shop.index("other", {"1": {"brand": 7}})
    caps = await shop.ok("POST", "/shop,other/_field_caps", {"fields": ["brand", "stock"]})
    assert caps["indices"] == ["shop", "other"]
    assert caps["fields"]["brand"]["keyword"]["indices"] == ["shop"]
    assert caps["fields"]["brand"]["long"]["indices"] == ["other"]
    assert "indices" not in caps["fields"]["stock"]["integer"]
    assert (await shop.ok("GET", "/shop/_field_caps?fields=size"))["fields"]["size"]["object"]["searchable"] is False


async def test_writes_are_searched_after_a_refresh(shop: Talk) -> None:
    await shop.ok("PUT", "/shop/_settings", {"index": {"refresh_interval": "-1"}})
    await shop.ok("PUT", "/shop/_doc/late", {"title": "late"})
    assert (await shop.ok("GET", "/shop/_doc/late"))["_source"] == {"title": "late"}
    assert await shop.ids({"match": {"title": "late"}}) == []
    await shop.ok("POST", "/_refresh")
    assert await shop.ids({"match": {"title": "late"}}) == ["late"]
    await shop.ok("DELETE", "/shop/_doc/late?refresh=wait_for")
    assert await shop.ids({"match": {"title": "late"}}) == []


async def test_writes_are_searched_after_the_interval_without_a_refresh(shop: Talk) -> None:
    await shop.ok("PUT", "/shop/_settings", {"refresh_interval": "1ms"})
    await shop.ok("PUT", "/shop/_doc/soon", {"title": "soon"})
    for _ in range(200):
        if await shop.ids({"match": {"title": "soon"}}) == ["soon"]:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the document was never found")


def test_a_load_builds_the_index_once_however_many_documents_bring_new_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    builds = []
    build = Index._build
    monkeypatch.setattr(Index, "_build", lambda index: (builds.append(1), build(index))[1])
    index = Index("many", read_settings({"refresh_interval": "-1"}), MAPPINGS)
    for number in range(200):
        index.put(str(number), orjson.dumps({"title": "x", f"field_{number % 50}": number}))
    index.refresh()
    assert len(builds) == 2  # the empty one, and the one with all fields
    assert index.snapshot().searcher.num_docs == 200


async def test_searches_and_writes_at_once(shop: Talk) -> None:
    """No search sees a document without its source, whatever is written meanwhile."""

    async def write(part: int) -> None:
        for number in range(15):
            lines = [{"index": {"_id": f"{number}"}}, {"title": "busy", f"f{part}": number}]
            await _bulk(shop, *lines, path="/shop/_bulk?refresh=true")

    async def search() -> None:
        for _ in range(25):
            answer = await shop.ok("POST", "/shop/_search", {"query": {"match": {"title": "busy"}}, "size": 50})
            assert len(answer["hits"]["hits"]) == answer["hits"]["total"]["value"]

    await asyncio.gather(*(write(part) for part in range(3)), *(search() for _ in range(3)))
    assert len(await shop.ids({"match": {"title": "busy"}})) == 15
