"""`filter_path` over bytes."""

from __future__ import annotations

import pytest

from proxy.core.filter_path import FilterPath

BODY = (
    b'{"took":1,"_shards":{"total":1,"failed":0},"hits":{"total":{"value":2},"max_score":1.10,"hits":['
    b'{"_id":"1","_source":{"title":"a","tags":["x",{"y":1}],"empty":{}}},{"_id":"2","_source":{"n":1e400}}]}}'
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("took", b'{"took":1}'),
        ("hits.hits._id", b'{"hits":{"hits":[{"_id":"1"},{"_id":"2"}]}}'),
        ("hits.max_score", b'{"hits":{"max_score":1.10}}'),
        ("hits.hits._source.title", b'{"hits":{"hits":[{"_source":{"title":"a"}}]}}'),
        ("hits.hits._source.n", b'{"hits":{"hits":[{"_source":{"n":1e400}}]}}'),
        ("hits.hits._source.tags.y", b'{"hits":{"hits":[{"_source":{"tags":[{"y":1}]}}]}}'),
        ("hits.hits._source.empty.x", b"{}"),
        ("hits.hits.0", b"{}"),
        ("nothing", b"{}"),
        ("h*.*.val*,t**", b'{"took":1,"hits":{"total":{"value":2}}}'),
        ("**.total", b'{"_shards":{"total":1},"hits":{"total":{"value":2}}}'),
        ("**.title", b'{"hits":{"hits":[{"_source":{"title":"a"}}]}}'),
        ("**.took", b"{}"),
        ("-hits", b'{"took":1,"_shards":{"total":1,"failed":0}}'),
        ("-hits,-_shards,took,hits", b'{"took":1}'),
        ("hits.hits,-hits.hits._source", b'{"hits":{"hits":[{"_id":"1"},{"_id":"2"}]}}'),
        (
            "hits.hits,-**._id,-**.tags,-**.empty",
            b'{"hits":{"hits":[{"_source":{"title":"a"}},{"_source":{"n":1e400}}]}}',
        ),
        (
            "hits.hits._source,-**.tags.y",
            b'{"hits":{"hits":[{"_source":{"title":"a","tags":["x"],"empty":{}}},{"_source":{"n":1e400}}]}}',
        ),
    ],
)
def test_leaves_what_is_asked_for(value: str, expected: bytes) -> None:
    assert FilterPath.read(value).apply(BODY) == expected


def test_a_dash_alone_is_the_engines_to_judge() -> None:
    """Elasticsearch leaves out nothing, and yet writes its answer as it writes filtered ones; OpenSearch refuses it."""
    nothing = FilterPath.read("-")
    assert nothing.for_engine() == "-"
    assert FilterPath.read("took,-").for_engine().startswith("took,")
    assert FilterPath.read("took,-").for_engine().endswith(",-")
    assert nothing.apply(BODY) == BODY
    assert nothing.shows_hits()


def test_a_pretty_answer_stays_pretty() -> None:
    pretty = b'{\n  "took" : 1,\n  "hits" : {\n    "max_score" : 1.0,\n    "hits" : [ ]\n  }\n}\n'
    assert FilterPath.read("took,hits.max_score").apply(pretty) == (
        b'{\n  "took" : 1,\n  "hits" : {\n    "max_score" : 1.0\n  }\n}\n'
    )


@pytest.mark.parametrize(
    ("value", "shows"),
    [
        ("hits.hits._id", True),
        ("hits", True),
        ("**._id", True),
        ("h*.h*", True),
        ("-hits.hits._source", True),
        ("took", False),
        ("hits.total", False),
        ("-hits", False),
        ("hits.hits,-h*.hits", False),
        ("hits.hits,-**", False),
    ],
)
def test_knows_whether_hits_are_shown(value: str, shows: bool) -> None:
    assert FilterPath.read(value).shows_hits() is shows


@pytest.mark.parametrize("value", ["took", "hits.hits._id", "-hits.hits._source", "hits.**,-hits.max_score", "**"])
def test_what_the_engine_is_asked_for_holds_what_the_client_gets(value: str) -> None:
    from urllib.parse import unquote

    path = FilterPath.read(value)
    asked = FilterPath.read(unquote(path.for_engine()))
    assert path.apply(asked.apply(BODY)) == path.apply(BODY)


@pytest.mark.parametrize(
    ("value", "shows"),
    [
        ("responses.hits.hits._id", True),
        ("responses", True),
        ("r*.h*.h*", True),
        ("**._id", True),
        ("-responses.hits.hits._source", True),
        ("hits.hits._id", False),
        ("responses.took", False),
        ("responses.hits.total", False),
        ("-responses.hits", False),
        ("-responses", False),
        ("responses.hits.hits,-responses.hits.hits", False),
    ],
)
def test_whether_hits_of_a_multi_search_are_shown(value: str, shows: bool) -> None:
    assert FilterPath.read(value).shows_hits(multi=True) is shows


def test_what_the_engine_is_asked_for_of_a_multi_search() -> None:
    asked = FilterPath.read("responses.hits.hits._id,-**.took").for_engine(multi=True).split(",")
    assert asked[0] == "responses.hits.hits._id"
    assert {"responses.status", "responses.error", "responses.hits.hits.fields"} < set(asked)
    assert "-**.took" not in asked
