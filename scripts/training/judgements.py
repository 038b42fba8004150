"""Reads judgements of all formats into one form: a query, a document with its texts, and how well they fit.

A source is a mapping, as a recipe in YAML has it; ``format`` says what it is, the other keys are the format's options:

- ``qrels``: ``qrels`` (TREC lines with ``queries``, or CSV/TSV with a header), ``products``, ``max_grade`` or ``gains``
- ``labels``: ``labels`` (JSON lines of a query with its labelled documents), ``products``, ``gains``
- ``esci``: ``examples`` and ``products`` (the official parquet pair), ``split`` (train), ``locale`` (us), ``gains``
- ``pairs``: ``pairs`` (JSON lines of a query, a document and a grade), ``max_grade`` or ``gains``, ``field``
- ``ubi``: logs of User Behavior Insights with ``products``; see `training.ubi`

docs/training-data.md shows each.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from proxy.evaluate import table
from proxy.evaluate.qrels import BadInput, parquet_rows, read_qrels, read_queries
from training.documents import Fields, fields_of, identity_of, read_documents
from training.json_files import read_records
from training.options import Options

ESCI_GAINS = {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0}
"""Exact, substitute, complement, irrelevant: the gains in nDCG that are usual for this data."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How well a document fits a query."""

    query: str
    document: Fields
    document_id: str
    grade: float
    """Gain, 0 to 1."""
    weight: float = 1.0
    """How much it counts; 0: nothing is known but that the document is no negative for the query."""


@dataclass(frozen=True, slots=True)
class Row:
    """A judgement before its document is looked up."""

    query: str
    document_id: str
    grade: float
    weight: float = 1.0


Say = Callable[[str], None]
"""Takes a line for the person: what was left out, and how much of it."""


def read(source: Mapping[str, Any], say: Say | None = None) -> list[Judgement]:
    """Read a source; what is left out or merged is counted and said.

    Args:
        source: ``format`` and its options.
        say: takes each note, a line; by default they go to standard error.

    Raises:
        BadInput: the source, a file or a line of it is wrong: one line that says what, where, and what was expected.
    """
    say = say or _to_stderr
    name = source.get("format") if isinstance(source, Mapping) else None
    if name not in FORMATS:
        raise BadInput(f"judgements: format must be one of {', '.join(FORMATS)}; found {name!r}")
    reader, known = FORMATS[name]
    options = Options({key: source[key] for key in source if key != "format"}, known, f"judgements ({name})")
    merged = merge(reader(options, say), say)
    if not any(one.weight for one in merged):
        raise BadInput(f"judgements ({name}): no judgement is left; see the notes above for what was left out")
    return merged


def merge(judgements: Iterable[Judgement], say: Say | None = None) -> list[Judgement]:
    """Make one judgement of those of the same query and document id, in the order of the first ones.

    Queries are the same if they differ in white space only. The grade is the mean, weighted; the weight the highest
    one, so that a repeated line changes nothing; the document the first one.
    """
    groups: dict[tuple[str, str], list[Judgement]] = {}
    for one in judgements:
        query = " ".join(one.query.split())
        groups.setdefault((query, one.document_id), []).append(replace(one, query=query))
    repeated = sum(len(group) - 1 for group in groups.values())
    differing = sum(len({one.grade for one in group}) > 1 for group in groups.values())
    if repeated and say:
        say(f"{repeated} repeated judgements merged; {differing} pairs had different grades, their mean is taken")
    return [_merged(group) for group in groups.values()]


def _merged(group: list[Judgement]) -> Judgement:
    if len(group) == 1:
        return group[0]
    total = sum(one.weight for one in group) or 1.0
    grade = sum(one.grade * one.weight for one in group) / total
    return replace(group[0], grade=min(grade, 1.0), weight=max(one.weight for one in group))


def join(rows: Iterable[Row], documents: Mapping[str, Fields], products: Path, say: Say) -> list[Judgement]:
    """Give each row its document; say how many have none.

    Raises:
        BadInput: there are rows, and none has a document.
    """
    joined, unknown, count = [], dict[str, None](), 0
    for row in rows:
        fields = documents.get(row.document_id)
        if fields:
            joined.append(Judgement(row.query, fields, row.document_id, row.grade, row.weight))
        else:
            unknown[row.document_id] = None
            count += 1
    if count:
        first = next(iter(unknown))
        if not joined:
            raise BadInput(f"{products}: none of the {count} judged documents is in it, {first!r} for one; right file?")
        say(f"{count} judgements left out: {len(unknown)} documents have no text in {products}, {first!r} for one")
    return joined


def _qrels(options: Options, say: Say) -> list[Judgement]:
    path = options.path("qrels")
    gains = _Gains(options, best=None)
    if options.has("queries"):
        rows = _trec(path, options.path("queries"), gains, say)
    elif table.has_header(path):
        rows = [
            Row(
                one.query,
                one.document_id,
                one.relevance if one.relevance is not None and not gains.given else gains.of(one.grade, one.place),
                one.weight,
            )
            for one in table.read_rows(path)
        ]
    else:
        raise BadInput(
            f"{path}: TREC lines need queries: FILE beside them; a table needs a header with query and grade"
        )
    return _joined(rows, options, say)


def _trec(path: Path, queries: Path, gains: _Gains, say: Say) -> list[Row]:
    texts = read_queries(queries)
    rows, textless = [], 0
    for qid, judged in read_qrels(path).items():
        if qid not in texts:
            textless += 1
            continue
        where = f"{path}: query id {qid!r}"
        rows += [Row(texts[qid], document, gains.of(grade, where)) for document, grade in judged.items()]
    if textless:
        say(f"{textless} judged query ids left out: {queries} has no text for them")
    return rows


def _labels(options: Options, say: Say) -> list[Judgement]:
    path, gains = options.path("labels"), _Gains(options, best=1.0)
    rows = []
    for place, record in _objects(path):
        query, labels = record.get("query"), record.get("labels")
        if not isinstance(query, str) or not query.strip() or not isinstance(labels, Mapping) or not labels:
            raise BadInput(f'{place}: expected {{"query": text, "labels": {{document id: label}}}}')
        rows += [Row(query, document, gains.of(label, place)) for document, label in labels.items()]
    return _joined(rows, options, say)


def _esci(options: Options, say: Say) -> list[Judgement]:
    path, gains = options.path("examples"), _Gains(options, best=1.0)
    split, locale = options.text("split", "train"), options.text("locale", "us")
    if split not in ("train", "test", "all"):
        raise BadInput(f"{options.where}: split must be train, test or all, found {split!r}")
    rows = [
        Row(row["query"], row["product_id"], gains.of(row["esci_label"], f"{path}: query_id {row['query_id']}"))
        for row in parquet_rows(path)
        if split in ("all", row["split"]) and locale in ("all", row["product_locale"])
    ]
    if not rows:
        raise BadInput(f"{path}: no row with split {split!r} and locale {locale!r}")
    return _joined(rows, options, say, None if locale == "all" else locale)


def _pairs(options: Options, say: Say) -> list[Judgement]:
    path, gains = options.path("pairs"), _Gains(options, best=1.0)
    field = options.text("field", "title")
    found = []
    for place, record in _objects(path):
        query, document = record.get("query"), record.get("document")
        if not isinstance(query, str) or not query.strip():
            raise BadInput(f"{place}: query must be a text, found {query!r}")
        if not isinstance(document, (str, Mapping)):
            raise BadInput(f"{place}: document must be a text or an object of fields, found {document!r}")
        fields = fields_of({field: document} if isinstance(document, str) else document)
        if not fields:
            raise BadInput(f"{place}: the document has no text")
        if "grade" not in record:
            raise BadInput(f"{place}: it has no grade; expected a number from 0 to max_grade, or a label")
        identity = identity_of(record.get("document_id")) or _fingerprint(fields)
        weight = record.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
            raise BadInput(f"{place}: weight must be a number above 0, found {weight!r}")
        found.append(Judgement(query, fields, identity, gains.of(record["grade"], place), float(weight)))
    if not found:
        raise BadInput(f'{path}: no pair in it; expected lines of {{"query": …, "document": …, "grade": …}}')
    return found


def _ubi(options: Options, say: Say) -> list[Judgement]:
    from training import ubi

    products = options.path("products")
    judged = ubi.judge(ubi.read_log(options, say), ubi.settings(options), say)
    rows = [Row(one.query, one.document_id, one.relevance, one.weight) for one in judged.pairs]
    rows += [Row(query, document, 0.0, 0.0) for query, document in judged.spared]
    return join(rows, read_documents(products), products, say)


def _joined(rows: list[Row], options: Options, say: Say, locale: str | None = None) -> list[Judgement]:
    products = options.path("products")
    return join(rows, read_documents(products, locale), products, say)


class _Gains:
    """Turns a label, or a grade, into a gain."""

    def __init__(self, options: Options, best: float | None) -> None:
        """``best``: the highest number that a grade can be if the source does not say so; None: it must say so."""
        table_given = options.table("gains")
        self.given = table_given is not None or options.has("max_grade")
        if table_given is not None and options.has("max_grade"):
            raise BadInput(f"{options.where}: give gains or max_grade, not both")
        self._max = options.number("max_grade", best or 1.0)
        if self._max == 0:
            raise BadInput(f"{options.where}: max_grade must be above 0")
        self._stated = options.has("max_grade") or best is not None
        self._table = table_given or ESCI_GAINS
        if any(gain > 1 for gain in self._table.values()):
            raise BadInput(f"{options.where}: a gain is at most 1; found {max(self._table.values()):g}")
        self._numbers = table_given is None

    def of(self, label: object, place: str) -> float:
        """Return the gain. A number is divided by the stated maximum unless the source has its own table of gains."""
        if isinstance(label, bool) or not isinstance(label, (str, int, float)):
            raise BadInput(f"{place}: a grade must be a number or a label, found {label!r}")
        name = str(label).strip()
        if name in self._table:
            return self._table[name]
        value = _number(label) if self._numbers else None
        if value is None:
            known = ", ".join(self._table) + (", or a number" if self._numbers else "")
            raise BadInput(f"{place}: unknown label {label!r}; expected {known}")
        if not self._stated:
            raise BadInput(f"{place}: what grade {name} is worth is not stated: give max_grade (the best) or gains")
        if not 0 <= value <= self._max:
            raise BadInput(f"{place}: grade {name} is not from 0 to {self._max:g}; see max_grade")
        return value / self._max


def _number(label: str | int | float) -> float | None:
    try:
        value = float(label)
    except (ValueError, OverflowError):
        return None
    return value if value == value else None  # noqa: PLR0124 - not a number is unlike itself


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for place, record in read_records(path):
        if isinstance(record, BadInput):
            raise record
        if not isinstance(record, Mapping):
            raise BadInput(f"{place}: expected a JSON object")
        yield place, record


def _fingerprint(fields: Fields) -> str:
    """An id for a document that has none: the same texts, the same id."""
    return hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()[:16]


def _to_stderr(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


FORMATS: dict[str, tuple[Callable[[Options, Say], list[Judgement]], tuple[str, ...]]] = {
    "qrels": (_qrels, ("qrels", "queries", "products", "max_grade", "gains")),
    "labels": (_labels, ("labels", "products", "max_grade", "gains")),
    "esci": (_esci, ("examples", "products", "split", "locale", "gains")),
    "pairs": (_pairs, ("pairs", "max_grade", "gains", "field")),
    "ubi": (
        _ubi,
        (
            *("queries", "events", "url", "user", "api_key", "ca", "queries_index", "events_index", "since"),
            *("products", "method", "actions", "impressions", "prior", "min_impressions", "max_rank"),
            *("first_ordinal", "max_clicks_per_hour", "max_searches_per_hour", "repeat_minutes", "skip_malformed"),
        ),
    ),
}
"""Format -> its reader and the names of its options."""
