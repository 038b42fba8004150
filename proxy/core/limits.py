"""What in a search's body forbids widening it, or bounds how far it may be widened."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from proxy.core.messages import Reason
from proxy.core.rawjson import JsonError

DEFAULT_RESCORE_WINDOW = 10
DEFAULT_RANK_WINDOW = 10
"""``window_size`` of a rescorer and ``rank_window_size`` of a retriever where the client gives none."""

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_WINDOWED_RETRIEVERS = {"rrf", "linear", "rescorer", "rule", "pinned", "diversify"}
_PLAIN_RETRIEVERS = {"standard", "knn"}
_FUSING_RETRIEVERS = {"rrf", "linear"}
_OF_THE_SEARCH = ("sort", "search_after", "collapse", "terminate_after")

_MAX_DIGITS = 20
_LARGEST_INT = 2**31 - 1
_MAX_NESTING = 500
"""Of objects and lists in a body: other parts walk over it by recursion."""


class Unreadable(ValueError):
    """A value has a form that the engine would refuse, or that we do not read as it does."""


def as_list(value: object) -> list[Any]:
    """Return a key's values where the engines take one alone or a list of them; none where it is missing."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def lenient_int(value: object) -> int:
    """Read a whole number of a body as the engines do: ``"2"``, ``2.7`` and ``1e1`` count too, cut towards zero.

    Raises:
        Unreadable: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Unreadable(f"{value!r} is no whole number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise Unreadable(f"{value!r} is no whole number")
    try:
        return value if isinstance(value, int) else int(float(value))
    except (ValueError, OverflowError):
        raise Unreadable(f"{value!r} is no whole number") from None


def url_int(value: str) -> int:
    """Read a whole number of the URL, where the engines take digits and a sign only.

    Raises:
        Unreadable: anything else.
    """
    if not _WHOLE.fullmatch(value) or len(value) > _MAX_DIGITS:
        raise Unreadable(f"{value[:40]!r} is no whole number")
    return int(value)


def page_number(name: str, url: dict[str, str], body: dict[str, Any], default: int) -> int:
    """Return ``from`` or ``size``: the URL's where it has one.

    Raises:
        Unreadable: the engine would refuse one of them. It reads the body's too where the URL's counts.
    """
    own = lenient_int(body.get(name, default))
    if name not in url:
        return own
    if not 0 <= own <= _LARGEST_INT:
        raise Unreadable(f"{own} is no {name}")
    return url_int(url[name])


def sort_keeps_score_order(body_sort: object, url_sort: str | None) -> bool:
    """Say whether the hits come in the order of ``_score``: no sort, an empty one, or ``_score`` first, descending.

    A sort in the URL is added after the body's.
    """
    if body_sort is None or body_sort in ([], {}):
        first: object = url_sort.split(",")[0] if url_sort else None
        if first is None:
            return True
    else:
        first = body_sort[0] if isinstance(body_sort, list) else body_sort
    return _is_score_descending(first)


def _is_score_descending(key: object) -> bool:
    if isinstance(key, str):
        name, _, order = key.partition(":")
        return name == "_score" and order in ("", "desc")
    if isinstance(key, dict) and key:
        # In one object the keys' order counts, as in a list.
        name, options = next(iter(key.items()))
        order = options.get("order", "desc") if isinstance(options, dict) else options
        return bool(name == "_score" and isinstance(order, str) and order.lower() == "desc")
    return False


def rescore_window(rescore: object) -> int | None:
    """Return the smallest ``window_size`` of the rescorers, None without any.

    Past it a rescorer that lowers scores sorts other documents in, so that a wider search has another first page.
    """
    if not rescore:
        return None
    windows = []
    for rescorer in as_list(rescore):
        if not isinstance(rescorer, dict):
            raise Unreadable("a rescorer is no object")
        windows.append(lenient_int(rescorer.get("window_size", DEFAULT_RESCORE_WINDOW)))
    return min(windows)


def retriever_window(retriever: object, inner: bool = False, fused: bool = False) -> int | Reason | None:
    """Return the smallest window in a tree of retrievers; None: nothing bounds it; a reason: leave it alone.

    Args:
        retriever: the tree.
        inner: it is another one's child.
        fused: it stands below one that makes an order of its own out of its children's.
    """
    if not isinstance(retriever, dict) or len(retriever) != 1:
        return Reason.RETRIEVER
    kind, options = next(iter(retriever.items()))
    if not isinstance(options, dict):
        return Reason.RETRIEVER
    if inner and "collapse" in options:
        return Reason.RETRIEVER  # what is left of a page depends on how many hits are asked for
    if "search_after" in options and not fused:
        return Reason.SEARCH_AFTER
    if not fused and not sort_keeps_score_order(options.get("sort"), None):
        return Reason.SORT
    if kind in _PLAIN_RETRIEVERS:
        # A knn retriever's k bounds its hits by itself; without k the size would change what is found.
        return Reason.KNN if kind == "knn" and "k" not in options else None
    if kind not in _WINDOWED_RETRIEVERS:
        return Reason.RETRIEVER
    windows = [_own_window(kind, options)]
    for child in _child_retrievers(options):
        bound = retriever_window(child, inner=True, fused=fused or kind in _FUSING_RETRIEVERS)
        if isinstance(bound, Reason):
            return bound
        if bound is not None:
            windows.append(bound)
    return min(windows)


def _own_window(kind: str, options: dict[str, Any]) -> int:
    if kind == "rescorer":
        return rescore_window(options.get("rescore")) or DEFAULT_RESCORE_WINDOW
    return lenient_int(options.get("rank_window_size", DEFAULT_RANK_WINDOW))


def retriever_limit(retriever: object) -> int | None:
    """Return how many hits the engine gives at most for a retriever that `retriever_window` has read; None: no limit.

    It refuses a larger ``size``, and ends the hits there.
    """
    if not isinstance(retriever, dict):
        return None
    kind, options = next(iter(retriever.items()))
    return _own_window(kind, options) if kind in _WINDOWED_RETRIEVERS else None


def with_outermost_retriever(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body with what an outermost ``standard`` retriever says of the whole search, as if it stood beside it.

    What the children of other retrievers say decides about those alone.
    """
    retriever = body.get("retriever")
    options = retriever.get("standard") if isinstance(retriever, dict) else None
    if not isinstance(options, dict):
        return body
    return {**body, **{key: options[key] for key in _OF_THE_SEARCH if key in options}}


def _child_retrievers(options: dict[str, Any]) -> list[object]:
    children = [options["retriever"]] if "retriever" in options else []
    # `linear` wraps each child together with its weight.
    return children + [
        child.get("retriever", child) if isinstance(child, dict) else child
        for child in as_list(options.get("retrievers"))
    ]


def knn_without_k(body: dict[str, Any]) -> bool:
    """Say whether a vector search has no ``k``: the engine then takes the size for it, so that widening changes it.

    It counts wherever it stands: in a rescorer, a filter or an aggregation it decides about scores, totals and counts.
    """
    return any(_is_open(section) for one in objects_in(body) if "knn" in one for section in as_list(one["knn"]))


def _is_open(section: object) -> bool:
    return isinstance(section, dict) and "field" in section and "k" not in section


def objects_in(value: object) -> Iterator[dict[str, Any]]:
    """Yield every object in a decoded body, those inside of ``wrapper`` queries too.

    Raises:
        JsonError: it nests deeper than any search does.
    """
    left = [(value, 0)]
    while left:
        one, depth = left.pop()
        if depth > _MAX_NESTING:
            raise JsonError("the body nests too deep")
        inner: Iterable[object] = one if isinstance(one, list) else ()
        if isinstance(one, dict):
            yield one
            wrapper = one.get("wrapper")
            inner = one.values() if not isinstance(wrapper, dict) else (*one.values(), unwrapped(wrapper))
        left += [(each, depth + 1) for each in inner]


def unwrapped(wrapper: dict[str, Any]) -> object:
    """Return the query that the options of a ``wrapper`` query hold in base64; None: it cannot be read."""
    try:
        return msgspec.json.decode(base64.b64decode(str(wrapper.get("query")), validate=True))
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        return None
