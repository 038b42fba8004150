"""HTTP: types, compression, limits, routes, the command line."""

from __future__ import annotations

import asyncio
import gzip
import signal
import socket
import sys

import aiohttp
import orjson
import pytest

from proxy.embedded import server as server_module
from proxy.embedded import start_embedded
from tests.embedded.conftest import Talk


async def test_each_answer_names_the_product(shop: Talk) -> None:
    for method, path in (
        ("GET", "/"),
        ("GET", "/nothing"),
        ("HEAD", "/shop"),
        ("PUT", "/_x"),
        ("POST", "/shop/_search?x=1"),
    ):
        answer, _ = await shop.raw(method, path, headers={"X-Opaque-Id": "me"})
        assert answer.headers["X-elastic-product"] == "Elasticsearch"
        assert answer.headers["X-Opaque-Id"] == "me"


async def test_heads_have_no_body(shop: Talk) -> None:
    for path, status in (("/", 200), ("/shop", 200), ("/nothing", 404), ("/shop/_doc/1", 200), ("/shop/_doc/99", 404)):
        answer, body = await shop.raw("HEAD", path)
        assert (answer.status, body) == (status, b"")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_no_such_api", 400),
        ("GET", "/shop/_no_such_api", 400),
        ("PUT", "/_no_such_api", 400),
        ("GET", "//shop/_search", 400),
        ("GET", "/shop/%5Fsearch", 400),
        ("DELETE", "/shop/_search", 405),
        ("PATCH", "/shop/_doc/1", 405),
    ],
)
async def test_unknown_routes(shop: Talk, method: str, path: str, status: int) -> None:
    got, content = await shop(method, path)
    assert got == status == content["status"]
    assert path in content["error"]


async def test_a_wrong_method_is_told_the_right_ones(shop: Talk) -> None:
    answer, _ = await shop.raw("DELETE", "/shop/_count")
    assert answer.headers["Allow"] == "GET,POST"


async def test_unknown_index(talk: Talk) -> None:
    for path in (
        "/nothing/_search",
        "/nothing/_count",
        "/nothing/_mapping",
        "/nothing/_doc/1",
        "/nothing/_field_caps?fields=*",
    ):
        kind, reason = await talk.refusal("GET", path, status=404)
        assert (kind, "[nothing]" in reason) == ("index_not_found_exception", True)
    assert (await talk.refusal("DELETE", "/nothing", status=404))[0] == "index_not_found_exception"
    assert await talk.ok("DELETE", "/nothing?ignore_unavailable=true") == {"acknowledged": True}
    assert (await talk.refusal("DELETE", "/*"))[0] == "illegal_argument_exception"


@pytest.mark.parametrize("name", ["Upper", "+plus", "with%20space", "a%2Fb", "a,b", "x" * 256])
async def test_names_that_no_index_may_have(talk: Talk, name: str) -> None:
    assert (await talk.refusal("PUT", f"/{name}", {}))[0] == "invalid_index_name_exception"


async def test_an_index_is_made_once(shop: Talk) -> None:
    assert (await shop.refusal("PUT", "/shop", {}))[0] == "resource_already_exists_exception"
    _, reason = await shop.refusal("PUT", "/more", {"settings": {"index": {"analysis": {"analyzer": {"a": 1}}}}})
    assert "analysis.analyzer.a" in reason
    _, reason = await shop.refusal("PUT", "/more", {"aliases": {}})
    assert "[aliases]" in reason


async def test_ids_may_hold_anything(talk: Talk) -> None:
    for quoted, plain in (
        ("a%2Fb%20c", "a/b c"),
        ("%C3%A9t%C3%A9", "été"),
        ("line%0Abreak", "line\nbreak"),
        ("_search", "_search"),
    ):
        answer, _ = await talk.raw("PUT", f"/shop/_doc/{quoted}?refresh=true", b"{}")
        assert (answer.status, answer.headers["Location"]) == (201, f"/shop/_doc/{quoted}")
        assert (await talk.ok("GET", f"/shop/_doc/{quoted}"))["_id"] == plain
        assert await talk.ids({"ids": {"values": [plain]}}) == [plain]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/shop/_search?no_such=1", "[no_such]"),
        ("/shop/_search?explain=true", "[explain]"),
        ("/shop/_search?version", "[version]"),
        ("/shop/_search?filter_path=took", "[filter_path]"),
        ("/shop/_search?size=", "[size]"),
        ("/shop/_search?pretty=maybe", "[pretty]"),
        ("/shop/_search?format=yaml", "[format=yaml]"),
        ("/shop/_search?q=%5B", "[[]"),
        ("/shop/_field_caps", "[fields]"),
    ],
)
async def test_bad_parameters_are_named(shop: Talk, path: str, named: str) -> None:
    _, reason = await shop.refusal("GET", path)
    assert named in reason


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 406),
        ({"Content-Type": "application/yaml"}, 406),
        ({"Accept": "application/yaml"}, 400),
        ({"Content-Type": "application/vnd.elasticsearch+json;compatible-with=7"}, 400),
        ({"Accept": "application/vnd.elasticsearch+json;compatible-with=10"}, 400),
        ({"Accept": "text/html, */*"}, 200),
        ({"Content-Type": "application/x-ndjson; charset=utf-8"}, 200),
    ],
)
async def test_content_types(shop: Talk, headers: dict[str, str], status: int) -> None:
    answer, body = await shop.raw("POST", "/shop/_search", b'{"size":1}', headers)
    assert (answer.status, "error" in orjson.loads(body)) == (status, status != 200)


async def test_compression_both_ways(shop: Talk) -> None:
    lines = b'{"index":{"_id":"z"}}\n{"title":"zipped"}\n'
    zipped = gzip.compress(lines[:10]) + gzip.compress(lines[10:])
    headers = {"Content-Encoding": "gzip"}
    answer, body = await shop.raw("POST", "/shop/_bulk?refresh=true", zipped, headers)
    assert (answer.status, orjson.loads(body)["errors"]) == (200, False)
    assert await shop.ids({"match": {"title": "zipped"}}) == ["z"]
    for accepted, sent in (("gzip, deflate", "gzip"), ("identity", None), ("gzip;q=0", None)):
        answer, body = await shop.raw("GET", "/shop/_search", headers={"Accept-Encoding": accepted})
        assert answer.headers.get("Content-Encoding") == sent
        assert orjson.loads(body)["hits"]["total"]["value"] == 6
    for broken in (b"no gzip", zipped[:-4]):
        answer, body = await shop.raw("POST", "/shop/_bulk", broken, headers)
        assert answer.status == 400
        assert "gzip" in orjson.loads(body)["error"]["reason"]


async def test_too_big_a_body_is_refused(shop: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_BODY_BYTES", 10_000)
    small, big = gzip.compress(b" " * 10_000), gzip.compress(b" " * 10_001)
    for body, headers, status in (
        (b" " * 10_000, {}, 200),
        (b" " * 10_001, {}, 413),
        (small, {"Content-Encoding": "gzip"}, 200),
        (big, {"Content-Encoding": "gzip"}, 413),
        (big + small, {"Content-Encoding": "gzip"}, 413),
    ):
        answer, content = await shop.raw("POST", "/shop/_search", body, headers)
        assert (answer.status, len(content) > 0) == (status, True)


async def test_pretty_answers_keep_the_source(shop: Talk) -> None:
    await shop.raw("PUT", "/shop/_doc/raw", b'{"price": 1.10}')
    _, body = await shop.raw("GET", "/shop/_doc/raw?pretty")
    assert b'\n  "_id": "raw"' in body
    assert b"1.10" in body


async def test_cat_indices(shop: Talk) -> None:
    _, body = await shop.raw("GET", "/_cat/indices/sh*?h=index,docs.count&v")
    assert body == b"index docs.count\nshop  5\n"
    (row,) = await shop.ok("GET", "/_cat/indices?format=json")
    assert (row["index"], row["docs.count"], row["health"]) == ("shop", "5", "green")


async def test_settings_are_shown_and_changed(shop: Talk) -> None:
    await shop.ok(
        "PUT", "/shop/_settings", {"index.query.default_field": ["brand"], "index": {"max_result_window": 20}}
    )
    shown = await shop.ok("GET", "/shop/_settings/index.query.*")
    assert shown == {"shop": {"settings": {"index": {"query": {"default_field": ["brand"]}}}}}
    assert await shop.ids({"query_string": {"query": "Acme"}}, size=20) == ["1", "3", "5"]
    assert await shop.ids({"query_string": {"query": "phone"}}, size=20) == []
    await shop.refusal("POST", "/shop/_search", {"size": 21})
    await shop.ok("PUT", "/shop/_settings", {"max_result_window": None})
    await shop.ok("POST", "/shop/_search", {"size": 21})
    for settings in ({"no_such": 1}, {"number_of_shards": 3}, {"refresh_interval": "soon"}):
        await shop.refusal("PUT", "/shop/_settings", settings)


async def test_close_frees_the_port() -> None:
    server = await start_embedded()
    await server.close()
    port = int(server.url.rpartition(":")[2])
    again = await start_embedded(port=port)
    try:
        async with aiohttp.ClientSession() as session, session.get(again.url) as answer:
            assert answer.status == 200
        with pytest.raises(OSError, match=str(port)):
            await start_embedded(port=port)
    finally:
        await again.close()


async def test_command_line() -> None:
    command = [sys.executable, "-m", "proxy.embedded", "--port", "0"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        url = line.partition("http://")[2].partition(";")[0]
        async with aiohttp.ClientSession() as session, session.get(f"http://{url}/_cluster/health") as answer:
            assert (await answer.json())["status"] == "green"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_command_line_tells_of_a_taken_port_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "proxy.embedded", "--port", port]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, told = await process.communicate()
    assert process.returncode == 1
    assert told.decode().count("\n") == 1
    assert port in told.decode()
