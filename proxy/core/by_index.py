"""Texts of hits whose indices do not all have them in ``_source``: each kind of index is asked in its own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from proxy.core.rawjson import apply_edits, insertion, object_members, removal, strip_span
from proxy.core.response import Hit
from proxy.core.target_check import Origin, TargetCheck


@dataclass(slots=True)
class Group:
    """Hits whose texts stand in the same places."""

    fields: tuple[str, ...]
    """To be read from ``_source``."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Fields to be read elsewhere."""
    hits: list[Hit] = field(default_factory=list)
    """Empty: all."""

    def sections(self) -> dict[str, list[str]]:
        """Return the sections of a search that ask for the texts; empty: there are none."""
        found: dict[str, list[str]] = {"fields": list(self.fields)} if self.fields else {}
        for kind, name in self.origins.values():
            found.setdefault(kind, []).append(name)
        return found

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a hit's values under the names of the template, given its ``fields``."""
        elsewhere = {path: given[origin.name] for path, origin in self.origins.items() if origin.name in given}
        return {**given, **elsewhere}


def needs_groups(check: TargetCheck, elasticsearch: bool | None) -> bool:
    """Say whether texts cannot simply be asked for through ``fields``."""
    refused = elasticsearch is not True and any(map(check.fails_on_fields, check.lacking))
    return refused or any(check.origins.values())


def group_hits(hits: Sequence[Hit], names: Sequence[str], check: TargetCheck) -> list[Group]:
    """Part hits by where the fields of their indices stand; those without any text are left out."""
    groups: dict[tuple[Any, ...], Group] = {}
    for hit in hits:
        index = hit.text("_index") or ""
        lacks = check.lacking.get(index, ())
        origins = check.origins.get(index, {})
        fields = () if check.fails_on_fields(index) else tuple(name for name in names if name not in lacks)
        if fields or origins:
            key = (fields, tuple(sorted(origins.items())))
            groups.setdefault(key, Group(fields, origins)).hits.append(hit)
    return list(groups.values())


def group_body(body: bytes, group: Group) -> bytes:
    """Return the body of a search for texts, changed so that it gives those of a group's hits and no other hits.

    A hit's ``_index`` and ``_id`` are asked for in a ``post_filter``: scores, and so the hits there are, stay.
    """
    members = object_members(body, strip_span(body))
    own = members.get("post_filter")
    wanted = _only(group.hits)
    if own is not None:
        wanted = b'{"bool":{"filter":[%b,%b]}}' % (body[own.value.start : own.value.end], wanted)
    body = apply_edits(body, removal(members, ["post_filter", "fields", "stored_fields", "docvalue_fields"]))
    sections = {key: msgspec.json.encode(names) for key, names in group.sections().items()}
    for key, value in {"post_filter": wanted, **sections}.items():
        span = strip_span(body)
        body = apply_edits(body, [insertion(object_members(body, span), key.encode(), value, span)])
    return body


def _only(hits: Sequence[Hit]) -> bytes:
    by_index: dict[str, list[str]] = {}
    for hit in hits:
        by_index.setdefault(hit.text("_index") or "", []).append(hit.text("_id") or "")
    clauses = [
        {"bool": {"filter": [{"term": {"_index": index}}, {"ids": {"values": ids}}]}} for index, ids in by_index.items()
    ]
    return msgspec.json.encode({"bool": {"should": clauses, "minimum_should_match": 1}})
