"""Turns ESCI judgements into TREC qrels (``qid 0 asin grade``) and queries (``qid<TAB>query``).

Grades: E (exact) 3, S (substitute) 2, C (complement) 1, I (irrelevant) 0.
"""

from __future__ import annotations

from pathlib import Path

from proxy.evaluate.qrels import BadInput, read_examples, read_judgments_jsonl

__all__ = ["BadInput", "write_qrels"]


def write_qrels(judgements: Path, split: str, locale: str, out: Path, queries: Path) -> tuple[int, int]:
    """Write both files; return the number of queries and of judgements.

    Raises:
        BadInput: the judgements cannot be read, or a file cannot be written.
    """
    if judgements.suffix == ".parquet":
        wanted = [None if value == "all" else value for value in (split, locale)]
        read = read_examples(judgements, wanted[0], wanted[1])
    else:
        read = read_judgments_jsonl(judgements)
    grades = [f"{qid}\t0\t{asin}\t{grade}\n" for qid, judged in read.grades.items() for asin, grade in judged.items()]
    try:
        out.write_text("".join(grades), encoding="utf-8")
        queries.write_text("".join(f"{qid}\t{text}\n" for qid, text in read.queries.items()), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{error.filename}: {error.strerror}") from None
    return len(read.queries), len(grades)
