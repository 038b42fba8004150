"""Reads a recipe's data into a corpus."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from esci_data import words
from proxy.evaluate.qrels import BadInput
from training.corpus import Corpus
from training.documents import Fields, read_documents
from training.judgements import Judgement, merge, read
from training.recipe import Data


def read_corpus(data: Data) -> Corpus:
    """Read judgements, documents and queries; what must not be trained on is left out.

    Of the queries without labels those are left out too that have a judged list: they may be held out.

    Raises:
        BadInput: a file or a line of it is wrong, in one line.
    """
    judgements = [judgement for source in data.judgements for judgement in read(source)]
    if len(data.judgements) > 1:
        judgements = merge(judgements, _note)
    documents: dict[str, Fields] = {}
    for path in data.documents:
        documents |= read_documents(Path(path))
    apart = {_key(query) for path in data.leave_out for query in _left_out(Path(path))}
    kept = [judgement for judgement in judgements if _key(judgement.query) not in apart]
    if len(kept) < len(judgements):
        _note(f"{len(judgements) - len(kept)} judgements left out, as leave_out asks")
    counts: dict[frozenset[str], int] = {}
    for judgement in kept:
        counts[_key(judgement.query)] = counts.get(_key(judgement.query), 0) + 1
    apart |= {key for key, count in counts.items() if count >= data.least_labels}
    queries = [query for query in _lines(data.queries) if _key(query) not in apart]
    corpus = Corpus.of(kept, queries, documents, data.least_labels)
    _note(
        f"{len(corpus.documents)} documents, {len(queries)} queries without labels, {len(corpus.judged)} with, "
        f"of which {len(corpus.lists())} are rankable: they have least_labels, {data.least_labels}, or more"
    )
    return corpus


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def _key(query: str) -> frozenset[str]:
    """Two queries with the same words, case and order apart, are one."""
    return frozenset(words(query))


def _left_out(path: Path) -> Iterator[str]:
    for number, line in enumerate(_lines(str(path)), 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{path}, line {number}: no JSON: {error}") from error
        if not isinstance(row, Mapping) or not isinstance(row.get("query"), str):
            raise BadInput(f'{path}, line {number}: expected {{"query": ...}}')
        yield row["query"]


def _lines(path: str) -> list[str]:
    """Return the lines of a text file that are not blank; none for no file."""
    if not path:
        return []
    opened = gzip.open if path.endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip()]
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: no UTF-8 text: {error}") from error


__all__ = ["Judgement", "read_corpus"]
