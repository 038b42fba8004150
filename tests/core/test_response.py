"""Answers written back: only what must change does."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.rawjson import JsonError, Span
from proxy.core.response import Hit, HitPatch, SearchAnswer, error_body, format_score, hits_digest, read_score


def body_with(*hits: bytes, max_score: bytes = b"3.5", more: bytes = b"") -> bytes:
    return (
        b'{"took":7,"timed_out":false,"_shards":{"failed":0},"hits":{"total":{"value":2},"max_score":'
        + max_score
        + b',"hits":['
        + b",".join(hits)
        + b"]}"
        + more
        + b"}"
    )


FIRST = (
    b'{"_index":"a","_id":"1","_score":3.5,"_source":{ "n" : 1.10, "b":1e400,"s":"\\u00e9 \\/"},"fields":{"t":["x"]}}'
)
SECOND = b'{"_index":"a","_id":"2","_score":1.0,"_source":{}}'


def hit(raw: bytes) -> Hit:
    return Hit(raw, Span(0, len(raw)))


def patched(raw: bytes, patch: HitPatch) -> bytes:
    answer = SearchAnswer(body_with(raw))
    start = answer.with_page([(answer.hits[0], patch)])
    return bytes(
        msgspec.json.decode(
            msgspec.json.decode(start, type=dict[str, msgspec.Raw])["hits"], type=dict[str, msgspec.Raw]
        )["hits"]
    )[1:-1]


def test_untouched_hits_give_the_same_bytes() -> None:
    body = body_with(FIRST, SECOND, more=b',"aggregations":{"a":{"value":1.50}}')
    answer = SearchAnswer(body)
    assert answer.with_page([(one, HitPatch()) for one in answer.hits]) == body


def test_new_order_and_scores_change_nothing_else() -> None:
    answer = SearchAnswer(body_with(FIRST, SECOND))
    first, second = answer.hits
    written = answer.with_page([(second, HitPatch(1.75)), (first, HitPatch(1.5))], 1.75, 30)
    assert written == (
        body_with(SECOND.replace(b"1.0", b"1.75"), FIRST.replace(b"3.5", b"1.5"), max_score=b"1.75").replace(
            b'"took":7', b'"took":37'
        )
    )


def test_a_page_cut_out() -> None:
    answer = SearchAnswer(body_with(FIRST, SECOND))
    assert answer.with_page([(answer.hits[1], HitPatch())]) == body_with(SECOND)
    assert answer.with_page([]) == body_with()
    assert SearchAnswer(body_with()).with_page([]) == body_with()


PRETTY = b"""{
  "took" : 3,
  "hits" : {
    "max_score" : 2.0,
    "hits" : [
      {
        "_id" : "1",
        "_score" : 2.0,
        "fields" : {
          "t" : [
            "x"
          ]
        }
      },
      {
        "_id" : "2",
        "_score" : 1.0
      }
    ]
  }
}
"""


def test_pretty_answers_stay_pretty() -> None:
    answer = SearchAnswer(PRETTY)
    assert answer.with_page([(one, HitPatch()) for one in answer.hits]) == PRETTY
    written = answer.with_page(
        [(answer.hits[1], HitPatch(1.5)), (answer.hits[0], HitPatch(1.25, None, frozenset("t")))], 1.5
    )
    assert (
        written.decode()
        == """{
  "took" : 3,
  "hits" : {
    "max_score" : 1.5,
    "hits" : [
      {
        "_id" : "2",
        "_score" : 1.5
      },
      {
        "_id" : "1",
        "_score" : 1.25
      }
    ]
  }
}
"""
    )
    assert b'"hits" : [ ]\n' in answer.with_page([])


@pytest.mark.parametrize(
    ("raw", "drop", "left"),
    [
        (b'{"_score":1.0,"fields":{"t":["x"]}}', {"t"}, b'{"_score":1.0}'),
        (b'{"fields":{"t":["x"]},"_score":1.0}', {"t"}, b'{"_score":1.0}'),
        (
            b'{"_score":1.0,"fields":{"t":["x"],"own":[1.10]},"sort":[1]}',
            {"t"},
            b'{"_score":1.0,"fields":{"own":[1.10]},"sort":[1]}',
        ),
        (b'{"_score":1.0,"fields":{"own":[1.10], "t":["x"]}}', {"t", "u"}, b'{"_score":1.0,"fields":{"own":[1.10]}}'),
        (b'{"_score":1.0,"fields":{"t":["x"],"u":[]},"sort":[1]}', {"t", "u", "v"}, b'{"_score":1.0,"sort":[1]}'),
        (b'{"_score":1.0,"fields":{"own":[1]}}', {"t"}, b'{"_score":1.0,"fields":{"own":[1]}}'),
        (b'{"_score":1.0,"sort":[1]}', {"t"}, b'{"_score":1.0,"sort":[1]}'),
        # what the engine lists as ignored belongs to the fields that were asked for
        (b'{"_score":1.0,"ignored_field_values":{"t":["x"]},"fields":{"t":["x"]}}', {"t"}, b'{"_score":1.0}'),
        (
            b'{"_score":1.0,"_ignored":["t"],"ignored_field_values":{"t":["x"],"own":["y"]}}',
            {"t"},
            b'{"_score":1.0,"_ignored":["t"],"ignored_field_values":{"own":["y"]}}',
        ),
    ],
)
def test_only_what_we_added_is_taken_out_again(raw: bytes, drop: set[str], left: bytes) -> None:
    assert patched(raw, HitPatch(None, None, frozenset(drop))) == left
    assert patched(raw, HitPatch(1.5, None, frozenset(drop))) == left.replace(b'"_score":1.0', b'"_score":1.5')
    assert patched(raw, HitPatch()) == raw


def test_explanation_wraps_the_engines() -> None:
    raw = b'{"_score":2.0,"_explanation":{"value":2.0,"description":"sum","details":[]}}'
    assert patched(raw, HitPatch(1.5, 'how "so"')) == (
        b'{"_score":1.5,"_explanation":{"value":1.5,"description":"how \\"so\\"","details":['
        b'{"value":2.0,"description":"sum","details":[]}]}}'
    )
    assert patched(raw, HitPatch(None, "how")) == raw
    assert patched(b'{"_score":2.0}', HitPatch(1.5, "how")) == b'{"_score":1.5}'


@pytest.mark.parametrize("score", [b"null", b""])
def test_a_hit_without_a_score_gets_none(score: bytes) -> None:
    raw = b'{"_id":"1","_score":null}' if score else b'{"_id":"1"}'
    assert hit(raw).score == 0.0
    assert not hit(raw).has_score
    assert patched(raw, HitPatch(1.5)) == raw


@pytest.mark.parametrize("max_score", [b"null", None])
def test_max_score_null_or_missing_stays_so(max_score: bytes | None) -> None:
    body = body_with(FIRST, max_score=b"null")
    if max_score is None:
        body = body.replace(b'"max_score":null,', b"")
    answer = SearchAnswer(body)
    assert answer.max_score is None
    assert answer.with_page([(answer.hits[0], HitPatch())], 1.5) == body


def test_took_missing_stays_missing() -> None:
    body = body_with(FIRST).replace(b'"took":7,', b"")
    answer = SearchAnswer(body)
    assert answer.took_ms is None
    assert answer.with_page([(answer.hits[0], HitPatch())], None, 30) == body


@pytest.mark.parametrize(
    ("raw", "score"),
    [
        (b"6.17E-9", 6.17e-9),
        (b"1.0", 1.0),
        (b"3", 3.0),
        (b'"Infinity"', math.inf),
        (b'"NaN"', None),
        (b"null", None),
        (None, None),
    ],
)
def test_scores_as_engines_write_them(raw: bytes | None, score: float | None) -> None:
    assert read_score(raw) == score


@pytest.mark.parametrize("raw", [b"true", b"{}", b'"high"', b"[1]"])
def test_what_is_no_score(raw: bytes) -> None:
    with pytest.raises(JsonError):
        read_score(raw)


def test_a_score_in_words_is_replaced_by_a_number() -> None:
    assert patched(b'{"_score":"Infinity"}', HitPatch(1.5)) == b'{"_score":1.5}'


@given(st.floats(0, 2), st.floats(0, 2))
def test_rounding_never_turns_an_order_round(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert float(format_score(low)) <= float(format_score(high))
    assert np.float32(float(format_score(one))) == np.float32(one)
    assert isinstance(json.loads(format_score(one)), float)


@pytest.mark.parametrize(("raw", "failed"), [(b'{"failed":2}', 2), (b'{"failed":"x"}', 0), (b"{}", 0), (b"[]", 0)])
def test_failed_shards(raw: bytes, failed: int) -> None:
    assert SearchAnswer(body_with(FIRST).replace(b'{"failed":0}', raw)).failed_shards == failed


def test_failed_shards_not_told() -> None:
    assert SearchAnswer(b'{"hits":{"hits":[]}}').failed_shards == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<html>",
        b"{}",
        b'{"hits":[]}',
        b'{"hits":{}}',
        b'{"hits":{"hits":{}}}',
        b'{"hits":{"hits":[]}',
        b'{"hits":{"max_score":{},"hits":[]}}',
        b'{"hits":{"hits":[]},"hits":{"hits":[]}}',
        body_with(b'{"_source":{"a":"\\ud800"}}'),
        body_with(b'{"_source":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        body_with(FIRST)[:-10],
    ],
)
def test_no_search_answer(body: bytes) -> None:
    with pytest.raises(JsonError):
        SearchAnswer(body)


def test_parts_of_a_hit() -> None:
    one = hit(b'{"_index":"a","_id":"1","_routing":"r","_score":1.0,"fields":{"t":["x",1e400]},"n":5}')
    assert one.identity == (b'"a"', b'"1"', b'"r"')
    assert one.text("_index") == "a"
    assert one.text("n") is None
    assert one.text("absent") is None
    assert one.fields == {"t": ["x", math.inf]}
    assert hit(b'{"fields":[]}').fields == {}
    assert hit(b"{}").fields == {}


def test_digest_tells_hits_and_orders_apart() -> None:
    hits = [hit(b'{"_index":"a","_id":"%d"}' % number) for number in range(3)]
    others = [hit(b'{"_index":"b","_id":"0"}'), hit(b'{"_index":"a","_id":"0","_routing":"r"}'), hit(b'{"_id":"0"}')]
    lists = [[], hits, hits[::-1], hits[:2], *([one] for one in others), [hits[0]]]
    assert len({hits_digest(one) for one in lists}) == len(lists)
    again = hit(b'{"_id":"0","_score":9.0,"_index":"a"}')
    assert hits_digest([again]) == hits_digest([hits[0]])


def test_error_body() -> None:
    cause = {"type": "some_exception", "reason": "why"}
    assert json.loads(error_body(503, "some_exception", "why")) == {
        "error": {"root_cause": [cause], **cause},
        "status": 503,
    }
