"""Errors as the engine words them on the wire."""

from __future__ import annotations

from typing import Any


class EngineError(Exception):
    """A request that is refused; becomes the answer's status and body."""

    def __init__(self, status: int, kind: str, reason: str, **details: Any) -> None:
        """``details``: more members of the error object; their names may hold ``resource_`` for ``resource.``."""
        super().__init__(reason)
        self.status = status
        self.kind = kind
        self.reason = reason
        self.details = {name.replace("resource_", "resource."): value for name, value in details.items()}

    def cause(self) -> dict[str, Any]:
        """Return the error without its frame, as the items of a bulk answer hold it."""
        return {"type": self.kind, "reason": self.reason, **self.details}

    def body(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {"error": {"root_cause": [self.cause()], **self.cause()}, "status": self.status}


class ShardError(EngineError):
    """A search that is well formed, but that the index cannot run."""

    def __init__(self, kind: str, reason: str, index: str) -> None:
        """``kind`` and ``reason`` tell what the (only) shard of ``index`` would say."""
        super().__init__(400, kind, reason)
        self.index = index

    def body(self) -> dict[str, Any]:
        """Return the body, in which the cause stands below the failure of all shards."""
        failed = {"shard": 0, "index": self.index, "node": "embedded", "reason": self.cause()}
        frame = {"type": "search_phase_execution_exception", "reason": "all shards failed", "phase": "query"}
        error = {"root_cause": [self.cause()], **frame, "grouped": True, "failed_shards": [failed]}
        return {"error": error, "status": self.status}


class PlainError(EngineError):
    """An error that the engine gives as a plain string."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        """``headers``: fields of the answer, such as ``Allow``."""
        super().__init__(status, "", reason)
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {"error": self.reason, "status": self.status}


def bad(reason: str) -> EngineError:
    """Return the error for an argument that cannot be right."""
    return EngineError(400, "illegal_argument_exception", reason)


def unparsable(reason: str) -> EngineError:
    """Return the error for a body whose members are not understood."""
    return EngineError(400, "parsing_exception", reason)


def refused(what: str) -> EngineError:
    """Return the error for what an engine knows and this one does not."""
    return bad(f"{what} is not supported by the embedded engine; use Elasticsearch or OpenSearch for it")


def no_such_index(name: str) -> EngineError:
    """Return the error for a name that no index has."""
    about = {"resource_type": "index_or_alias", "resource_id": name, "index_uuid": "_na_", "index": name}
    return EngineError(404, "index_not_found_exception", f"no such index [{name}]", **about)
