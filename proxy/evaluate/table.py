"""Reads judgements as a table with a header, CSV or TSV: one file has the queries, the documents and their grades.

Columns ``query``, ``document_id`` (or ``product_id``, ``docid``) and ``grade`` (or ``label``) must be there;
``query_id``, ``relevance`` (0 to 1) and ``weight`` may; others are left alone.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.evaluate.qrels import ESCI_GRADES, BadInput, Judgements

COLUMNS = {"query": ("query",), "document_id": ("document_id", "product_id", "docid"), "grade": ("grade", "label")}
"""What must be there, and the names that it may have."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    place: str
    query: str
    query_id: str | None
    document_id: str
    grade: str
    relevance: float | None
    """0 to 1; None: the table has no such column."""
    weight: float


def has_header(path: Path) -> bool:
    """Return whether the file starts with a header of such a table; False too where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline()
    except (OSError, UnicodeDecodeError):
        return False
    names = {name.strip().strip('"').lower() for name in line.split(_delimiter(line))}
    return all(names & set(column) for column in COLUMNS.values())


def read_table(path: Path) -> Judgements:
    """Read a table for `rerank-proxy evaluate`; grades are whole numbers or the labels of ESCI.

    A query's id is its ``query_id``, else its text. Raises BadInput with file and line number.
    """
    found = Judgements()
    for row in read_rows(path):
        qid = row.query_id or row.query
        if found.queries.setdefault(qid, row.query) != row.query:
            raise BadInput(f"{row.place}: query_id {qid!r} has two different texts")
        grade = _whole(row)
        if found.grades.setdefault(qid, {}).setdefault(row.document_id, grade) != grade:
            raise BadInput(f"{row.place}: {row.document_id!r} has two different grades for {row.query!r}")
    return found


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the lines of a table. Raises BadInput with file and line number."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = _delimiter(file.readline())
            file.seek(0)
            yield from _rows(path, csv.reader(file, delimiter=delimiter, strict=True))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text ({error.reason})") from None


def _rows(path: Path, reader: Iterator[list[str]]) -> Iterator[Row]:
    names: list[str] | None = None
    number, started = 0, 0
    while True:
        started = getattr(reader, "line_num", number) + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise BadInput(f"{path}:{started}: not a line of the table: {error}") from None
        if not any(cell.strip() for cell in cells):
            continue
        if names is None:
            names = [cell.strip().lower() for cell in cells]
            _check_header(path, names)
            continue
        number += 1
        if len(cells) != len(names):
            raise BadInput(f"{path}:{started}: expected {len(names)} columns as in the header, found {len(cells)}")
        yield _row(dict(zip(names, cells, strict=True)), f"{path}:{started}")
    if not number:
        raise BadInput(f"{path}: no judgement in it")


def _check_header(path: Path, names: list[str]) -> None:
    missing = [" or ".join(column) for column in COLUMNS.values() if not set(column) & set(names)]
    if missing:
        raise BadInput(f"{path}: the header has no column {', '.join(missing)}; found {', '.join(names)}")


def _row(cells: dict[str, str], place: str) -> Row:
    values = {what: next(cells[name] for name in names if name in cells).strip() for what, names in COLUMNS.items()}
    for what, value in values.items():
        if not value:
            raise BadInput(f"{place}: {what} is empty")
    relevance, weight = _float(cells, "relevance", place), _float(cells, "weight", place)
    if relevance is not None and not 0 <= relevance <= 1:
        raise BadInput(f"{place}: relevance must be from 0 to 1, found {relevance:g}")
    if weight is not None and not 0 < weight < float("inf"):
        raise BadInput(f"{place}: weight must be above 0, found {weight:g}")
    return Row(
        place=place,
        query=values["query"],
        query_id=cells.get("query_id", "").strip() or None,
        document_id=values["document_id"],
        grade=values["grade"],
        relevance=relevance,
        weight=1.0 if weight is None else weight,
    )


def _float(cells: dict[str, str], name: str, place: str) -> float | None:
    if name not in cells:
        return None
    try:
        return float(cells[name])
    except ValueError:
        raise BadInput(f"{place}: {name} must be a number, found {cells[name]!r}") from None


def _whole(row: Row) -> int:
    if row.grade in ESCI_GRADES:
        return ESCI_GRADES[row.grade]
    try:
        return max(int(row.grade), 0)
    except ValueError:
        raise BadInput(f"{row.place}: a grade must be a whole number or E, S, C, I; found {row.grade!r}") from None


def _delimiter(line: str) -> str:
    return "\t" if "\t" in line else ","
