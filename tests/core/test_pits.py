"""What is remembered of points in time."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from proxy.core.messages import Search
from proxy.core.params import Params
from proxy.core.pits import PitMemory
from tests.core.fake_engine import make_search


@pytest.mark.parametrize(
    "answer",
    [
        b'{"id":"a-long-id","_shards":{"total":1}}',
        b'{"pit_id":"a-long-id","_shards":{"total":1},"creation_time":5}',
        b'{\n  "pit_id" : "a-long-id",\n  "took" : 1,\n  "hits" : {"hits":[{"_id":"x"}]}\n}\n',
    ],
)
def test_an_answer_tells_an_id(answer: bytes) -> None:
    pits = PitMemory()
    assert not pits
    pits.note(answer, "%3Cshop-%7Bnow%7D%3E")
    assert pits
    body = {"pit": {"id": "a-long-id", "keep_alive": "1m"}}
    assert pits.target_of(make_search(body, target="")) == "%3Cshop-%7Bnow%7D%3E"
    in_url = Params(urlencode({"source": json.dumps(body), "source_content_type": "application/json"}))
    assert pits.target_of(Search("", in_url, b"")) == "%3Cshop-%7Bnow%7D%3E"
    assert pits.target_of(make_search({"pit": {"id": "another"}}, target="")) is None


@pytest.mark.parametrize("answer", [b"", b"[]", b"{", b"{}", b'{"id":5}', b'{"id":""}', b'{"id":"a"', b'{"id":"\xff"}'])
def test_other_answers_tell_none(answer: bytes) -> None:
    pits = PitMemory()
    pits.note(answer, "shop")
    assert not pits


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'["pit"]',
        b'"pit"',
        b'{"pit":null}',
        b'{"pit":"a"}',
        b'{"pit":{}}',
        b'{"pit":{"id":["a"]}}',
        b'{"pit":{"id":"\\ud800"}}',
        b'{"pit":{"id":"\xff"}}',
        b'{"pit":' * 100_000,
    ],
)
def test_other_searches_are_on_none(body: bytes) -> None:
    pits = PitMemory()
    pits.note(b'{"id":"a"}', "shop")
    assert pits.target_of(make_search(body, target="")) is None


def test_the_memory_is_bounded() -> None:
    pits = PitMemory()
    for number in range(10_001):
        pits.note(b'{"id":"%d"}' % number, "shop")
    pits.note(b'{"id":"long"}', "x" * 1001)
    found = [pits.target_of(make_search({"pit": {"id": name}})) for name in ("0", "1", "10000", "long")]
    assert found == [None, "shop", "shop", None]
