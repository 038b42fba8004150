"""What a query excludes ("knife set without block"), and whether a text has it.

A cross-encoder trained on few labels sees that the excluded word stands in both texts and takes that for a match. This
rule says which documents have what was excluded, so that lists of them can be made for training. It is a teacher's
guess, used on queries without labels: over the 16 training queries of the ESCI slice that have "without", 17 % of the
products whose title has the excluded word are exact, 62 % of those that do not mention it, 92 % of those that deny it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from esci_data import words

_EXCLUDES = re.compile(
    r"^(?P<wanted>.+?)\s+(?:without|w/o|with\s+no|with\s+out|but\s+not|not|no)\s+(?P<excluded>[^\d].*)$", re.IGNORECASE
)
_SMALL_WORDS = frozenset(
    words(
        "a an and any are as at be by for from has have in included inside is it of on or out than that the to too "
        "under very with your me my all"
    )
)
_DENIALS = frozenset({"without", "no", "not", "non", "w", "zero", "never", "free"})
_BEFORE, _BEHIND = 3, 1
"""How many words before and behind a word are searched for a denial: "no added sugar", "sugar free"."""
_LONGEST_EXCLUDED = 4


class Mention(Enum):
    """How a text speaks of what a query excludes."""

    HAS = "has"
    SILENT = "silent"
    DENIES = "denies"


@dataclass(frozen=True)
class Negation:
    """A query that excludes something."""

    wanted: str
    """The query up to the excluding word."""
    excluded: str
    """The word that a fitting text does not have, as `esci_data.words` gives it."""


def find_negation(query: str) -> Negation | None:
    """Return what a query excludes; None: nothing, or nothing that can be looked for.

    A word that also stands in the wanted part ("tool case without tools") cannot be looked for.
    """
    match = _EXCLUDES.match(query.strip())
    if match is None:
        return None
    wanted = [word for word in words(match["wanted"]) if word not in _SMALL_WORDS]
    first = re.split(r"\b(?:and|or|for|in|on|with)\b", match["excluded"])[0]
    excluded = [word for word in words(first) if word not in _SMALL_WORDS and len(word) > 2]
    if not wanted or not excluded or len(excluded) > _LONGEST_EXCLUDED or excluded[-1] in wanted:
        return None
    return Negation(match["wanted"], excluded[-1])


def mention(text: str, excluded: str) -> Mention:
    """Return how a text speaks of a word: a single mention that is not denied counts."""
    found = words(text)
    denied = f"{excluded}les" in found or f"{excluded}less" in found
    for position, word in enumerate(found):
        if word != excluded:
            continue
        before = found[max(0, position - _BEFORE) : position]
        behind = found[position + 1 : position + 1 + _BEHIND]
        if not _DENIALS.intersection(before) and not {"free", "less"}.intersection(behind):
            return Mention.HAS
        denied = True
    return Mention.DENIES if denied else Mention.SILENT


def feature_words(text: str) -> list[str]:
    """Return the words that a title names as something its product comes with: "kettle with lid" gives lid."""
    found = []
    for match in re.finditer(
        r"\bwith\s+((?:[\w'-]+\s+){0,2}?[\w'-]+)(?=\s*(?:[,;|(&-]|and\b|for\b|$))", text, re.IGNORECASE
    ):
        last = words(match[1])[-1:]
        found += [word for word in last if len(word) > 2 and word not in _SMALL_WORDS and not word.isdigit()]
    return found
