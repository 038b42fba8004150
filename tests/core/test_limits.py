"""What forbids or bounds a wider search."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from proxy.core.limits import (
    Unreadable,
    knn_without_k,
    lenient_int,
    rescore_window,
    retriever_limit,
    retriever_window,
    sort_keeps_score_order,
    url_int,
)
from proxy.core.messages import Reason


@pytest.mark.parametrize(
    ("value", "read"),
    [(5, 5), ("2", 2), (2.7, 2), ("2.7", 2), ("1e1", 10), (1e1, 10), (-3, -3), (-0.9, 0), (" 4 ", 4), (10**30, 10**30)],
)
def test_whole_numbers_of_a_body(value: object, read: int) -> None:
    assert lenient_int(value) == read


@pytest.mark.parametrize(
    "value", [None, True, [], {}, "", "ten", "1_0", "\uff11", "0x1", "nan", "inf", "1e999", float("inf"), float("nan")]
)
def test_no_whole_numbers_of_a_body(value: object) -> None:
    with pytest.raises(Unreadable):
        lenient_int(value)


@pytest.mark.parametrize(("value", "read"), [("0", 0), ("10", 10), ("+5", 5), ("-1", -1), ("007", 7)])
def test_whole_numbers_of_the_url(value: str, read: int) -> None:
    assert url_int(value) == read


@pytest.mark.parametrize("value", ["", " 5", "2.7", "1e1", "1_0", "\uff11", "ten", "9" * 5000])
def test_no_whole_numbers_of_the_url(value: str) -> None:
    with pytest.raises(Unreadable):
        url_int(value)


@pytest.mark.parametrize(
    ("body_sort", "url_sort", "kept"),
    [
        (None, None, True),
        ([], None, True),
        ({}, None, True),
        (None, "", True),
        ("_score", None, True),
        (["_score"], None, True),
        ([{"_score": "desc"}], None, True),
        ([{"_score": {"order": "desc"}}, {"price": "asc"}], None, True),
        ({"_score": {}}, None, True),
        ({"_score": "DESC"}, None, True),
        ([{"_score": {"order": "Desc"}}], None, True),
        (["_score", "price"], None, True),
        ({"_score": "desc", "price": "asc"}, None, True),
        (["_score"], "price", True),
        (None, "_score", True),
        (None, "_score:desc,price:asc", True),
        ([], "_score", True),
        ("_score:asc", None, False),
        ([{"_score": "asc"}], None, False),
        ([{"_score": {"order": "asc"}}], None, False),
        ([{"_score": {"order": None}}], None, False),
        (["price", "_score"], None, False),
        ({"price": "asc", "_score": "desc"}, None, False),
        (["price"], "_score", False),
        (None, "_score:asc", False),
        (None, "price", False),
        ([], "price,_score", False),
        ([[]], None, False),
        ([{}], None, False),
        (["_doc"], None, False),
        (5, None, False),
    ],
)
def test_sort(body_sort: object, url_sort: str | None, kept: bool) -> None:
    assert sort_keeps_score_order(body_sort, url_sort) is kept


@pytest.mark.parametrize(
    ("rescore", "window"),
    [
        (None, None),
        ([], None),
        ({"window_size": 50, "query": {}}, 50),
        ({"query": {}}, 10),
        ([{"window_size": 50}, {"window_size": "20"}], 20),
    ],
)
def test_rescore(rescore: object, window: int | None) -> None:
    assert rescore_window(rescore) == window


@pytest.mark.parametrize("rescore", [["x"], {"window_size": "many"}, "x"])
def test_unreadable_rescore(rescore: object) -> None:
    with pytest.raises(Unreadable):
        rescore_window(rescore)


MATCH = {"standard": {"query": {"match": {"title": "x"}}}}


@pytest.mark.parametrize(
    ("retriever", "window", "limit"),
    [
        (MATCH, None, None),
        ({"knn": {"field": "v", "k": 5, "num_candidates": 10}}, None, None),
        ({"knn": {"field": "v"}}, Reason.KNN, None),
        ({"rrf": {"retrievers": [MATCH, MATCH]}}, 10, 10),
        ({"rrf": {"retrievers": [MATCH], "rank_window_size": 80}}, 80, 80),
        ({"linear": {"retrievers": [{"retriever": MATCH, "weight": 2}], "rank_window_size": 40}}, 40, 40),
        ({"rescorer": {"retriever": MATCH, "rescore": {"window_size": 30}}}, 30, 30),
        ({"rescorer": {"retriever": MATCH, "rescore": []}}, 10, 10),
        (
            {"linear": {"rank_window_size": 100, "retrievers": [{"retriever": {"diversify": {"retriever": MATCH}}}]}},
            10,
            100,
        ),
        ({"rrf": {"retrievers": [{"knn": {"field": "v"}}]}}, Reason.KNN, 10),
        ({"rrf": {"retrievers": ["x"]}}, Reason.RETRIEVER, 10),
        ({"rrf": {"retrievers": 5}}, Reason.RETRIEVER, 10),
        ({"text_similarity_reranker": {"retriever": MATCH}}, Reason.RETRIEVER, None),
        ({"rrf": {"retrievers": [{"text_similarity_reranker": {}}]}}, Reason.RETRIEVER, 10),
        ({"standard": {}, "knn": {}}, Reason.RETRIEVER, None),
        ({"standard": []}, Reason.RETRIEVER, None),
        ({"standard": {"sort": ["_score", "price"]}}, None, None),
        ({"standard": {"sort": ["price"]}}, Reason.SORT, None),
        ({"standard": {"sort": ["_score", "price"], "search_after": [1, 2]}}, Reason.SEARCH_AFTER, None),
        ({"rrf": {"retrievers": [MATCH, {"standard": {"sort": ["price"]}}]}}, 10, 10),
        ({"rescorer": {"retriever": {"standard": {"sort": ["price"]}}}}, Reason.SORT, 10),
        ({"rescorer": {"retriever": {"standard": {"collapse": {"field": "a"}}}}}, Reason.RETRIEVER, 10),
        ({"standard": {"collapse": {"field": "a"}}}, None, None),
        ([], Reason.RETRIEVER, None),
    ],
)
def test_retriever(retriever: Any, window: int | Reason | None, limit: int | None) -> None:
    assert retriever_window(retriever) == window
    assert retriever_limit(retriever) == limit


OPEN = {"knn": {"field": "v", "query_vector": [1.0, 2.0]}}


def wrapped(query: dict[str, Any]) -> dict[str, Any]:
    return {"wrapper": {"query": base64.b64encode(json.dumps(query).encode()).decode()}}


@pytest.mark.parametrize(
    ("body", "open_end"),
    [
        ({}, False),
        ({"knn": {"field": "v", "k": 5}}, False),
        ({"knn": {"field": "v"}}, True),
        ({"knn": [{"field": "v", "k": 5}, {"field": "w"}]}, True),
        ({"query": {"knn": {"field": "v", "k": 5}}}, False),
        ({"query": {"bool": {"should": [{"match": {"title": "x"}}, {"knn": {"field": "v"}}]}}}, True),
        ({"retriever": {"standard": {"query": {"knn": {"field": "v"}}}}}, True),
        ({"retriever": {"standard": {"query": {"knn": {"field": "v", "k": 5}}}}}, False),
        ({"rescore": [{"query": {"rescore_query": {"knn": {"field": "v"}}}}]}, True),
        ({"aggs": {"near": {"filter": {"knn": {"field": "v"}}}}}, True),
        ({"query": {"match": {"knn": "needles"}}}, False),
        ({"query": {"match": {"knn": {"query": "needles"}}}}, False),
        ({"query": {"match": {"wrapper": {"query": "needles"}}}}, False),
        ({"aggs": {"knn": {"terms": {"field": "brand"}}}}, False),
        ({"retriever": {"standard": {"query": OPEN}}}, True),
        ({"rescore": [{"query": {"rescore_query": OPEN}}]}, True),
        ({"post_filter": {"bool": {"must": OPEN}}}, True),
        ({"aggs": {"near": {"filter": OPEN}}}, True),
        ({"query": wrapped(OPEN)}, True),
        ({"query": {"bool": {"filter": [wrapped({"bool": {"must": [wrapped(OPEN)]}})]}}}, True),
        ({"query": wrapped({"knn": {"field": "v", "k": 5}})}, False),
        ({"query": {"wrapper": {"query": "no base64!"}}}, False),
    ],
)
def test_knn_without_k(body: dict[str, Any], open_end: bool) -> None:
    assert knn_without_k(body) is open_end
