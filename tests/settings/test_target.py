from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import TargetPattern

PATTERNS = st.text("abA*.?[", min_size=1, max_size=8)
NAMES = st.text("abA*.?[-", min_size=1, max_size=12).filter(lambda name: not name.startswith("-"))


def fits(pattern: str, name: str) -> bool:
    """The plain reading of a pattern, as a regular expression."""
    return re.fullmatch(".*".join(re.escape(piece) for piece in pattern.split("*")), name, re.DOTALL) is not None


@given(
    st.lists(PATTERNS, min_size=1, max_size=3), st.lists(PATTERNS, max_size=3), st.lists(NAMES, min_size=1, max_size=4)
)
def test_every_name_must_be_wanted_and_none_excluded(wanted: list[str], excluded: list[str], names: list[str]) -> None:
    target = TargetPattern(",".join([*(f"-{one}" for one in excluded), *wanted]))
    expected = all(
        any(fits(one, name) for one in wanted) and not any(fits(one, name) for one in excluded) for name in names
    )
    assert target.matches(names) is expected


@pytest.mark.parametrize(
    ("target", "requested", "expected"),
    [
        # Every requested name must be meant.
        ("products*,-products-test", ["products"], True),
        ("products*,-products-test", ["products", "products-2"], True),
        ("products*,-products-test", ["products", "orders"], False),
        ("products*,-products-test", ["products-test"], False),
        ("-products-test,products*", ["products-test"], False),
        # A requested wildcard is compared as it is written.
        ("products*", ["products*"], True),
        ("products*", ["prod*"], False),
        ("products", ["products*"], False),
        ("prod*", ["products-*"], True),
        # Requested exclusions only narrow.
        ("products*", ["products*", "-products-old"], True),
        ("products*", ["products*", "-orders"], True),
        ("products*", ["-products-old", "products*"], False),
        # No name, `*` and `_all` are all indices.
        ("*,-.*", [], True),
        ("*,-.*", ["*"], True),
        ("*,-.*", ["_all"], True),
        ("_all", ["products"], True),
        ("products*", [], False),
        ("products*", ["_all"], False),
        ("**", [], True),
        # The default leaves out the engine's own indices.
        ("*,-.*", [".kibana"], False),
        ("*,-.*", ["products", ".kibana"], False),
        ("*,-.*", ["cluster:products"], True),
        # Case counts; only `*` is special.
        ("Products", ["products"], False),
        ("p?", ["pa"], False),
        ("[ab]", ["a"], False),
        ("a.c", ["abc"], False),
        ("a*b*c", ["abc"], True),
        ("a*b*c", ["ac"], False),
        ("ab*ba", ["aba"], False),
        ("a, b", ["b"], True),
        ("<logs-{now/d}>", ["<logs-{now/d}>"], True),
    ],
)
def test_matches(target: str, requested: list[str], expected: bool) -> None:
    assert TargetPattern(target).matches(requested) is expected


@pytest.mark.parametrize("text", ["", ",", "a,", "-", "a,-", "-a", "-a,-b", "a b", "a\tb"])
def test_useless_patterns_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty name|white space|only excludes"):
        TargetPattern(text)
