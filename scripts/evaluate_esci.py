"""Reports how well model folders rank the ESCI slice, BM25 beside them, and how long a pair takes.

    python scripts/evaluate_esci.py onnx_models/base [FOLDER ...] [--split dev]

For each set of fields that a proxy may send: nDCG@10 (gains E 1, S 0.1, C 0.01, I 0) of each query's own judged list,
and of BM25's top 50 of all products, where a product without a label counts as irrelevant. Pairs are scored as the
proxy scores them: one a call, documents of up to 128 tokens. The dev split is for reports: choose on a held-out part
of train.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from esci_data import BM25, GAINS, VARIANTS, Judged, Product, esci_folder, ndcg, read_judgments, read_products, text_of
from tqdm import tqdm

from proxy.scorer.onnx_model import ModelError, OnnxPairModel, load_model
from proxy.scorer.types import Segment

DOCUMENT_TOKENS = 128
TOP = 50
REPORTED = ("title", "title+description+brand", "title+brand+color+bullets")
Rank = Callable[[str, Sequence[str]], list[str]]
"""Orders ids of products for a query, best first."""


def main() -> int:
    """Print a table; return the exit code."""
    parser = argparse.ArgumentParser(description="Report nDCG@10 of model folders on the ESCI slice, BM25 beside them.")
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help="model folders")
    parser.add_argument("--split", choices=("dev", "train"), default="dev", help="judged queries (default dev)")
    options = parser.parse_args()
    try:
        models = [load_model(folder, folder.name) for folder in options.folders]
    except ModelError as error:
        print(f"evaluate_esci: {error}", file=sys.stderr)
        return 1
    folder = esci_folder()
    products = read_products(folder)
    judged = read_judgments(folder / f"judgments.{options.split}.jsonl")
    print(f"{len(judged)} {options.split} queries, {len(products)} products; nDCG@10\n")
    print("| fields | ranking | judged lists | BM25's top 50 |\n|---|---|---|---|")
    for name in REPORTED:
        texts = {identity: text_of(product, VARIANTS[name]) for identity, product in products.items()}
        report_fields(name, texts, judged, dict(zip(map(str, options.folders), models, strict=True)))
    for where, model in zip(options.folders, models, strict=True):
        print(f"\n{where}: {latency(model, products, judged)}")
    return 0


def report_fields(name: str, texts: dict[str, str], judged: Sequence[Judged], models: dict[str, OnnxPairModel]) -> None:
    """Print the rows of one set of fields."""
    ids = list(texts)
    number = {identity: position for position, identity in enumerate(ids)}
    bm25 = BM25(list(texts.values()))

    def lexical(query: str, candidates: Sequence[str]) -> list[str]:
        scores = bm25.scores(query)
        return sorted(candidates, key=lambda identity: -scores[number[identity]])

    tops = {entry.query: [ids[i] for i in bm25.top(entry.query, TOP)] for entry in judged}
    rankings: dict[str, Rank] = {"BM25": lexical}
    rankings |= {where: by_model(model, texts) for where, model in models.items()}
    for what, rank in rankings.items():
        rows = [
            evaluate(entry, rank, tops[entry.query]) for entry in tqdm(judged, desc=f"{name}, {what}", unit="query")
        ]
        own, top = np.mean(rows, axis=0)
        print(f"| {name} | {what} | {own:.3f} | {top:.3f} |", flush=True)


def by_model(model: OnnxPairModel, texts: dict[str, str]) -> Rank:
    """Return a ranking by logit, ties in the given order."""

    def rank(query: str, candidates: Sequence[str]) -> list[str]:
        logits = {i: model.score(query, (Segment(texts[i]),), DOCUMENT_TOKENS) for i in candidates}
        return sorted(candidates, key=lambda identity: -logits[identity])

    return rank


def evaluate(entry: Judged, rank: Rank, top: Sequence[str]) -> tuple[float, float]:
    """Return a query's nDCG@10 over its judged list and over BM25's top."""
    gains = {identity: GAINS[label] for identity, label in entry.labels.items()}
    orders = [rank(entry.query, sorted(gains)), rank(entry.query, top)]
    own, best = (ndcg([gains.get(identity, 0.0) for identity in order], gains.values()) for order in orders)
    return own, best


def latency(model: OnnxPairModel, products: dict[str, Product], judged: Sequence[Judged]) -> str:
    """Return the time of a pair in one thread: titles, and title, description and brand, of the judged products."""
    parts = []
    for name in ("title", "title+description+brand"):
        pairs = [
            (entry.query, text_of(products[identity], VARIANTS[name]))
            for entry in judged[:10]
            for identity in list(entry.labels)[:20]
        ]
        times = []
        for query, text in [*pairs[:10], *pairs]:
            started = time.perf_counter()
            model.score(query, (Segment(text),), DOCUMENT_TOKENS)
            times.append(1000 * (time.perf_counter() - started))
        middle, late = np.percentile(times[10:], [50, 95])
        parts.append(f"{name} {middle:.2f} ms a pair (median), {late:.2f} ms (95th percentile)")
    return "; ".join(parts) + f"; {len(pairs)} pairs, one thread"


if __name__ == "__main__":
    sys.exit(main())
