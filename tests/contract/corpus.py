"""The indices that the rows ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.engines import Engine
from tests.support import ask
from tests.support_shop import NDJSON, send, title

INDEX = "contract-shop"
OTHER = "contract-other"
PIPELINE = "contract-pipeline"


@contextmanager
def corpus(engine: Engine) -> Iterator[None]:
    """Make the indices, the alias and on OpenSearch the pipeline; delete them at the end."""
    properties: dict[str, Any] = {
        "title": {"type": "text", "store": True},
        "n": {"type": "integer"},
        "kind": {"type": "keyword"},
        "parts": {"type": "nested", "properties": {"name": {"type": "text"}}},
    }
    if engine.is_elasticsearch:
        properties["v"] = {"type": "dense_vector", "dims": 2}
    for index in (INDEX, OTHER):
        settings = {"number_of_shards": 1, "number_of_replicas": 0}
        made = send(engine.url, "PUT", f"/{index}", {"settings": settings, "mappings": {"properties": properties}})
        assert made.status == 200, made.body
        lines: list[dict[str, Any]] = []
        for number in range(40):
            document = {
                "title": title(number),
                "n": number,
                "kind": f"k{number % 7}",
                "parts": [{"name": "sole"}, {"name": f"lace {number}"}],
                "v": [1 + number, 2],
            }
            lines += [{"index": {"_id": str(number)}}, document]
        encoded = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        bulk = ask(engine.url, "POST", f"/{index}/_bulk?refresh=true", encoded, NDJSON)
        assert json.loads(bulk.body)["errors"] is False, bulk.body[:500]
    aliased = {"actions": [{"add": {"index": INDEX, "alias": "contract-alias"}}]}
    assert send(engine.url, "POST", "/_aliases", aliased).status == 200
    if not engine.is_elasticsearch:
        made = send(engine.url, "PUT", f"/_search/pipeline/{PIPELINE}", {"description": "of no processors"})
        assert made.status == 200, made.body
    try:
        yield
    finally:
        if not engine.is_elasticsearch:
            ask(engine.url, "DELETE", f"/_search/pipeline/{PIPELINE}")
        for index in (INDEX, OTHER):
            ask(engine.url, "DELETE", f"/{index}")
