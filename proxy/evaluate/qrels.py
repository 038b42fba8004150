"""Reads judged queries: TREC qrels with a table of queries, the ESCI examples parquet, ESCI judgments as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ESCI_GRADES = {"E": 3, "S": 2, "C": 1, "I": 0}
"""Exact, Substitute, Complement, Irrelevant: the labels of ESCI as grades of a qrels file."""


class BadInput(ValueError):
    """What a person gave cannot be used; the message is one line that says what, where, and what to do."""


@dataclass(slots=True)
class Judgements:
    """Queries with their judged documents."""

    queries: dict[str, str] = field(default_factory=dict)
    """Query id -> query text, in the order of the source. Each has an entry in ``grades``."""
    grades: dict[str, dict[str, int]] = field(default_factory=dict)
    """Query id -> document id -> grade, 0 or more."""
    unjudged_queries: int = 0
    """Queries left out because nothing is judged for them."""
    textless_queries: int = 0
    """Judged query ids left out because no query text is known for them."""

    @property
    def count(self) -> int:
        """Number of judgements."""
        return sum(map(len, self.grades.values()))


def read_trec(qrels: Path, queries: Path) -> Judgements:
    """Read ``qid 0 docid grade`` lines and ``qid<TAB>query`` lines; queries present in only one of them are left out.

    A negative grade (TREC's mark for junk) counts as 0. Raises BadInput with file and line number.
    """
    texts = read_queries(queries)
    grades = read_qrels(qrels)
    both = {qid: text for qid, text in texts.items() if qid in grades}
    if not both:
        raise BadInput(f"{qrels} and {queries} have no query id in common; are they of the same collection?")
    return Judgements(
        queries=both,
        grades={qid: grades[qid] for qid in both},
        unjudged_queries=len(texts) - len(both),
        textless_queries=len(grades) - len(both),
    )


def read_queries(path: Path) -> dict[str, str]:
    """Read lines of query id, tab, query text. Raises BadInput with file and line number."""
    texts: dict[str, str] = {}
    for number, line in _lines(path):
        qid, tab, text = line.partition("\t")
        qid, text = qid.strip(), text.strip()
        if not (tab and qid and text):
            raise BadInput(f"{path}:{number}: expected a query id, a tab and a query, found {_shown(line)}")
        if qid in texts:
            raise BadInput(f"{path}:{number}: query id {qid!r} is there twice")
        texts[qid] = text
    if not texts:
        raise BadInput(f"{path}: no query in it; expected lines of a query id, a tab and a query")
    return texts


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Read lines of ``qid 0 docid grade``, split at white space. Raises BadInput with file and line number."""
    grades: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        columns = line.split()
        if len(columns) != 4:
            raise BadInput(
                f"{path}:{number}: expected 4 columns (query id, 0, document id, grade), found {_shown(line)}"
            )
        qid, _, docid, grade = columns
        try:
            value = int(grade)
        except ValueError:
            raise BadInput(f"{path}:{number}: the grade must be a whole number, found {grade!r}") from None
        judged = grades.setdefault(qid, {})
        if judged.setdefault(docid, max(value, 0)) != max(value, 0):
            raise BadInput(f"{path}:{number}: {docid!r} has two different grades for query {qid!r}")
    if not grades:
        raise BadInput(f"{path}: no judgement in it; expected lines of query id, 0, document id, grade")
    return grades


def read_judgments_jsonl(path: Path) -> Judgements:
    """Read JSON lines ``{"query": text, "labels": {docid: "E" | "S" | "C" | "I"}}``; query ids are line numbers.

    Raises BadInput with file and line number.
    """
    found = Judgements()
    for number, line in _lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{path}:{number}: not JSON: {error}") from None
        query, labels = (row.get("query"), row.get("labels")) if isinstance(row, dict) else (None, None)
        if not (isinstance(query, str) and query.strip() and isinstance(labels, dict) and labels):
            raise BadInput(f'{path}:{number}: expected {{"query": text, "labels": {{document id: label}}}}')
        found.queries[str(number)] = query
        found.grades[str(number)] = {docid: _grade(label, f"{path}:{number}") for docid, label in labels.items()}
    if not found.queries:
        raise BadInput(f"{path}: no query in it")
    return found


def read_examples(path: Path, split: str | None, locale: str | None) -> Judgements:
    """Read the official ESCI examples parquet (columns query, query_id, product_id, product_locale, esci_label, split).

    ``split`` and ``locale`` keep the rows that have them; None keeps all. Raises BadInput.
    """
    found = Judgements()
    for row in parquet_rows(path):
        if (split is not None and row["split"] != split) or (locale is not None and row["product_locale"] != locale):
            continue
        qid = str(row["query_id"])
        if found.queries.setdefault(qid, row["query"]) != row["query"]:
            raise BadInput(f"{path}: query_id {qid} has two different texts")
        found.grades.setdefault(qid, {})[row["product_id"]] = _grade(row["esci_label"], f"{path}: query_id {qid}")
    if not found.queries:
        raise BadInput(f"{path}: no row with split {split or 'any'!r} and locale {locale or 'any'!r}")
    return found


def parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of the official ESCI examples parquet. Raises BadInput."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["query", "query_id", "product_id", "product_locale", "esci_label", "split"]
    try:
        with pq.ParquetFile(path) as file:
            if missing := sorted(set(columns) - set(file.schema_arrow.names)):
                raise BadInput(f"{path}: no column {', '.join(missing)}; is it the ESCI examples file?")
            for batch in file.iter_batches(columns=columns):
                yield from batch.to_pylist()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
    except pa.ArrowInvalid as error:
        raise BadInput(f"{path}: not a parquet file: {error}") from None


def _grade(label: object, where: str) -> int:
    if isinstance(label, str) and label in ESCI_GRADES:
        return ESCI_GRADES[label]
    raise BadInput(f"{where}: the label must be E, S, C or I, found {label!r}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line) of the lines that are not blank."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text ({error.reason})") from None


def _shown(line: str) -> str:
    return repr(line if len(line) <= 60 else line[:57] + "...")
