"""URL parameters, read as the engines read them and edited without touching the other ones' bytes.

``&`` and ``;`` both separate, ``+`` is a space, a parameter that stands twice counts the last time, and one without
``=`` is blank (seen on Elasticsearch 8 and 9 and OpenSearch 2 and 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote_plus

_SEPARATOR = re.compile(r"[&;]")


def _name(piece: str) -> str:
    return unquote_plus(piece.partition("=")[0], errors="replace")


@dataclass(frozen=True, slots=True)
class Params:
    """A raw query string (without ``?``)."""

    raw: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return decoded names and values; the last of a repeated name."""
        decoded: dict[str, str] = {}
        for piece in _SEPARATOR.split(self.raw):
            if piece:
                decoded[_name(piece)] = unquote_plus(piece.partition("=")[2], errors="replace")
        return decoded

    def without(self, names: Iterable[str]) -> Params:
        """Return the parameters less the named ones; all others keep their bytes and order."""
        doomed = set(names)
        if not doomed & self.as_dict().keys():
            return self
        return Params("&".join(piece for piece in _SEPARATOR.split(self.raw) if piece and _name(piece) not in doomed))

    def having(self, name: str, encoded_value: str) -> Params:
        """Return the parameters with one of that name, at the end; all others keep their bytes and order."""
        others = self.without((name,)).raw
        return Params(f"{others}&{name}={encoded_value}" if others else f"{name}={encoded_value}")


def is_true(value: str | None) -> bool:
    """Say whether a boolean parameter is on: the engines take ``true`` and blank; None means that it is absent."""
    return value in ("", "true")
