"""The sample catalogue is whole: ids, judgements, and everything that a plain BM25 search would show is judged."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

import proxy

DATA = Path(proxy.__file__).parent / "demo" / "data"
FIELDS = {"id", "title", "brand", "color", "category", "price", "bullets", "description", "stars", "ratings"}


@pytest.fixture(scope="module")
def products() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / "products.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def queries() -> dict[str, str]:
    rows = [line.split("\t") for line in (DATA / "queries.tsv").read_text(encoding="utf-8").splitlines()]
    assert len({qid for qid, _ in rows}) == len(rows)
    return dict(rows)


@pytest.fixture(scope="module")
def qrels() -> dict[str, dict[str, int]]:
    judged: dict[str, dict[str, int]] = {}
    for line in (DATA / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        qid, zero, docid, grade = line.split()
        assert zero == "0"
        assert docid not in judged.setdefault(qid, {}), f"{qid} {docid} is judged twice"
        judged[qid][docid] = int(grade)
    return judged


def bm25(texts: dict[str, str], query: str, depth: int) -> list[str]:
    """Ids of the ``depth`` best texts for ``query`` (Okapi BM25 as in Lucene: k1 1.2, b 0.75, lower-cased words)."""
    bags = {docid: Counter(re.findall(r"\w+", text.lower())) for docid, text in texts.items()}
    lengths = {docid: sum(bag.values()) for docid, bag in bags.items()}
    average = sum(lengths.values()) / len(lengths)
    scores: defaultdict[str, float] = defaultdict(float)
    for word in re.findall(r"\w+", query.lower()):
        holders = [docid for docid, bag in bags.items() if word in bag]
        weight = math.log(1 + (len(bags) - len(holders) + 0.5) / (len(holders) + 0.5))
        for docid in holders:
            count = bags[docid][word]
            scores[docid] += weight * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * lengths[docid] / average))
    return sorted(scores, key=lambda docid: (-scores[docid], docid))[:depth]


def test_products_are_complete(products: list[dict[str, Any]]) -> None:
    assert len(products) >= 360
    assert len({product["id"] for product in products}) == len(products)
    for product in products:
        assert set(product) == FIELDS, product["id"]
        assert 2 <= len(product["bullets"]) <= 4, product["id"]
        assert all(
            product[name].strip() == product[name] != "" for name in FIELDS - {"price", "bullets", "stars", "ratings"}
        )
        assert product["price"] > 0
        assert 1 <= product["stars"] <= 5
        assert isinstance(product["ratings"], int)


def test_titles_are_not_repeated(products: list[dict[str, Any]]) -> None:
    titles = Counter(product["title"].lower() for product in products)
    assert titles.most_common(1)[0][1] == 1


def test_departments(products: list[dict[str, Any]]) -> None:
    departments = Counter(product["category"] for product in products)
    assert len(departments) >= 12
    assert min(departments.values()) >= 15


def test_brands_are_those_of_the_list(products: list[dict[str, Any]]) -> None:
    listed = (DATA / "brands.txt").read_text(encoding="utf-8").splitlines()
    assert listed == sorted(set(listed))
    assert {product["brand"] for product in products} == set(listed)


def test_queries(queries: dict[str, str]) -> None:
    assert len(queries) >= 45
    assert len(set(queries.values())) == len(queries)
    assert "phone case without card holder" in queries.values()


def test_judgements_name_what_exists(
    products: list[dict[str, Any]], queries: dict[str, str], qrels: dict[str, dict[str, int]]
) -> None:
    assert set(qrels) == set(queries)
    ids = {product["id"] for product in products}
    for qid, judged in qrels.items():
        assert set(judged) <= ids, qid
        assert set(judged.values()) <= {0, 1, 2, 3}, qid
        assert {0, 3} <= set(judged.values()), f"{qid} needs at least one product of grade 3 and one of grade 0"


def test_the_first_20_of_bm25_are_judged(
    products: list[dict[str, Any]], queries: dict[str, str], qrels: dict[str, dict[str, int]]
) -> None:
    whole = {
        product["id"]: " ".join([product["title"], product["brand"], *product["bullets"], product["description"]])
        for product in products
    }
    titles = {product["id"]: product["title"] for product in products}
    for qid, query in queries.items():
        for texts in (whole, titles):
            assert set(bm25(texts, query, 20)) <= set(qrels[qid]), f"{qid} {query}"


def test_bm25_leaves_room_for_a_better_order(
    products: list[dict[str, Any]], queries: dict[str, str], qrels: dict[str, dict[str, int]]
) -> None:
    """The catalogue has its point: for many queries the first BM25 hit is not of the best grade."""
    whole = {
        product["id"]: " ".join([product["title"], product["brand"], *product["bullets"], product["description"]])
        for product in products
    }
    missed = [qid for qid, query in queries.items() if qrels[qid][bm25(whole, query, 1)[0]] < 3]
    assert len(missed) >= 10


def test_the_readme_counts_what_is_there(
    products: list[dict[str, Any]], queries: dict[str, str], qrels: dict[str, dict[str, int]]
) -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    departments = len({product["category"] for product in products})
    assert f"{len(products)} products in {departments} departments" in readme
    assert f"{len(queries)} queries" in readme
    assert f"{sum(map(len, qrels.values())):,} judgements" in readme
