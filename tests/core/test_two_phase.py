"""Which searches can be had in two phases."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.two_phase import can_split

RESCORE: dict[str, Any] = {"query": {"rescore_query": {"match": {"title": {"query": "red"}}}}}
NAMED: dict[str, Any] = {"query": {"rescore_query": {"match": {"title": {"query": "red", "_name": "again"}}}}}


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ({}, {}),
        ({}, {"rescore": RESCORE}),
        ({}, {"rescore": [RESCORE, RESCORE]}),
        ({}, {"query": NAMED["query"]["rescore_query"]}),
        ({"explain": "true"}, {}),
        ({"explain": "false"}, {"rescore": RESCORE}),
    ],
)
def test_a_page_alone_has_all_that_is_told_of_its_hits(url: dict[str, str], body: dict[str, Any]) -> None:
    assert can_split(url, body)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ({}, {"rescore": NAMED}),
        ({}, {"rescore": [RESCORE, NAMED]}),
        ({}, {"rescore": RESCORE, "explain": True}),
        ({"explain": ""}, {"rescore": RESCORE}),
    ],
)
def test_what_a_rescorer_says_of_a_hit_needs_the_rescorer(url: dict[str, str], body: dict[str, Any]) -> None:
    assert not can_split(url, body)
