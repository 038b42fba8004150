"""UBI indices of a real engine are read whole, over several pages, however they are mapped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engines import Engine
from tests.support import ask
from tests.train_data.conftest import SCRIPTS
from tests.train_data.simulation import simulate
from training import ubi, ubi_cluster
from training.options import Options

pytestmark = pytest.mark.engine

KEYWORD = {"type": "keyword"}
QUERIES_AS_THE_PLUGIN_MAPS_THEM = {
    "dynamic": False,
    "properties": {
        "timestamp": {"type": "date"},
        "query_id": KEYWORD,
        "query_response_hit_ids": KEYWORD,
        "user_query": {"type": "text"},
        "client_id": KEYWORD,
    },
}
EVENTS_AS_THE_PLUGIN_MAPS_THEM = {"properties": {"action_name": KEYWORD, "timestamp": {"type": "date"}}}


def put(engine: Engine, index: str, records: list[dict[str, Any]], mappings: dict[str, Any] | None) -> None:
    body = {"settings": {"number_of_shards": 2, "number_of_replicas": 0}} | ({"mappings": mappings} if mappings else {})
    headers = {"Content-Type": "application/json"}
    ask(engine.url, "DELETE", f"/{index}")
    assert ask(engine.url, "PUT", f"/{index}", json.dumps(body).encode(), headers).status == 200
    lines = "".join(f'{{"index":{{}}}}\n{json.dumps(record)}\n' for record in records)
    answer = ask(engine.url, "POST", f"/{index}/_bulk?refresh=true", lines.encode(), headers)
    assert not json.loads(answer.body)["errors"]


def options(engine: Engine, **given: Any) -> Options:
    values = {"url": engine.url, "min_impressions": 1, **given}
    return Options(values, values, "test")


@pytest.mark.parametrize("mapped", [True, False])
def test_indices_say_what_files_say(engine: Engine, tmp_path: Path, mapped: bool) -> None:
    queries, events = simulate(seed=61, searches=2500, queries=3).records()
    noise = [{**events[0], "action_name": "hover"}] * 50
    put(engine, "ubi_queries", queries, QUERIES_AS_THE_PLUGIN_MAPS_THEM if mapped else None)
    put(engine, "ubi_events", events + noise, EVENTS_AS_THE_PLUGIN_MAPS_THEM if mapped else None)
    said: list[str] = []
    read = ubi.read_log(options(engine), said.append)
    assert len(read.searches) == 2500 > 2 * ubi_cluster.PAGE
    assert len(read.events) == len(events) > ubi_cluster.PAGE
    assert said == []
    for name, records in (("q", queries), ("e", events)):
        (tmp_path / name).write_text(json.dumps(records))
    files = {"queries": tmp_path / "q", "events": tmp_path / "e", "min_impressions": 1}
    of_files = Options(files, files, "test")
    wanted = ubi.judge(ubi.read_log(of_files, said.append), ubi.settings(of_files), said.append)
    found = ubi.judge(read, ubi.settings(options(engine)), said.append)
    assert found.propensities.by_rank == pytest.approx(wanted.propensities.by_rank)
    assert [(pair.query, pair.document_id, pair.level, pair.clicks) for pair in found.pairs] == [
        (pair.query, pair.document_id, pair.level, pair.clicks) for pair in wanted.pairs
    ]
    late = ubi.read_log(options(engine, since="2026-01-01T00:30:00Z"), said.append)
    assert len(late.searches) == 2500 - 1800
    assert said == []


def test_the_command_on_a_cluster(engine: Engine, tmp_path: Path) -> None:
    queries, events = simulate(seed=62, searches=600, queries=2).records()
    put(engine, "shop_queries", queries, None)
    put(engine, "shop_events", events, None)
    command = [sys.executable, str(SCRIPTS / "ubi_judgements.py"), "--url", engine.url]
    command += ["--queries-index", "shop_queries", "--events-index", "shop_events", "--out", str(tmp_path / "o.csv")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout.splitlines()[0][:10]) == (0, "2 queries,")
    assert (tmp_path / "o.csv").read_text().startswith("query_id,query,document_id,grade,relevance,")
    absent = subprocess.run(
        [*command, "--events-index", "absent_events"], capture_output=True, text=True, timeout=120, check=False
    )
    assert absent.returncode == 2
    assert len(absent.stderr.splitlines()) == 1
    assert f"{engine.url}: the index 'absent_events' cannot be read: " in absent.stderr


def test_no_scroll_stays_open(engine: Engine) -> None:
    """Neither at the end nor where reading is given up: a scroll holds files and memory of the engine."""
    put(engine, "many", [{"query_id": str(number), "user_query": "lamp"} for number in range(2100)], None)
    where = options(engine, queries_index="many")
    assert len(list(ubi_cluster.read(where, ["click"], None)[0])) == 2100
    stopped = ubi_cluster.read(where, ["click"], None)[0]
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    stats = json.loads(ask(engine.url, "GET", "/many/_stats/search").body)
    assert stats["_all"]["primaries"]["search"]["scroll_current"] == 0
