"""JSON edited in place: spans are found exactly, all other bytes stay."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.rawjson import (
    Edit,
    JsonError,
    Span,
    apply_edits,
    array_items,
    decode,
    insertion,
    object_members,
    removal,
    strip_span,
)

SPACE = st.sampled_from(["", " ", "\n", "\t ", "\r\n"])
TRICKY_TEXT = st.sampled_from(["", "a", '"', ":", ',"a":', '}{"b":1', "\\", "\u00e9", "\U0001f600"]) | st.text(
    max_size=6
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    TRICKY_TEXT,
).map(json.dumps) | st.sampled_from(["1.10", "1e400", "-0", "1E+2"])


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(inner, max_size=4))
    return "[" + ",".join(draw(SPACE) + item + draw(SPACE) for item in items) + "]"


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[str], unique: bool = True) -> str:
    keys = draw(st.lists(TRICKY_TEXT, max_size=5, unique=unique))
    members = [
        draw(SPACE) + json.dumps(key) + draw(SPACE) + ":" + draw(SPACE) + draw(inner) + draw(SPACE) for key in keys
    ]
    return "{" + (",".join(members) or draw(SPACE)) + "}"


VALUES = st.recursive(SCALARS, lambda inner: arrays(inner) | objects(inner), max_leaves=12)


@given(objects(VALUES), SPACE, SPACE)
def test_members_are_located_exactly(text: str, before: str, after: str) -> None:
    buffer = (before + text + after).encode()
    members = object_members(buffer, strip_span(buffer))
    wanted = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    assert list(members) == list(wanted)
    for key, member in members.items():
        assert buffer[member.value.start : member.value.end] == bytes(wanted[key])
        assert msgspec.json.decode(buffer[member.start : member.value.start].rstrip().rstrip(b":").rstrip()) == key


@given(arrays(VALUES))
def test_items_are_located_exactly(text: str) -> None:
    buffer = b"  " + text.encode()
    spans = array_items(buffer, strip_span(buffer))
    wanted = [bytes(raw) for raw in msgspec.json.decode(text, type=list[msgspec.Raw])]
    assert [buffer[span.start : span.end] for span in spans] == wanted


@given(objects(VALUES, unique=False))
def test_a_repeated_key_is_always_refused(text: str) -> None:
    keys = [key for key, _ in json.loads(text, object_pairs_hook=list)]
    if len(keys) == len(set(keys)):
        assert list(object_members(text.encode())) == keys
    else:
        with pytest.raises(JsonError):
            object_members(text.encode())


@given(objects(VALUES), st.data())
def test_removal_leaves_all_other_members_bytes(text: str, data: st.DataObject) -> None:
    buffer = text.encode()
    members = object_members(buffer)
    names = data.draw(st.sets(st.sampled_from([*members, "absent"])))
    rest = apply_edits(buffer, removal(members, names))
    kept = object_members(rest)
    assert list(kept) == [name for name in members if name not in names]
    for name, member in kept.items():
        before = members[name].value
        assert rest[member.value.start : member.value.end] == buffer[before.start : before.end]


@given(objects(VALUES))
def test_insertion_adds_one_member_at_the_end(text: str) -> None:
    buffer = b" " + text.encode() + b"\n"
    span = strip_span(buffer)
    members = object_members(buffer, span)
    longer = apply_edits(buffer, [insertion(members, b"brand-new key", b"[1.10]", span)])
    found = object_members(longer, strip_span(longer))
    assert list(found) == [*members, "brand-new key"]
    assert longer[slice(*found["brand-new key"].value)] == b"[1.10]"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b'{"a":1',
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":01}',
        b'{"a":1} x',
        b"{'a':1}",
        b'{"a":"\\ud800"}',
        b'{"\xff":1}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":1,"a":1}',
        b'{"a":12,"b":2,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"b":":","c":66,"c":[1,2]}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(JsonError):
        object_members(text, strip_span(text))


@pytest.mark.parametrize("text", [b"{}", b"[1,]", b"[1", b"", b"[" * 100_000 + b"]" * 100_000])
def test_what_is_no_array_is_refused(text: bytes) -> None:
    with pytest.raises(JsonError):
        array_items(text, Span(0, len(text)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":[1,"b"]}', {"a": [1, "b"]}),
        (b"1e400", float("inf")),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_decode(text: bytes, value: Any) -> None:
    assert decode(text) == value


@pytest.mark.parametrize("text", [b"1" * 5000, b"[" * 100_000 + b"]" * 100_000, b"{"])
def test_decode_refuses_what_python_cannot_hold(text: bytes) -> None:
    with pytest.raises(JsonError):
        decode(text)


def test_edits_may_come_in_any_order_but_not_overlap() -> None:
    assert apply_edits(b"abcdef", [Edit(Span(4, 5), b"E"), Edit(Span(0, 2), b"")]) == b"cdEf"
    assert apply_edits(b"abcdef", [Edit(Span(2, 3), b"CC")], Span(1, 4)) == b"bCCd"
    with pytest.raises(ValueError, match="overlap"):
        apply_edits(b"abcdef", [Edit(Span(0, 3), b""), Edit(Span(2, 4), b"")])


def test_strip_span() -> None:
    assert strip_span(b' \n{"a":1}\t') == Span(2, 9)
    assert strip_span(b"x") == Span(0, 1)
