"""URL parameters, as the engines read them."""

from __future__ import annotations

import pytest

from proxy.core.params import Params, is_true


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("", {}),
        ("size=5&from=10", {"size": "5", "from": "10"}),
        ("size=1;from=2", {"size": "1", "from": "2"}),
        ("q=red+shoes%20now", {"q": "red shoes now"}),
        ("q=a%2Bb%3Bc", {"q": "a+b;c"}),
        ("size=1&size=2", {"size": "2"}),
        ("explain&pretty=", {"explain": "", "pretty": ""}),
        ("si%7Ae=5", {"size": "5"}),
        ("q=a=b", {"q": "a=b"}),
        ("&&q=%ff&", {"q": "\ufffd"}),
    ],
)
def test_read(raw: str, read: dict[str, str]) -> None:
    assert Params(raw).as_dict() == read


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ("size=5&q=a%2Fb&from=1", "q=a%2Fb"),
        ("q=%41;x", "q=%41;x"),
        ("si%7Ae=5&q=%41&size=6&x", "q=%41&x"),
        ("size=1;routing=a%2Cb;from=2", "routing=a%2Cb"),
        ("size=5", ""),
    ],
)
def test_all_others_keep_their_bytes(raw: str, left: str) -> None:
    assert Params(raw).without(("from", "size")) == Params(left)


@pytest.mark.parametrize(("value", "on"), [("", True), ("true", True), ("false", False), (None, False), ("1", False)])
def test_is_true(value: str | None, on: bool) -> None:
    assert is_true(value) is on
