"""The official clients through the proxy, as their users use them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import opensearchpy
import pytest

from proxy.scorer.cache import MemoryScoreCache
from proxy.scorer.dummy import DummyModel
from proxy.scorer.pool import ThreadScorer
from proxy.settings import Listen, Settings
from tests.e2e.client_script import INDEX, QUERY, actions, check_search
from tests.engines import Engine, cache_folder
from tests.support import ProxyThread

pytestmark = pytest.mark.engine


def dummy_scorer() -> ThreadScorer:
    return ThreadScorer({"base": DummyModel}, MemoryScoreCache(1000), 2)


@pytest.fixture(scope="module")
def proxy(engine: Engine) -> Iterator[ProxyThread]:
    settings = Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0))
    with ProxyThread(settings, dummy_scorer) as running:
        yield running


def client_8() -> str:
    """Install the client of version 8 into a folder of its own: the versions need different transports."""
    folder = cache_folder() / "elasticsearch-8"
    if not (folder / "elasticsearch").is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(folder)]
        subprocess.run([*command, "elasticsearch[async]>=8,<9"], check=True, timeout=240)
    return str(folder)


def test_elasticsearch_client(engine: Engine, proxy: ProxyThread) -> None:
    """The client of the engine's own major version: each sends its version in every content type."""
    if not engine.is_elasticsearch:
        pytest.skip("not for OpenSearch, which has a client of its own, tested below")
    environment = dict(os.environ)
    if engine.name == "es8":
        environment["PYTHONPATH"] = client_8()
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("client_script.py")), proxy.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert f"checked with the client {engine.name[-1]}." in ran.stdout


def test_opensearch_client(engine: Engine, proxy: ProxyThread) -> None:
    if engine.is_elasticsearch:
        pytest.skip("not for Elasticsearch, which has clients of its own, tested above")
    client = opensearchpy.OpenSearch(proxy.url, http_compress=True)
    client.indices.delete(index=INDEX, ignore=[404])
    client.indices.create(index=INDEX)
    opensearchpy.helpers.bulk(client, actions(), refresh=True)
    check_search(client.search(index=INDEX, body={"query": QUERY})["hits"]["hits"])
    assert client.info()["version"]["distribution"] == "opensearch"
    with pytest.raises(opensearchpy.NotFoundError):
        client.search(index="not-there", body={"query": QUERY})
    client.close()


async def test_async_opensearch_client(engine: Engine, proxy: ProxyThread) -> None:
    if engine.is_elasticsearch:
        pytest.skip("not for Elasticsearch, which has clients of its own, tested above")
    async with opensearchpy.AsyncOpenSearch(proxy.url) as client:
        await client.indices.delete(index=INDEX, ignore=[404])
        await client.indices.create(index=INDEX)
        await opensearchpy.helpers.async_bulk(client, actions(), refresh=True)
        check_search((await client.search(index=INDEX, body={"query": QUERY}))["hits"]["hits"])
