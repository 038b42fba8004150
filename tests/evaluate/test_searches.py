"""The searches that are sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from yarl import URL

from proxy.evaluate.qrels import BadInput
from proxy.evaluate.searches import Side, among, from_fields, from_template, sized


def test_fields() -> None:
    assert from_fields("title")("x") == {"query": {"match": {"title": "x"}}}
    assert from_fields("title^2, brand")("x") == {
        "query": {"multi_match": {"query": "x", "fields": ["title^2", "brand"]}}
    }
    assert "multi_match" in from_fields("title^2")("x")["query"]
    with pytest.raises(BadInput, match="fields"):
        from_fields("title,,brand")


def test_template(tmp_path: Path) -> None:
    path = tmp_path / "body.json"
    path.write_text('{"from": 20, "query": {"bool": {"should": [{"match": {"a": "{query}"}}, {"term": {"b": 1}}]}}}')
    body = sized(from_template(path)('say "cheese" {query}'), 10)
    should = [{"match": {"a": 'say "cheese" {query}'}}, {"term": {"b": 1}}]
    assert body == {"from": 0, "size": 10, "query": {"bool": {"should": should}}}


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON"), ("[]", "expected a search body"), ('{"query": {"match_all": {}}}', "no string holds")],
)
def test_wrong_template(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "body.json").write_text(text)
    with pytest.raises(BadInput, match=message):
        from_template(tmp_path / "body.json")
    with pytest.raises(BadInput, match="No such file"):
        from_template(tmp_path / "absent.json")


def test_judged_only() -> None:
    body = {"query": {"match": {"a": "x"}}, "_source": False}
    narrowed = among(body, ["1", "2"])
    assert narrowed["size"] == 2
    assert narrowed["query"]["bool"]["filter"] == [{"ids": {"values": ["1", "2"]}}]
    assert narrowed["query"]["bool"]["should"] == [body["query"]]
    assert body == {"query": {"match": {"a": "x"}}, "_source": False}
    with pytest.raises(BadInput, match="--judged-only"):
        among({"knn": {}}, ["1"])


def test_an_address_is_shown_without_credentials() -> None:
    assert Side("engine", URL("http://me:secret@host:9200/es")).shown == "http://host:9200/es"
