"""JSON answers of the proxy's own pages."""

from __future__ import annotations

from typing import Any

import msgspec
from multidict import CIMultiDict

from proxy.edge.http_server import ExactResponseWithBody


def json_response(content: Any, status: int = 200) -> ExactResponseWithBody:
    """Return a JSON answer, indented for people."""
    body = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
    return ExactResponseWithBody(status, CIMultiDict({"Content-Type": "application/json"}), body)


def text_response(body: bytes, content_type: str) -> ExactResponseWithBody:
    """Return a page that is ready."""
    return ExactResponseWithBody(200, CIMultiDict({"Content-Type": content_type}), body)
