"""What is raised for settings that cannot be used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SettingsError(ValueError):
    """A setting is wrong or unknown. The text is one line: which, where it is written, what is wrong, what to write."""

    def __init__(self, name: str, place: str, problem: str) -> None:
        """``name``: as in ``rules[2].window``; ``place``: a file and line, an environment variable, or a flag."""
        super().__init__(one_line(f"{name} ({place}): {problem}" if name else f"{place}: {problem}"))


def one_line(text: str) -> str:
    """Write line breaks and other unprintable characters as escapes."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean …?)`` with the nearest known word, empty if none is near."""
    near = difflib.get_close_matches(word.lower().replace("-", "_"), list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def shown(text: str, limit: int = 60) -> str:
    """Quote a value for a message, cut where it is long."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")
