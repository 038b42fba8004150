"""Relevance on the ESCI dev queries with the bundled model: better than the engine, without any configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import main
from proxy.settings import Listen, Rule, Settings
from tests.engines import Engine
from tests.engines.esci import esci_dir, load_esci
from tests.support import ProxyThread

pytestmark = [pytest.mark.engine, pytest.mark.esci]

GENEROUS_MS = 600_000


@pytest.fixture(scope="module")
def proxy(engine: Engine) -> Iterator[ProxyThread]:
    if engine.name in ("es8", "os3"):
        pytest.skip(f"not for {engine.title}: the order of the hits is that of the version beside it")
    load_esci(engine)
    rule = Rule(budget_ms=GENEROUS_MS)  # all else is what a user gets who configures nothing
    with ProxyThread(Settings(upstream=(engine.url,), listen=Listen("127.0.0.1", 0), rules=(rule,))) as running:
        yield running


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fields", ["title", "title^2,bullets,description"])
def test_dev_queries_get_better(engine: Engine, proxy: ProxyThread, fields: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    status = main(
        [
            "evaluate",
            *("--url", proxy.url, "--engine", engine.url, "--index", "esci", "--fields", fields),
            *("--judgments", str(esci_dir() / "judgments.dev.jsonl"), "--json", str(report)),
        ]
    )
    assert status == 0
    measured: dict[str, Any] = json.loads(report.read_text())
    ndcg = next(line for line in measured["lines"] if line["measure"].startswith("nDCG"))
    assert ndcg["proxy"] > ndcg["engine"]
    answers = measured["outcomes"]
    assert answers["full"] >= 0.95 * sum(answers.values())
