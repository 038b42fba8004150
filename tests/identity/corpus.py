"""What the generated searches run on: indices with ties, gaps, nested objects, routings, vectors and odd numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.e2e.requests import NDJSON, Request, ndjson, request

MAIN = "identity-main"
"""Three shards, several segments, deleted documents, ids that repeat under another routing."""
OLD = "identity-old"
"""One shard, other field types, a small ``max_result_window``, and texts too long to be highlighted."""
BARE = "identity-bare"
"""No ``_source``; the title is a stored field."""
ODD = "identity-odd"
"""Sources that no JSON parser gives back as they stand: 1e400, long numbers, a lone surrogate, line breaks."""
SHOP = "identity-shop"
"""Alias of the first two."""
OPEN = "identity-open"
"""Alias of the first with a filter."""
ROUTED = "identity-routed"
"""Alias of the first with a routing."""

WORDS = ("red", "blue", "green", "shoe", "phone", "case", "bottle", "dress", "charger", "drill", "light", "steel")
BRANDS = ("Acme", "Borealis", "Cumulus", "Dune")
ROUTINGS = ("north", "south")
DIMENSIONS = 4
MAIN_COUNT = 260
OLD_WINDOW = 40
OLD_MAX_OFFSET = 400

_BATCHES = 4
_KEEP_SEGMENTS = {"index.merge.policy.segments_per_tier": 50}
"""Merging in the background would change the order of equal scores between two calls."""


def _mappings(elasticsearch: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}, "copy_to": "everything"},
        "body": {"type": "text", "copy_to": "everything", "term_vector": "with_positions_offsets"},
        "everything": {"type": "text"},
        "brand": {"type": "keyword"},
        "maker_brand": {"type": "alias", "path": "brand"},
        "tags": {"type": "keyword"},
        "code": {"type": "keyword", "ignore_above": 6},
        "sku": {"type": "keyword", "store": True},
        "price": {"type": "double"},
        "stock": {"type": "integer"},
        "available": {"type": "boolean"},
        "added": {"type": "date"},
        "place": {"type": "geo_point"},
        "maker": {"properties": {"name": {"type": "text"}, "country": {"type": "keyword"}}},
        "offers": {
            "type": "nested",
            "properties": {
                "seller": {"type": "keyword"},
                "amount": {"type": "double"},
                "note": {"type": "text"},
            },
        },
        "suggest": {"type": "completion"},
        "extra": {"type": "object", "enabled": False},
    }
    if elasticsearch:
        properties["vector"] = {"type": "dense_vector", "dims": DIMENSIONS, "index": True, "similarity": "cosine"}
    return {"properties": properties}


def setup(elasticsearch: bool) -> Iterator[Request]:
    """Make indices and aliases; ``elasticsearch``: with vectors."""
    yield _index(MAIN, 3, _mappings(elasticsearch))
    old_mappings = {
        "properties": {
            "title": {"type": "text"},
            "body": {"type": "text"},
            "brand": {"type": "keyword"},
            "price": {"type": "long"},
            "added": {"type": "date"},
        }
    }
    old_limits = {"index.max_result_window": OLD_WINDOW, "index.highlight.max_analyzed_offset": OLD_MAX_OFFSET}
    yield _index(OLD, 1, old_mappings, **old_limits)
    bare_properties = {"title": {"type": "text", "store": True}, "price": {"type": "double"}}
    yield _index(BARE, 1, {"_source": {"enabled": False}, "properties": bare_properties})
    odd_properties = {"title": {"type": "text"}, "extra": {"type": "object", "enabled": False}}
    yield _index(ODD, 1, {"properties": odd_properties})
    actions: list[dict[str, Any]] = [{"add": {"index": name, "alias": SHOP}} for name in (MAIN, OLD)]
    actions.append({"add": {"index": MAIN, "alias": OPEN, "filter": {"term": {"available": True}}}})
    actions.append({"add": {"index": MAIN, "alias": ROUTED, "search_routing": ROUTINGS[0]}})
    yield request("POST", "/_aliases", {"actions": actions})
    main = list(_main_documents(elasticsearch))
    step = -(-len(main) // _BATCHES)
    for start in range(0, len(main), step):
        yield _bulk([line for pair in main[start : start + step] for line in pair])
    yield _bulk([{"delete": {"_index": MAIN, "_id": f"m{number}"}} for number in range(3, MAIN_COUNT, 40)])
    yield _bulk([line for pair in (*_old_documents(), *_bare_documents()) for line in pair])
    yield Request("POST", "/_bulk?refresh=true", _odd_documents(), {"Content-Type": NDJSON})


def teardown() -> Iterator[Request]:
    """Leave the engine as it was."""
    yield request("DELETE", f"/{MAIN},{OLD},{BARE},{ODD}?ignore_unavailable=true")


def _index(name: str, shards: int, mappings: dict[str, Any], **more: Any) -> Request:
    settings = {"index.number_of_shards": shards, "index.number_of_replicas": 0, **_KEEP_SEGMENTS, **more}
    return request("PUT", f"/{name}", {"settings": settings, "mappings": mappings})


def _bulk(lines: list[Any]) -> Request:
    return request("POST", "/_bulk?refresh=true", ndjson(*lines), Content_Type=NDJSON)


def _text(chance: random.Random, least: int, most: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(chance.randint(least, most)))


def _main_documents(elasticsearch: bool) -> Iterator[tuple[Any, Any]]:
    chance = random.Random(7)
    for number in range(MAIN_COUNT):
        action: dict[str, Any] = {"_index": MAIN, "_id": f"m{number}"}
        if number % 3 == 0:
            action["routing"] = ROUTINGS[number // 3 % 2]
        if number % 33 == 6:
            # The id of another document, which its routing puts on a shard of its own.
            action = {"_index": MAIN, "_id": f"m{number - 5}", "routing": ROUTINGS[number % 2]}
        document: dict[str, Any] = {
            "title": _text(chance, 1, 4),
            "body": _text(chance, 5, 60).capitalize() + ". " + _text(chance, 3, 20) + " ÜBER <b>\U0001f600</b>",
            "brand": chance.choice(BRANDS),
            "tags": sorted({chance.choice(WORDS) for _ in range(3)}),
            "code": "x" * chance.randint(3, 9),
            "sku": f"sku-{number}",
            "price": round(chance.uniform(1, 90), 2),
            "stock": chance.randint(0, 9),
            "available": chance.random() < 0.6,
            "added": f"2026-{1 + number % 12:02}-{1 + number % 28:02}T0{number % 10}:00:00Z",
            "place": {"lat": round(chance.uniform(48, 53), 3), "lon": round(chance.uniform(7, 13), 3)},
            "maker": {"name": _text(chance, 1, 2), "country": chance.choice(("de", "fr", "it"))},
            "offers": [
                {"seller": chance.choice(BRANDS), "amount": chance.randint(1, 50), "note": _text(chance, 1, 5)}
                for _ in range(chance.randint(0, 3))
            ],
            "suggest": {"input": [_text(chance, 1, 2)], "weight": chance.randint(1, 30)},
            "extra": {"note": _text(chance, 1, 2), "n": number},
        }
        if elasticsearch:
            document["vector"] = [round(chance.uniform(0.1, 1), 3) for _ in range(DIMENSIONS)]
        for name in document.copy():
            # Some have no title, some no body, some lack other fields; many titles are one word: ties.
            if chance.random() < 0.06:
                del document[name]
        yield {"index": action}, document


def _old_documents() -> Iterator[tuple[Any, Any]]:
    chance = random.Random(8)
    for number in range(90):
        length = 120 if number % 15 == 0 else 20
        document = {
            "title": _text(chance, 1, 3),
            "body": _text(chance, 3, length),
            "brand": chance.choice(BRANDS),
            "price": number,
            "added": f"2025-{1 + number % 12:02}-01",
        }
        yield {"index": {"_index": OLD, "_id": f"m{number}"}}, document


def _bare_documents() -> Iterator[tuple[Any, Any]]:
    chance = random.Random(9)
    for number in range(40):
        yield {"index": {"_index": BARE, "_id": str(number)}}, {"title": _text(chance, 1, 3), "price": number}


def _odd_documents() -> bytes:
    chance = random.Random(10)
    lines = []
    for number in range(30):
        title = json.dumps(_text(chance, 1, 3))
        extra = ("1.10", "1e400", "12345678901234567890123", '"\\ud83d\\ude00"', '"\\/"', '"\\ud800"')[number % 6]
        if number % 6 == 5 and number > 5:
            extra = "-0.0"
        source = f'{{"title" :\t{title},  "extra":{{"b":{extra} ,"a":[ ]}}, "label.dotted": "x"}}'
        lines += [json.dumps({"index": {"_index": ODD, "_id": str(number)}}), source]
    return ("\n".join(lines) + "\n").encode()
