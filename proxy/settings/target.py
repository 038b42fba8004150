"""Which searches a rule means: the patterns of its ``target``."""

from __future__ import annotations

from collections.abc import Sequence

_ALL = "*"


class TargetPattern:
    """A rule's ``target``: names and wildcards separated by commas; ``-`` before one excludes.

    A name is meant when a pattern fits it and no exclusion does, in whatever order they are written. Only ``*`` is
    special, case counts, and ``_all`` is another word for ``*``.
    """

    __slots__ = ("_excluded", "_wanted")

    def __init__(self, text: str) -> None:
        """Read the patterns.

        Raises:
            ValueError: there is none, one is empty or holds white space, or all of them exclude.
        """
        patterns = [pattern.strip() for pattern in text.split(",")]
        for pattern in patterns:
            if not pattern.removeprefix("-"):
                raise ValueError(f"{text!r} holds an empty name")
            if any(character.isspace() for character in pattern):
                raise ValueError(f"{pattern!r} holds white space, which no index name does")
        self._wanted = tuple(_known(pattern) for pattern in patterns if not pattern.startswith("-"))
        self._excluded = tuple(_known(pattern[1:]) for pattern in patterns if pattern.startswith("-"))
        if not self._wanted:
            raise ValueError(f"{text!r} only excludes: it would mean nothing")

    def matches(self, requested: Sequence[str]) -> bool:
        """Say whether every name that a search asks for is meant.

        A requested wildcard is compared as it is written: ``products*`` is meant by the pattern ``products*``, but
        ``prod*`` is not. Exclusions behind the first name can only narrow the search and are left out. No name at all
        is all indices, written ``*``: only a pattern that fits a literal ``*`` means them.
        """
        names = [name for position, name in enumerate(requested) if position == 0 or not name.startswith("-")]
        return all(self._means(_known(name)) for name in names or [_ALL])

    def _means(self, name: str) -> bool:
        return any(_fits(one, name) for one in self._wanted) and not any(_fits(one, name) for one in self._excluded)


def _known(name: str) -> str:
    return _ALL if name == "_all" else name


def _fits(pattern: str, name: str) -> bool:
    """Compare without backtracking: the name comes from a client, and may be long and hostile."""
    first, *rest = pattern.split(_ALL)
    if not rest:
        return name == pattern
    last = rest.pop()
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in rest:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
