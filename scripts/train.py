"""Trains cross-encoders by a recipe, on CPU or on a GPU if torch finds one.

    python scripts/train.py scripts/recipes/bundled.yaml --out build/bundled

A recipe (YAML) says what is trained on and in which stages; `scripts/training/recipe.py` documents its keys. Seeds are
fixed. A run that was killed goes on where it was when it is started again with the same folder; stages that are done
are not done again unless what decides them has changed.
"""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main(arguments: list[str] | None = None) -> int:
    """Train; return the exit code."""
    parser = argparse.ArgumentParser(description="Train cross-encoders by a recipe.")
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder for the models and what is needed to resume")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch (default: all cores)")
    parser.add_argument("--jobs", type=int, default=1, help="folds trained beside each other, one thread each")
    parser.add_argument(
        "--precision",
        choices=("auto", "float", "bf16"),
        default="auto",
        help="of products in training; auto: bf16 on GPUs that know it and on CPUs with AMX",
    )
    parser.add_argument("--only", help=argparse.SUPPRESS)  # one model, for a job
    options = parser.parse_args(arguments)
    try:
        import torch
        import transformers
    except ImportError as error:
        print(f"train: {error.name} is missing: install the extra `train`: pip install '.[train]'", file=sys.stderr)
        return 1
    from proxy.evaluate.qrels import BadInput
    from training.data import read_corpus
    from training.engine import EngineError
    from training.follow import Run
    from training.models import StartError, wants_bf16
    from training.recipe import RecipeError, read_recipe

    transformers.logging.set_verbosity_error()
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        recipe = read_recipe(options.recipe)
        run = Run(recipe, read_corpus(recipe.data), options.out, wants_bf16(options.precision))
        if options.only:
            run.only(options.only)
        else:
            lock = _lock(options.out)
            run.follow((lambda names: _in_parallel(options, names, lock)) if options.jobs > 1 else None)
    except (BadInput, RecipeError, StartError, EngineError, OSError) as error:
        print(f"train: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _lock(out: Path) -> TextIO:
    """Take the folder for this run and its jobs, which inherit the lock: two runs would write the same files.

    Raises:
        OSError: another run has it.
    """
    out.mkdir(parents=True, exist_ok=True)
    file = (out / ".lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(f"{out}: another run, or a job that one has left behind, is at work in this folder") from error
    return file


def _in_parallel(options: argparse.Namespace, names: list[str], lock: TextIO) -> None:
    """Do models in processes of their own: two with a thread each take less time than one with two."""
    from training.jobs import run_jobs

    own = ["--threads", "1", "--precision", options.precision]
    command = [sys.executable, __file__, str(options.recipe), "--out", str(options.out), *own, "--only"]
    run_jobs({name: [*command, name] for name in names}, options.jobs, [lock.fileno()])


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that jobs are ended too
    sys.exit(main())
