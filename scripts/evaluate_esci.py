"""Reports how well model folders rank the ESCI slice, BM25 beside them, and how long a pair takes.

    python scripts/evaluate_esci.py onnx_models/base onnx_models/small [--blend 0.2] [--split dev] [--card]

For each set of fields that a proxy may send: nDCG@10 (gains E 1, S 0.1, C 0.01, I 0) of each query's own judged list,
and of BM25's top 100 of all products, where a product without a label counts as irrelevant; with 95 % bootstrap
intervals over the queries. Pairs are scored as the proxy scores them: one a call, documents of up to 128 tokens. The
dev split is for reports: choose on a held-out part of train. ``--card`` writes each model's rows into its README.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from tqdm import tqdm

from esci_data import GAINS, VARIANTS, Judged, Product, esci_folder, read_judgments, read_products
from exporting.card import cpu, replace_part
from figures import Array, Ranked, column, gain_over, with_interval
from proxy.scorer.onnx_model import ModelError, OnnxPairModel, load_model
from training.corpus import LexicalIndex
from training.texts import DOCUMENT_TOKENS, Fields, document_of, plain_text, template_of

TOP = 100
WARM_UP = 5
"""Queries whose time does not count."""
REPORTED = ("title", "title+description+brand", "title+brand+color+bullets")
Scorer = Callable[[str, Sequence[str]], list[float]]
"""Gives the scores of documents, by id, for a query."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    model: str
    """Name of the model that it speaks of; empty: of none of ours."""
    cells: tuple[str, ...]

    def __str__(self) -> str:
        return f"| {' | '.join(self.cells)} |"


HEAD = (
    f"| text sent | ranking | judged lists | gain over BM25 | BM25's top {TOP} | gain over BM25 |",
    "|---|---|---|---|---|---|",
)


def main() -> int:
    """Print a table; return the exit code."""
    options = _options()
    try:
        served = {folder.name: load_model(folder, folder.name) for folder in options.folders}
        floats = {folder.name: load_model(folder, folder.name) for folder in options.float}
        if options.card:
            missing = [folder for folder in options.folders if not (folder / "README.md").is_file()]
            if missing:
                raise ModelError(f"{missing[0]}/README.md: --card wants a card to write into")
    except ModelError as error:
        print(f"evaluate_esci: {error}", file=sys.stderr)
        return 1
    folder = esci_folder()
    products = {identity: _fields(product) for identity, product in read_products(folder).items()}
    judged = read_judgments(folder / f"judgments.{options.split}.jsonl")
    print(f"{len(judged)} {options.split} queries, {len(products)} products; nDCG@10 [95 % interval], gain over BM25\n")
    print("\n".join(HEAD))
    rows = []
    for name in REPORTED:
        for row in _report(name, products, judged, served, floats, options):
            print(row, flush=True)
            rows.append(row)
    times = latency(options.folders, products, judged)
    about = f"Time for a pair, one thread, tokenizing included, {cpu()}, medians over the queries in one run:"
    print("\n".join(["", about, "", *times]))
    for place in options.folders if options.card else []:
        mine = [str(row) for row in rows if row.model in ("", place.name)]
        replace_part(place / "README.md", "figures", [*HEAD, *mine, "", about, "", *times])
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Report nDCG@10 of model folders on the ESCI slice, BM25 beside them.")
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help="model folders")
    parser.add_argument(
        "--float",
        metavar="FOLDER",
        type=Path,
        action="append",
        default=[],
        help="a model before int8, by the same name",
    )
    parser.add_argument("--split", choices=("dev", "train"), default="dev", help="judged queries (default dev)")
    parser.add_argument("--blend", type=float, action="append", default=[], help="report BM25's share too (repeatable)")
    parser.add_argument("--bi-encoder", metavar="NAME", help="report a bi-encoder too (needs the extra `train`)")
    parser.add_argument("--card", action="store_true", help="write each model's rows into its README.md")
    return parser.parse_args()


def _fields(product: Product) -> Fields:
    return {name: (text,) for name, text in product.items() if name != "id" and text}


def _report(
    name: str,
    products: dict[str, Fields],
    judged: Sequence[Judged],
    served: dict[str, OnnxPairModel],
    floats: dict[str, OnnxPairModel],
    options: argparse.Namespace,
) -> Iterator[Row]:
    """Yield the rows of one set of fields."""
    fields = VARIANTS[name]
    index = LexicalIndex(products, fields)
    text = ", ".join(fields)
    scorers: list[tuple[str, str, Scorer]] = []
    if options.bi_encoder:
        by_vectors = _by_vectors(options.bi_encoder, fields, products, judged)
        scorers.append(("", f"{options.bi_encoder} as bi-encoder", by_vectors))
    for model, loaded in served.items():
        if model in floats:
            scorers.append((model, f"{model}, float", _by_model(floats[model], fields, products)))
        scorers.append((model, f"**{model}**", _by_model(loaded, fields, products)))
    baseline: list[Array] = []
    for model, what, scorer in scorers:
        own, top = _rank(judged, index, scorer, f"{name}, {what}")
        if not baseline:
            baseline = [column(own, 1.0), column(top, 1.0)]
            yield Row("", (text, "BM25", *_cells(baseline, baseline)))
        for share in [0.0, *(options.blend if what.startswith("**") else [])]:
            label = f"{model}, `blend: {share:g}`" if share else what
            yield Row(model, (text, label, *_cells([column(own, share), column(top, share)], baseline)))


def _cells(values: Sequence[Array], baseline: Sequence[Array]) -> Iterator[str]:
    for value, base in zip(values, baseline, strict=True):
        yield with_interval(value)
        yield "" if value is base else gain_over(value, base)


def _rank(
    judged: Sequence[Judged], index: LexicalIndex, scorer: Scorer, what: str
) -> tuple[list[Ranked], list[Ranked]]:
    own: list[Ranked] = []
    top: list[Ranked] = []
    for entry in tqdm(judged, desc=what, unit="query"):
        gains = {identity: GAINS[label] for identity, label in entry.labels.items() if identity in index.number}
        lexical = index.scores(entry.query)
        mine = sorted(gains, key=lambda identity: -lexical[index.number[identity]])
        found = index.find(entry.query, TOP)
        union = list(dict.fromkeys([*mine, *found]))
        said = dict(zip(union, scorer(entry.query, union), strict=True))
        for ids, into in ((mine, own), (found, top)):
            first = [float(lexical[index.number[identity]]) for identity in ids]
            second = [said[identity] for identity in ids]
            into.append(Ranked(entry.query, [gains.get(i, 0.0) for i in ids], list(gains.values()), first, second))
    return own, top


def _by_model(model: OnnxPairModel, fields: Sequence[str], products: dict[str, Fields]) -> Scorer:
    template = template_of(fields)

    def score(query: str, ids: Sequence[str]) -> list[float]:
        return [model.score(query, document_of(template, products[i]), DOCUMENT_TOKENS) for i in ids]

    return score


def _by_vectors(name: str, fields: Sequence[str], products: dict[str, Fields], judged: Sequence[Judged]) -> Scorer:
    from training.models import weights_folder
    from training.teachers import BiEncoder

    template = template_of(fields)
    encoder = BiEncoder(weights_folder(name))
    texts = encoder.embed([plain_text(template, product) for product in products.values()], "embed products")
    vectors = dict(zip(products, texts, strict=True))
    queries = [entry.query for entry in judged]
    asked = dict(zip(queries, encoder.embed(queries, "embed queries"), strict=True))
    return lambda query, ids: [float(vectors[i] @ asked[query]) for i in ids]


def latency(folders: Sequence[Path], products: dict[str, Fields], judged: Sequence[Judged]) -> list[str]:
    """Return a line for each model: the time of a pair in one thread, and its share of the first's.

    They are loaded anew, so that the documents are new to them, warm up on some queries and then take turns with each.
    """
    models = {folder.name: load_model(folder, folder.name) for folder in folders}
    said: dict[str, list[str]] = {name: [] for name in models}
    for fields in REPORTED:
        template = template_of(VARIANTS[fields])
        times: dict[str, list[float]] = {name: [] for name in models}
        for entry in judged:
            documents = [document_of(template, products[identity]) for identity in entry.labels if identity in products]
            if not documents:
                continue
            for name, model in models.items():
                started = time.perf_counter()
                for document in documents:
                    model.score(entry.query, document, DOCUMENT_TOKENS)
                times[name].append(1000 * (time.perf_counter() - started) / len(documents))
        first = next(iter(times))
        for name, taken in times.items():
            share = float(np.median((np.array(taken) / np.array(times[first]))[WARM_UP:]))
            of = "" if name == first else f", {share:.2f} of {first}'s time"
            said[name].append(f"{fields} {np.median(taken[WARM_UP:]):.2f} ms a pair{of}")
    return [f"- {name}: {'; '.join(parts)}" for name, parts in said.items()]


if __name__ == "__main__":
    sys.exit(main())
