"""How a model ranks held-out queries: their own judged documents, and what BM25 finds among all documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from esci_data import ndcg
from figures import Ranked, column, gain_over, with_interval
from training.corpus import Corpus, LexicalIndex
from training.loop import score
from training.texts import PairEncoder, document_of, template_of

TOP = 100
JUDGED, FOUND = "judged lists", f"BM25's top {TOP}"
BLENDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Figures:
    """What was ranked, by what is ranked."""

    lists: dict[str, list[Ranked]]

    def lines(self) -> list[str]:
        """Return nDCG@10 of BM25 and of the model, and of the blends of both."""
        lines = []
        for what, lists in self.lists.items():
            alone, bm25 = column(lists, 0.0), column(lists, 1.0)
            blends = ", ".join(f"{blend:g}: {column(lists, blend).mean():.4f}" for blend in BLENDS)
            lines.append(
                f"{what}, {len(lists)} queries: BM25 {bm25.mean():.4f}, model {with_interval(alone)}, "
                f"gain {gain_over(alone, bm25)}; BM25's share {blends}"
            )
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return what `Figures.of_json` reads."""
        return {what: [dataclasses.asdict(entry) for entry in lists] for what, lists in self.lists.items()}

    @classmethod
    def of_json(cls, parts: Sequence[dict[str, Any]]) -> Figures:
        """Put parts together, such as those of several folds."""
        return cls({what: [Ranked(**entry) for part in parts for entry in part[what]] for what in parts[0]})


def judged_lists(
    model: PreTrainedModel, corpus: Corpus, queries: Sequence[str], fields: Sequence[str], encoder: PairEncoder
) -> float:
    """Return the mean nDCG@10 of the queries' own judged documents: quick, for early stops."""
    template = template_of(fields)
    owners = [(query, identity) for query in queries for identity in corpus.judged[query]]
    pairs = [encoder.encode(query, document_of(template, corpus.documents[i])) for query, i in owners]
    said = dict(zip(owners, score(model, pairs), strict=True))
    values = []
    for query in queries:
        grades = corpus.judged[query]
        order = sorted(grades, key=lambda identity: -said[query, identity])
        values.append(ndcg([grades[identity] for identity in order], grades.values()))
    return float(np.mean(values))


def measure(
    model: PreTrainedModel, corpus: Corpus, queries: Sequence[str], fields: Sequence[str], encoder: PairEncoder
) -> Figures:
    """Rank each query's judged documents and BM25's top 100 of all documents, over the same fields."""
    template = template_of(fields)
    index = LexicalIndex(corpus.documents, fields)
    tasks = []
    for query in queries:
        lexical = index.scores(query)
        own = sorted(corpus.judged[query], key=lambda identity: -lexical[index.number[identity]])
        for what, ids in ((JUDGED, own), (FOUND, index.find(query, TOP))):
            tasks.append((what, query, ids, [float(lexical[index.number[identity]]) for identity in ids]))
    wanted = list(dict.fromkeys((query, identity) for _, query, ids, _ in tasks for identity in ids))
    pairs = [encoder.encode(query, document_of(template, corpus.documents[i])) for query, i in wanted]
    said = dict(zip(wanted, score(model, pairs, "measure"), strict=True))
    lists: dict[str, list[Ranked]] = {JUDGED: [], FOUND: []}
    for what, query, ids, first in tasks:
        grades = corpus.judged[query]
        gains = [grades.get(identity, 0.0) for identity in ids]
        second = [round(said[query, identity], 5) for identity in ids]
        lists[what].append(Ranked(query, gains, list(grades.values()), first, second))
    return Figures(lists)
