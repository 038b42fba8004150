"""Shows what a shopper would see: the first products for thirty queries of our own, by BM25 and reranked.

    python scripts/shopper_queries.py onnx_models/base onnx_models/small [--blend 0.2] [--card]

The products are those of the ESCI slice. BM25 finds 100 by title; the models order them by title, one pair a call, as
the proxy does. ``--card`` writes the table into each folder's README.md, between its marks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from tqdm import tqdm

from esci_data import esci_folder, read_products
from exporting.card import replace_part
from figures import Ranked
from proxy.scorer.onnx_model import ModelError, load_model
from training.corpus import LexicalIndex
from training.texts import DOCUMENT_TOKENS, document_of, template_of

QUERIES = (
    "iphone case without card holder",
    "water bottle not plastic",
    "dress under the knee",
    "kitchen knives without block",
    "wireless earbuds that do not go in the ear",
    "sugar free gummies",
    "cat food no grain",
    "desk chair without wheels",
    "mens dress shoes black size 11",
    "warm boots for women",
    "kids bike helmet",
    "lamp for reading in bed",
    "toothpaste without fluoride",
    "cheap ceiling fan with remote",
    "big picnic blanket",
    "gift for a baby girl",
    "red and white christmas decoration",
    "notebook with dates for my bag",
    "shampoo against hair loss",
    "socks for diabetics",
    "lego for 4 year old",
    "hand cream for dry skin",
    "slippers that can be worn outside",
    "sunglasses small face",
    "curtain to make a room dark",
    "nail kit with lamp",
    "pants with stretch for the office",
    "faucet for a clawfoot tub",
    "wall art black and white",
    "something to keep coffee hot",
)
TOP, SHOWN = 100, 60


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description="First products for thirty queries, by BM25 and reranked.")
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help="model folders")
    parser.add_argument("--blend", type=float, default=0.0, help="BM25's share of the order (default 0)")
    parser.add_argument("--card", action="store_true", help="write the table into each folder's README.md")
    options = parser.parse_args()
    try:
        models = [load_model(folder, folder.name) for folder in options.folders]
    except ModelError as error:
        print(f"shopper_queries: {error}", file=sys.stderr)
        return 1
    template = template_of(("title",))
    products = {i: {"title": (product["title"],)} for i, product in read_products(esci_folder()).items()}
    index = LexicalIndex(products, ("title",))
    lines = ["| query | BM25 | " + " | ".join(folder.name for folder in options.folders) + " |"]
    lines.append("|---" * (2 + len(models)) + "|")
    for query in tqdm(QUERIES, unit="query"):
        found = index.find(query, TOP)
        lexical = index.scores(query)
        first = [float(lexical[index.number[i]]) for i in found]
        cells = [_shown(products[found[0]]["title"][0])]
        for model in models:
            logits = [model.score(query, document_of(template, products[i]), DOCUMENT_TOKENS) for i in found]
            best = int(np.argmax(Ranked(query, [], [], first, logits).keys(options.blend)))
            cells.append(_shown(products[found[best]]["title"][0]))
        lines.append(f"| {query} | {' | '.join(cells)} |")
    print("\n".join(lines))
    for folder in options.folders if options.card else []:
        replace_part(folder / "README.md", "shopper", lines)
    return 0


def _shown(title: str) -> str:
    text = " ".join(title.replace("|", "/").split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1].rsplit(" ", 1)[0] + " …"


if __name__ == "__main__":
    sys.exit(main())
