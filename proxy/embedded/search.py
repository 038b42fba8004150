"""Runs one search over several indices and builds the answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tantivy import Occur, Query

from proxy.embedded.errors import ShardError, bad
from proxy.embedded.index import Document, Index, Snapshot
from proxy.embedded.mapping import Field, Value
from proxy.embedded.queries import Compiler
from proxy.embedded.search_request import MAX_WINDOW, Search, SortKey
from proxy.embedded.values import as_names, format_date


@dataclass(slots=True)
class Hit:
    """A matching document and where it belongs in the order."""

    score: float
    document: Document
    part: int
    """Which of the searched indices."""
    sort: list[Value | None]


def default_fields(index: Index) -> list[str]:
    """Return the fields for queries that name none."""
    return as_names("index.query.default_field", index.settings["index"].get("query.default_field", "*"))


def count(indices: Sequence[Index], query: dict[str, Any]) -> int:
    """Return how many documents match. Raises EngineError 400."""
    total = 0
    for index in indices:
        snapshot = index.snapshot()
        total += snapshot.top(Compiler(snapshot, default_fields(index)).compile(query), 1)[1]
    return total


class Run:
    """One search being run."""

    def __init__(self, search: Search, indices: Sequence[Index]) -> None:
        """Nothing is read yet."""
        self._search = search
        self._indices = indices
        self._snapshots: list[Snapshot] = []
        self._compilers: list[Compiler] = []
        self._hits: list[Hit] = []
        self._total = 0
        self._best: float | None = None
        self._counts: dict[str, Counter[Value]] = {name: Counter() for name in search.terms}

    def answer(self) -> dict[str, Any]:
        """Return the body of the answer. Raises EngineError 400."""
        started = time.monotonic()
        for index in self._indices:
            self._check_window(index)
            self._collect(index)
        page = self._page()
        shown = [self._show(hit) for hit in page]
        hits: dict[str, Any] = {**self._shown_total(), "max_score": self._max_score(), "hits": shown}
        shards = len(self._indices)
        answer: dict[str, Any] = {
            "took": round((time.monotonic() - started) * 1000),
            "timed_out": False,
            "_shards": {"total": shards, "successful": shards, "skipped": 0, "failed": 0},
            "hits": hits,
        }
        if self._search.terms:
            answer["aggregations"] = dict(self._buckets(name) for name in self._search.terms)
        return answer

    def _check_window(self, index: Index) -> None:
        end, limit = self._search.first + self._search.size, MAX_WINDOW
        limit = int(index.settings["index"].get("max_result_window", limit))
        if end > limit:
            reason = f"the result window is too large: from + size must be at most [{limit}] but is [{end}]"
            raise ShardError("illegal_argument_exception", reason, index.name)

    def _collect(self, index: Index) -> None:
        """Find the hits of one index: the best ones, or all where another order or a count needs them."""
        search, snapshot = self._search, index.snapshot()
        compiler = Compiler(snapshot, default_fields(index))
        everything = query = compiler.compile(search.query)
        if search.post_filter is not None:
            kept = Query.const_score_query(Compiler(snapshot, default_fields(index)).compile(search.post_filter), 0.0)
            query = Query.boolean_query([(Occur.Must, query), (Occur.Must, kept)])
        self._check_fields(snapshot)
        whole = not search.by_score_alone or search.min_score is not None
        limit = len(snapshot.documents) if whole else search.first + search.size
        ranked, total = snapshot.top(query, max(limit, 1))
        if search.min_score is not None:
            ranked = self._above_minimum(ranked)
            total = len(ranked)
        if ranked:
            self._best = max(ranked[0][0], ranked[0][0] if self._best is None else self._best)
        part = len(self._snapshots)
        self._snapshots.append(snapshot)
        self._compilers.append(compiler)
        self._total += total
        self._hits += [Hit(score, document, part, self._sort_values(score, document)) for score, document in ranked]
        if search.terms:
            self._count_terms(snapshot.top(everything, len(snapshot.documents) or 1)[0])

    def _check_fields(self, snapshot: Snapshot) -> None:
        """Refuse to sort or count by what is no field, or by text. Raises ShardError."""
        if not snapshot.fields:
            return
        for key in self._search.sort:
            if key.field not in ("_score", "_doc") and key.field not in snapshot.fields:
                reason = f"no mapping found for [{key.field}] in order to sort on"
                raise ShardError("query_shard_exception", reason, snapshot.index)
        for name in [key.field for key in self._search.sort] + [field for field, _ in self._search.terms.values()]:
            field = snapshot.fields.get(name)
            if field is not None and field.type == "text":
                reason = f"[{name}] is text, by which hits are neither sorted nor counted; use a keyword field"
                raise ShardError("illegal_argument_exception", reason, snapshot.index)

    def _sort_values(self, score: float, document: Document) -> list[Value | None]:
        return [_sort_value(key, score, document) for key in self._search.sort]

    def _page(self) -> list[Hit]:
        search = self._search
        if search.by_score_alone:
            self._hits.sort(key=lambda hit: -hit.score)
        try:
            for number, key in reversed(list(enumerate(search.sort)) if not search.by_score_alone else []):
                self._hits.sort(key=_order_by(number, key), reverse=key.descending)
        except TypeError:
            raise bad("[sort]: the values of the field differ in kind between the indices") from None
        return self._hits[search.first : search.first + search.size]

    def _max_score(self) -> float | None:
        shown = self._search.by_score_alone or self._search.track_scores
        return shortest(self._best) if shown and self._best is not None and self._search.size else None

    def _shown_total(self) -> dict[str, Any]:
        track = self._search.track_total_hits
        if track is False:
            return {"total": -1} if self._search.total_as_int else {}
        if self._search.total_as_int:
            return {"total": self._total}
        if track is True or self._total <= track:
            return {"total": {"value": self._total, "relation": "eq"}}
        return {"total": {"value": int(track), "relation": "gte"}}

    def _show(self, hit: Hit) -> dict[str, Any]:
        snapshot = self._snapshots[hit.part]
        shown: dict[str, Any] = {
            "_index": snapshot.index,
            "_id": hit.document.id,
            "_score": shortest(hit.score) if self._search.scored else None,
        }
        shown |= self._search.fetch.parts(hit.document, snapshot.fields, self._compilers[hit.part].terms)
        if not self._search.by_score_alone:
            shown["sort"] = [
                shortest(value) if key.field == "_score" else value
                for key, value in zip(self._search.sort, hit.sort, strict=True)
            ]
        return shown

    def _above_minimum(self, ranked: list[tuple[float, Document]]) -> list[tuple[float, Document]]:
        """Scores are 32-bit numbers: only as such can they be compared with what was shown of one."""
        minimum = -np.inf if self._search.min_score is None else np.float32(self._search.min_score)
        return [(score, document) for score, document in ranked if np.float32(score) >= minimum]

    def _count_terms(self, ranked: list[tuple[float, Document]]) -> None:
        for _, document in self._above_minimum(ranked):
            for name, (field, _) in self._search.terms.items():
                self._counts[name].update(set(document.values.get(field, ())))

    def _buckets(self, name: str) -> tuple[str, dict[str, Any]]:
        field_name, size = self._search.terms[name]
        ordered = sorted(self._counts[name].items(), key=lambda item: (-item[1], item[0]))
        fields = [snapshot.fields[field_name] for snapshot in self._snapshots if field_name in snapshot.fields]
        buckets = [{**_bucket_key(fields[0], key), "doc_count": found} for key, found in ordered[:size]]
        rest = sum(found for _, found in ordered[size:])
        content = {"doc_count_error_upper_bound": 0, "sum_other_doc_count": rest, "buckets": buckets}
        if not self._search.typed_keys:
            return name, content
        kind = "u" if not fields else "s" if fields[0].is_words else "d" if fields[0].is_float else "l"
        return f"{kind}terms#{name}" if kind != "u" else f"umterms#{name}", content


def shortest(score: Any) -> float:
    """Return a score that prints as the engine's do: the shortest digits that tell the 32-bit number."""
    return float(str(np.float32(score)))


def _sort_value(key: SortKey, score: float, document: Document) -> Value | None:
    if key.field == "_score":
        return score
    if key.field == "_doc":
        return document.sequence
    values: list[Any] = document.values.get(key.field, [])
    if not values:
        return None
    chosen: Value = max(values) if key.descending else min(values)
    return int(chosen) if isinstance(chosen, bool) else chosen


def _order_by(number: int, key: SortKey) -> Any:
    # Where the order is turned round, "last" must be the smallest.
    missing_rank = -1 if key.missing_first != key.descending else 1

    def rank(hit: Hit) -> tuple[int, Any]:
        value = hit.sort[number]
        return (missing_rank, 0) if value is None else (0, value)

    return rank


def _bucket_key(field: Field, key: Value) -> dict[str, Any]:
    if field.type == "boolean":
        return {"key": int(key), "key_as_string": "true" if key else "false"}
    if field.type == "date":
        return {"key": key, "key_as_string": format_date(int(key))}
    return {"key": key}
