"""Says how good the models of a recipe are on queries that they have not seen: the way to choose between recipes.

    python scripts/cross_validate.py scripts/recipes/bundled.yaml --out build/folds --folds 4

The whole recipe is followed once a fold, each time without the labels of another part of the rankable queries, and its
outputs then rank that part. So each of them is ranked once, by models of whose stages none has seen its labels. Only
texts without labels are common to all. Like `train.py` it goes on where it was when it was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main(arguments: list[str] | None = None) -> int:
    """Train and measure; return the exit code."""
    parser = argparse.ArgumentParser(description="Measure the models of a recipe by cross-validation.")
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder for the folds' models and figures")
    parser.add_argument("--folds", type=int, default=4, help="parts that the rankable queries are dealt into")
    parser.add_argument("--jobs", type=int, default=1, help="folds beside each other")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch in each (default: all cores)")
    parser.add_argument("--precision", choices=("auto", "float", "bf16"), default="auto", help="as train.py has it")
    parser.add_argument("--fold", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    from proxy.evaluate.qrels import BadInput
    from training.engine import EngineError
    from training.models import StartError
    from training.recipe import RecipeError

    try:
        if options.fold is None and options.jobs > 1:
            _beside_each_other(options)
        else:
            _follow(options)
        if options.fold is None:
            _report(options)
    except (BadInput, RecipeError, StartError, EngineError, OSError) as error:
        print(f"cross_validate: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _follow(options: argparse.Namespace) -> None:
    import torch
    import transformers

    from training.corpus import Fold
    from training.data import read_corpus
    from training.follow import Run
    from training.models import wants_bf16
    from training.recipe import RecipeError, read_recipe

    transformers.logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = read_recipe(options.recipe)
    corpus = read_corpus(recipe.data)
    if not 2 <= options.folds <= len(corpus.lists()):
        raise RecipeError(f"--folds must be from 2 to {len(corpus.lists())}, the number of rankable queries")
    bf16 = wants_bf16(options.precision)
    for number in range(options.folds) if options.fold is None else [options.fold]:
        train, held_out = corpus.split(Fold(number, options.folds))
        run = Run(recipe, corpus.only(train), options.out / f"fold-{number}", bf16)
        run.follow()
        figures = run.measure_outputs(corpus, held_out)
        part = options.out / f"fold-{number}.json.part"
        part.write_text(json.dumps(figures) + "\n")
        os.replace(part, part.with_suffix(""))


def _report(options: argparse.Namespace) -> None:
    from training.measure import Figures

    parts = [json.loads((options.out / f"fold-{number}.json").read_text()) for number in range(options.folds)]
    for name in parts[0]:
        for fields in parts[0][name]:
            for line in Figures.of_json([part[name][fields] for part in parts]).lines():
                print(f"{name}, {fields}: {line}")


def _beside_each_other(options: argparse.Namespace) -> None:
    from training.jobs import run_jobs

    shared = ["--folds", str(options.folds), "--threads", str(options.threads or 1), "--precision", options.precision]
    command = [sys.executable, __file__, str(options.recipe), "--out", str(options.out), *shared, "--fold"]
    run_jobs({f"fold {number}": [*command, str(number)] for number in range(options.folds)}, options.jobs)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that jobs are ended too
    sys.exit(main())
