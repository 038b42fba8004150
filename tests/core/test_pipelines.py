"""Which search pipelines a wider search would disturb."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core.pipelines import disturbed_by_widening


@pytest.mark.parametrize(
    "pipeline",
    [
        {"response_processors": {}},
        {"response_processors": [{"a": {}, "b": {}}]},
        {"response_processors": ["sort"]},
        {"response_processors": [{"sort": 1}]},
        {"request_processors": [{"script": {}}]},
        {"other_processors": []},
    ],
)
def test_a_pipeline_of_an_unknown_form_counts_as_disturbed(pipeline: dict[str, Any]) -> None:
    assert disturbed_by_widening(pipeline, [])
    assert not disturbed_by_widening({"response_processors": [{"sort": {"field": "x"}}]}, [])
