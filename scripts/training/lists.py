"""Lists: a query with some documents and what a model shall say of them. Each source makes lists of another kind."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from proxy.settings import Template
from training.corpus import Candidates, Corpus
from training.negation import Mention, feature_words, find_negation, mention
from training.teachers import GeneralTeacher
from training.texts import some_template

UNJUDGED_GAIN = 0.001
"""Of a document that the first stage found for a query and nobody judged: some of them fit."""
FieldSets = Sequence[tuple[Sequence[str], float]]
"""Sets of fields and how often each is used."""


@dataclass(frozen=True)
class List:
    """A query with documents: what a listwise loss is taken over. All texts have the same fields, as an engine's."""

    query: str
    ids: tuple[str, ...]
    template: Template
    gains: tuple[float, ...] | None = None
    """Labels, 0 to 1; None: only a teacher speaks."""
    logits: tuple[float, ...] | None = None
    """A teacher's; None: only labels speak."""
    weights: tuple[float, ...] | None = None
    """How much each label counts; None: 1 each."""

    @property
    def weight(self) -> float:
        """How much the labels count together."""
        return sum(self.weights) / len(self.weights) if self.weights else 1.0


@dataclass(frozen=True)
class Sources:
    """Makes lists from a corpus. Each method draws anew from ``rng``."""

    corpus: Corpus
    teacher: GeneralTeacher
    fields: FieldSets
    rng: random.Random = field(repr=False)
    first_stage: Candidates
    """Finds what makes hard negatives for a query."""

    def judged(self, queries: Sequence[str], size: int, found: int = 0) -> list[List]:
        """Deal the judged documents of each rankable query into lists, exact ones spread over them.

        To each list ``found`` documents are added that the first stage finds and nobody judged. A query with so many
        labels has most of what fits it among them: these count as irrelevant.
        """
        made = []
        for query in queries:
            if not self.corpus.rankable(query):
                continue
            grades, known = self.corpus.judged[query], self.corpus.known(query)
            others = [i for i in self.first_stage.find(query, 100) if i not in known] if found else []
            ids = list(grades)
            self.rng.shuffle(ids)
            ids.sort(key=lambda identity: -grades[identity])  # stable: shuffled within a grade
            count = max(1, len(ids) // size)
            for start in range(count):
                more = self.rng.sample(others, min(found, len(others)))
                made.append(self._labelled(query, [*ids[start::count][:size], *more], dict.fromkeys(more, 0.0)))
        return made

    def sparse(self, queries: Sequence[str], size: int) -> list[List]:
        """Put the labelled documents of queries with few into lists, with found ones and strangers beside them."""
        every = list(self.corpus.documents)
        made = []
        for query in queries:
            if self.corpus.rankable(query):
                continue
            grades, known = self.corpus.judged[query], self.corpus.known(query)
            chosen = self.rng.sample(list(grades), min(len(grades), size - 2))
            negation = find_negation(query)
            found = [i for i in self.first_stage.find(query, 40) if i not in known]
            if negation and self.rng.random() < 0.5:
                having = [i for i in found if mention(self.teacher.texts[i], negation.excluded) is Mention.HAS]
                found = having or found
            near = self.rng.sample(found, min(len(found), size - len(chosen) - 1))
            far = [i for i in self.rng.sample(every, 2 * size) if i not in known][: size - len(chosen) - len(near)]
            unjudged = dict.fromkeys(near, UNJUDGED_GAIN) | dict.fromkeys(far, 0.0)
            made.append(self._labelled(query, [*chosen, *near, *far], unjudged))
        return made

    def _labelled(self, query: str, ids: Sequence[str], unjudged: dict[str, float]) -> List:
        grades = self.corpus.judged[query] | unjudged
        own = {i: self.corpus.weights.get((query, i), 1.0) for i in ids if i not in unjudged}
        mean = sum(own.values()) / len(own)  # what nobody judged counts as much as what it stands beside
        weights = tuple(own.get(identity, mean) for identity in ids)
        gains = tuple(grades[identity] for identity in ids)
        template = some_template(self.fields, self.rng)
        return List(query, tuple(ids), template, gains, None, weights if set(weights) != {1.0} else None)

    def general(self, queries: Sequence[str], size: int) -> list[List]:
        """Let the teacher speak of documents that share words or meaning with a query and, from 5 on, of a stranger."""
        vectors = self.teacher.prepare(queries)
        made = []
        for query in queries:
            lexical, cosine = self.teacher.views(query, vectors[query])
            by_words = np.argsort(-lexical, kind="stable")
            by_meaning = np.argsort(-cosine, kind="stable")
            picks = [self.rng.choice(by_words[:4]), self.rng.choice(by_meaning[:4])]
            for place in range(max(2, size - 3)):
                ranked = by_meaning if place % 2 else by_words
                picks.append(self.rng.choice(ranked[4 : 40 if place < 2 else 100]))
            picks.append(self.rng.randrange(len(lexical)))
            picks = picks[-size:] if size < 4 else picks[:size]
            made.append(self._taught(query, [int(number) for number in picks], lexical, cosine))
        return made

    def excluding(self, queries: Sequence[str], size: int) -> list[List]:
        """Let the teacher speak of documents for queries that exclude something: half of them have it."""
        usable = [query for query in queries if find_negation(query)]
        vectors = self.teacher.prepare(usable)
        made = []
        for query in usable:
            negation = find_negation(query)
            assert negation is not None
            lexical, cosine = self.teacher.views(query, vectors[query])
            near = np.argsort(-self.teacher.logits(query, lexical, cosine), kind="stable")[:80]
            groups: dict[Mention, list[int]] = {kind: [] for kind in Mention}
            for number in near:
                text = self.teacher.texts[self.teacher.index.ids[int(number)]]
                groups[mention(text, negation.excluded)].append(int(number))
            having = groups[Mention.HAS][: 3 * size]
            if not having:
                continue
            picks = self.rng.sample(having, min(len(having), size // 2))
            lacking = groups[Mention.DENIES][:2] + groups[Mention.SILENT][: 3 * size]
            picks += self.rng.sample(lacking, min(len(lacking), size - len(picks)))
            made.append(self._taught(query, picks, lexical, cosine))
        return made

    def invented(self, count: int, size: int) -> list[List]:
        """Make queries that exclude: a title's feature ("with lid") is taken from a query that its product answers."""
        ids = [identity for identity in self.corpus.documents if feature_words(self.teacher.texts[identity])]
        queries = set()
        for identity in self.rng.sample(ids, min(len(ids), count)):
            text = self.teacher.texts[identity]
            head = text.lower().split(" with ")[0].replace(",", " ").split()
            word = self.rng.choice(feature_words(text))
            # The words before "with" end in what the thing is: the last two or three of them ask for it.
            wanted = " ".join(head[-self.rng.choice([2, 2, 3]) :])
            queries.add(f"{wanted} {self.rng.choice(['without', 'without', 'no', 'with no', 'not'])} {word}")
        return self.excluding(sorted(queries), size)

    def taught_by(
        self, queries: Sequence[str], size: int, score: Callable[[list[List]], list[tuple[float, ...]]]
    ) -> list[List]:
        """Let a model speak of documents as `general` chooses them; ``score`` gives the logits of lists."""
        return rescored(self.general(queries, size), score)

    def _taught(self, query: str, picks: Sequence[int], lexical: np.ndarray, cosine: np.ndarray) -> List:
        said = self.teacher.logits(query, lexical, cosine)
        ids = tuple(dict.fromkeys(self.teacher.index.ids[number] for number in picks))
        number = self.teacher.index.number
        logits = tuple(self.teacher.heed(query, identity, float(said[number[identity]])) for identity in ids)
        return List(query, ids, some_template(self.fields, self.rng), None, logits)


def rescored(lists: list[List], score: Callable[[list[List]], list[tuple[float, ...]]]) -> list[List]:
    """Return the lists with the logits of another teacher, labels kept."""
    return [replace(entry, logits=logits) for entry, logits in zip(lists, score(lists), strict=True)]
