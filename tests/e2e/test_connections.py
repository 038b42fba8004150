"""One client's request must not spoil a connection to the engine for the next one's."""

from __future__ import annotations

import json

import pytest

from proxy.settings import Rule
from tests.engines import Engine
from tests.support import ask
from tests.support_shop import JSON, proxy_for, shop

pytestmark = pytest.mark.engine

TOO_LONG = {**JSON, "X-Long": "x" * 17_000}
"""More than either engine takes of headers: Elasticsearch says so, and reads nothing more on the connection."""
BODY = json.dumps({"query": {"match": {"title": "red"}}}).encode()


@pytest.mark.parametrize("api", ["_search", "_count"])
def test_a_request_that_the_engine_cannot_read_is_refused_and_the_next_one_answered(engine: Engine, api: str) -> None:
    with shop(engine.url, "connections") as index, proxy_for(engine.url, Rule(target="*", budget_ms=600_000)) as proxy:
        path = f"/{index}/{api}"
        direct, through = (ask(url, "POST", path, BODY, TOO_LONG) for url in (engine.url, proxy.url))
        assert (direct.status, direct.body) == (through.status, through.body)
        assert direct.status == 400
        for _ in range(3):  # whichever connection is taken
            assert ask(proxy.url, "POST", path, BODY, JSON).status == 200
