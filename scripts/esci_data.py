"""Reads the ESCI slice and ranks it with BM25: what the training and the report of a model share.

The folder (``ESCI_DIR``, by default ``../shared/data/esci``) holds ``products.jsonl.gz``, ``pairs.extra.jsonl.gz``,
``judgments.train.jsonl``, ``judgments.dev.jsonl`` and ``queries.unlabelled.txt.gz``.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

GAINS = {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0}
"""Gain of each ESCI label in nDCG, as usual for this data: exact, substitute, complement, irrelevant."""

VARIANTS = {
    "title": ("title",),
    "title+brand": ("title", "brand"),
    "title+description+brand": ("title", "description", "brand"),
    "title+brand+color+bullets": ("title", "brand", "color", "bullets"),
    "title+bullets+description": ("title", "bullets", "description"),
}
"""Fields of a document text, in order, as a proxy may send them."""

Product = dict[str, str]
"""Texts of a product by field: id, title, brand, color, bullets, description."""


@dataclass(frozen=True)
class Judged:
    """A query with the labels of its judged products."""

    query: str
    labels: dict[str, str]


@dataclass(frozen=True)
class LabelledPair:
    """A query with one labelled product, given with its text."""

    query: str
    product: Product
    label: str


def esci_folder() -> Path:
    """Return the folder of the ESCI slice.

    Raises:
        SystemExit: it is not there.
    """
    folder = Path(os.environ.get("ESCI_DIR", "../shared/data/esci"))
    if not (folder / "products.jsonl.gz").is_file():
        raise SystemExit(f"no products.jsonl.gz in {folder}; set ESCI_DIR to the folder of the ESCI slice")
    return folder


def read_products(folder: Path) -> dict[str, Product]:
    """Return the products by id."""
    return {row["asin"]: _product(row, row["asin"], "bullet_points") for row in _rows(folder / "products.jsonl.gz")}


def read_judgments(path: Path) -> list[Judged]:
    """Return the judged queries of a file."""
    return [Judged(row["query"], row["labels"]) for row in _rows(path)]


def read_extra_pairs(folder: Path) -> list[LabelledPair]:
    """Return the labelled pairs over queries that have about one pair each."""
    return [
        LabelledPair(row["query"], _product(row, row["product_id"], "bullets"), row["label"])
        for row in _rows(folder / "pairs.extra.jsonl.gz")
    ]


def read_unlabelled_queries(folder: Path) -> list[str]:
    """Return query texts without labels. Judged queries may be among them: see `leave_out`."""
    with gzip.open(folder / "queries.unlabelled.txt.gz", "rt", encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


def leave_out(queries: Iterable[str], judged: Iterable[Judged]) -> list[str]:
    """Return the queries whose words, case and order apart, are not those of a judged one."""
    taken = {frozenset(words(entry.query)) for entry in judged}
    return [query for query in queries if frozenset(words(query)) not in taken]


def text_of(product: Product, fields: Sequence[str]) -> str:
    """Return the document text: the fields' texts joined by spaces, empty ones left out."""
    return " ".join(product[field] for field in fields if product[field])


def ndcg(gains: Sequence[float], ideal: Iterable[float], cutoff: int = 10) -> float:
    """Return nDCG at a cut-off: the sum of gain / log2(rank + 1), divided by that of the ideal order.

    Source: Järvelin and Kekäläinen 2002; gains and ideal are the labels' gains, not exponentiated.
    """
    best = _dcg(sorted(ideal, reverse=True)[:cutoff])
    return _dcg(gains[:cutoff]) / best if best else 0.0


def words(text: str) -> list[str]:
    """Return lower-case words, a plural's s cut: near enough to an English analyzer for a baseline."""
    found: list[str] = re.findall(r"[^\W_]+", text.lower())
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]


class BM25:
    """BM25 as Lucene has it (k1 1.2, b 0.75) over a list of texts."""

    def __init__(self, texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> None:
        """Index the texts."""
        counts = [Counter(words(text)) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], dtype=np.float64)
        norms = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-9))
        postings: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for number, count in enumerate(counts):
            for word, times in count.items():
                postings[word][0].append(number)
                postings[word][1].append(times)
        self.size = len(texts)
        self._weights: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = {}
        for word, (numbers, times) in postings.items():
            where, often = np.array(numbers), np.array(times, dtype=np.float64)
            idf = math.log(1 + (self.size - len(numbers) + 0.5) / (len(numbers) + 0.5))
            self._weights[word] = where, idf * often / (often + norms[where])

    def scores(self, query: str) -> npt.NDArray[np.float64]:
        """Return each text's score, shape [texts]."""
        scores = np.zeros(self.size)
        for word in words(query):
            if word in self._weights:
                where, weights = self._weights[word]
                scores[where] += weights
        return scores

    def top(self, query: str, count: int) -> list[int]:
        """Return the numbers of the best texts with a score above 0, best first, ties in the order of the texts."""
        scores = self.scores(query)
        order = np.argsort(-scores, kind="stable")[:count]
        return [int(number) for number in order if scores[number] > 0]


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def _product(row: dict[str, Any], identity: str, bullets: str) -> Product:
    texts = {"title": "title", "brand": "brand", "color": "color", "bullets": bullets, "description": "description"}
    return {"id": identity} | {name: " ".join(str(row.get(key) or "").split()) for name, key in texts.items()}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    data = path.read_bytes()
    for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines():
        yield json.loads(line)
