"""The loader as a command: on real engines, on an engine that is busy, and where nothing answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.engines import Engine
from tests.engines.esci import esci_dir, load_esci
from tests.support import ask

PRODUCTS = [{"asin": f"A{number}", "title": f"shoe {number}", "price": number} for number in range(30)]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "esci_loader", "--quiet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def products(tmp_path: Path) -> Path:
    path = tmp_path / "products.jsonl"
    path.write_text("".join(json.dumps(product) + "\n" for product in PRODUCTS))
    return path


def count(engine: Engine, index: str) -> int:
    found: int = json.loads(ask(engine.url, "GET", f"/{index}/_count").body)["count"]
    return found


@pytest.mark.engine
def test_load_on_a_real_engine(engine: Engine, products: Path) -> None:
    where = ["--url", engine.url, "--index", "small", "--analyzer", "standard"]
    first = run(*where, "--recreate", str(products))
    assert (first.returncode, first.stderr) == (0, "")
    assert "30 products indexed, 0 rejected" in first.stdout
    assert count(engine, "small") == 30
    got = json.loads(ask(engine.url, "GET", "/small/_doc/A7").body)
    assert got["_source"] == {"asin": "A7", "title": "shoe 7", "price": 7.0, "locale": "us"}
    again = run(*where, str(products))
    assert again.returncode == 2
    assert "exists already" in again.stderr
    appended = run(*where, "--append", str(products))
    assert appended.returncode == 0
    assert count(engine, "small") == 30  # ids are ASINs: nothing is doubled
    mapping = json.loads(ask(engine.url, "GET", "/small/_mapping").body)["small"]["mappings"]["properties"]
    assert mapping["brand"]["fields"]["keyword"]["type"] == "keyword"
    assert mapping["price"]["type"] == "float"


@pytest.mark.engine
def test_rejected_documents_are_counted_and_shown(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "products.jsonl"
    path.write_text('{"asin": "A1", "title": "fine"}\n{"asin": "A2", "ratings": 99999999999}\n{bad\n')
    ran = run("--url", engine.url, "--index", "rejecting", "--analyzer", "standard", "--recreate", str(path))
    assert ran.returncode == 1
    assert "1 products indexed, 1 rejected, 1 unreadable" in ran.stdout
    assert f"{path}:3: no JSON" in ran.stderr
    assert "rejected with 400" in ran.stderr


@pytest.mark.engine
def test_an_unknown_analyzer_is_one_line(engine: Engine, products: Path) -> None:
    ran = run("--url", engine.url, "--index", "no-analyzer", "--analyzer", "klingon", str(products))
    assert ran.returncode == 2
    assert ran.stderr == "esci_loader: the engine has no analyzer 'klingon'; every engine has `--analyzer standard`\n"


@pytest.mark.engine
@pytest.mark.esci
def test_the_whole_slice(engine: Engine) -> None:
    load_esci(engine)
    assert count(engine, "esci") == 6764


@pytest.mark.esci
def test_qrels_of_the_official_examples(tmp_path: Path) -> None:
    examples = esci_dir() / "official" / "shopping_queries_dataset_examples.parquet"
    out, queries = tmp_path / "qrels.tsv", tmp_path / "queries.tsv"
    command = [sys.executable, "-m", "esci_loader", "qrels", str(examples), "--split", "test"]
    ran = subprocess.run([*command, "--out", str(out), "--queries", str(queries)], timeout=60, check=False)
    assert ran.returncode == 0
    judged = {
        json.loads(line)["query"]: json.loads(line)["labels"]
        for line in (esci_dir() / "judgments.dev.jsonl").read_text().splitlines()
    }
    texts = dict(line.split("\t") for line in queries.read_text().splitlines())
    assert set(texts.values()) == set(judged)
    grades = {"E": "3", "S": "2", "C": "1", "I": "0"}
    rows = [line.split("\t") for line in out.read_text().splitlines()]
    assert sorted((texts[qid], asin, grade) for qid, _, asin, grade in rows) == sorted(
        (query, asin, grades[label]) for query, labels in judged.items() for asin, label in labels.items()
    )


class BusyEngine:
    """Says 429 to the first bulk, and to one document of the second."""

    def __init__(self) -> None:
        self.bulks: list[list[str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {"X-elastic-product": "Elasticsearch"}
        if not request.path.endswith("_bulk"):
            return web.json_response({}, headers=headers, status=404 if request.method == "HEAD" else 200)
        lines = [json.loads(line) for line in (await request.text()).splitlines()]
        ids = [line["index"]["_id"] for line in lines[::2]]
        self.bulks.append(ids)
        if len(self.bulks) == 1:
            return web.json_response({"error": "busy", "status": 429}, status=429, headers=headers)
        busy = ids[0] if len(self.bulks) == 2 else None
        items: list[dict[str, Any]] = [{"index": {"_id": one, "status": 429 if one == busy else 201}} for one in ids]
        return web.json_response({"errors": busy is not None, "items": items}, headers=headers)


@pytest.fixture
async def busy() -> AsyncIterator[tuple[BusyEngine, str]]:
    engine = BusyEngine()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", engine.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield engine, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_back_off_on_429_loses_nothing(busy: tuple[BusyEngine, str], products: Path) -> None:
    from esci_loader.client import Access, connect
    from esci_loader.load import load

    engine, url = busy
    client = await connect(Access(url))
    try:
        report = await load(client, "esci", [products], "us", quiet=True)
    finally:
        await client.close()
    assert (report.indexed, report.rejected, report.complete) == (30, 0, True)
    assert engine.bulks[0] == engine.bulks[1]
    assert engine.bulks[2] == engine.bulks[1][:1]


def test_nothing_answers(products: Path) -> None:
    ran = run("--url", "http://127.0.0.1:9", str(products))
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "http://127.0.0.1:9" in ran.stderr
