"""What is trained on: documents, judged queries, queries without labels, and what a first stage finds for a query."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from esci_data import BM25, words
from training.texts import Fields, plain_text, template_of


class Judged(Protocol):
    """What a reader of judgements gives: a query, a document and how well they fit."""

    query: str
    document: Mapping[str, tuple[str, ...]]
    document_id: str
    grade: float
    """Gain, 0 to 1."""
    weight: float
    """How much it counts; 0: nothing is known but that the document is no negative."""


class Candidates(Protocol):
    """A first stage: finds documents for a query."""

    def find(self, query: str, count: int) -> list[str]:
        """Return ids, best first."""
        ...


@dataclass(frozen=True)
class Fold:
    """One of several models: part ``number`` of ``of`` is held out from it, or nothing."""

    number: int
    of: int
    holds_out: bool = True


@dataclass
class Corpus:
    """Documents and what is known of them."""

    documents: dict[str, Fields]
    judged: dict[str, dict[str, float]]
    """Query -> document id -> gain, 0 to 1."""
    queries: list[str] = field(default_factory=list)
    """Without labels."""
    weights: dict[tuple[str, str], float] = field(default_factory=dict)
    """(query, document id) -> weight, where it is not 1."""
    spared: dict[str, set[str]] = field(default_factory=dict)
    """Query -> documents that nobody judged and that are no negatives either."""
    least_labels: int = 20
    """A query with at least so many judged documents is rankable: it can be ranked and measured. Others only teach."""

    @classmethod
    def of(
        cls, judgements: Iterable[Judged], queries: Sequence[str], more: Mapping[str, Fields], least_labels: int = 20
    ) -> Corpus:
        """Gather judgements; ``more`` are documents that nobody judged."""
        corpus = cls(dict(more), {}, list(queries), least_labels=least_labels)
        for judgement in judgements:
            corpus.documents.setdefault(judgement.document_id, judgement.document)
            if not judgement.weight:
                corpus.spared.setdefault(judgement.query, set()).add(judgement.document_id)
                continue
            corpus.judged.setdefault(judgement.query, {})[judgement.document_id] = judgement.grade
            if judgement.weight != 1:
                corpus.weights[judgement.query, judgement.document_id] = judgement.weight
        return corpus

    def lists(self) -> list[str]:
        """Return the queries that can be ranked and measured, in the order in which they were read."""
        return [query for query in self.judged if self.rankable(query)]

    def rankable(self, query: str) -> bool:
        """Return whether a judged query has enough labels to be ranked and measured."""
        return len(self.judged[query]) >= self.least_labels

    def known(self, query: str) -> set[str]:
        """Return the documents that must not be taken for negatives of a judged query."""
        return self.judged[query].keys() | self.spared.get(query, set())

    def digest(self) -> str:
        """Return a digest of all that is in it."""
        sha = hashlib.sha256()
        for part in (self.documents.items(), self.judged.items(), self.queries, self.weights.items()):
            for one in part:
                sha.update(repr(one).encode("utf-8", "surrogatepass"))
            sha.update(b"\0")
        spared = sorted((query, sorted(ids)) for query, ids in self.spared.items())
        sha.update(repr((spared, self.least_labels)).encode("utf-8", "surrogatepass"))
        return sha.hexdigest()

    def split(self, fold: Fold | None) -> tuple[list[str], list[str]]:
        """Return the judged queries to train on and those held out, of which only rankable ones are."""
        if fold is None or not fold.holds_out:
            return list(self.judged), []
        held_out = [query for place, query in enumerate(self.lists()) if place % fold.of == fold.number]
        apart = {frozenset(words(query)) for query in held_out}
        return [query for query in self.judged if frozenset(words(query)) not in apart], held_out

    def only(self, queries: Sequence[str]) -> Corpus:
        """Return the corpus with the labels of these queries alone; documents and queries without labels stay."""
        kept = set(queries)
        return replace(
            self,
            judged={query: grades for query, grades in self.judged.items() if query in kept},
            weights={pair: weight for pair, weight in self.weights.items() if pair[0] in kept},
            spared={query: ids for query, ids in self.spared.items() if query in kept},
        )


class LexicalIndex:
    """BM25 over some fields of all documents."""

    def __init__(self, documents: Mapping[str, Fields], fields: Sequence[str]) -> None:
        """Index the documents."""
        template = template_of(fields)
        self.ids = list(documents)
        self.number = {identity: number for number, identity in enumerate(self.ids)}
        self._bm25 = BM25([plain_text(template, documents[identity]) for identity in self.ids])

    def find(self, query: str, count: int) -> list[str]:
        """Return ids of documents that share a word with the query, best first."""
        return [self.ids[number] for number in self._bm25.top(query, count)]

    def scores(self, query: str) -> npt.NDArray[np.float64]:
        """Return each document's score, shape [documents], in the order of ``ids``."""
        return self._bm25.scores(query)
