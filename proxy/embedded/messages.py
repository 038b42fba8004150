"""A request and an answer, free of HTTP's framing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose route is known."""

    method: str
    path: str
    parts: Mapping[str, str]
    """What stands in the path for the route's names, decoded: ``index``, ``id`` ..."""
    params: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and content: JSON, or text."""

    status: int
    content: Any
    headers: Mapping[str, str] = field(default_factory=dict)
