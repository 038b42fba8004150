"""The loss of a step, and cross-validation: what recipes are chosen by."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.test_training import SCRIPTS, TinyModel, pytestmark, write_data, write_recipe

__all__ = ["pytestmark"]


def lists() -> list[Any]:
    """Return lists of all kinds: with labels, with a teacher, with both, of one document, with nothing that fits."""
    from training.lists import List
    from training.texts import template_of

    title = template_of(("title",))
    return [
        List("lamp", ("a", "b", "c"), title, (1.0, 0.1, 0.0)),
        List("shoe", ("a", "b"), title, None, (2.0, -3.0)),
        List("desk", ("a", "b", "c", "d"), title, (0.0, 1.0, 0.001, 0.0), (-1.0, 2.0, 0.5, -4.0), (0.5, 1.0, 0.2, 0.3)),
        List("mug", ("a",), title, (1.0,)),
        List("bag", ("a", "b"), title, (0.01, 0.0), (1.0, 1.5)),
    ]


def by_hand(logits: np.ndarray, entry: Any, schedule: Any) -> float:
    """Return the loss of one list as the docstring of `training.loop.loss` has it."""

    def softmax(values: np.ndarray) -> np.ndarray:
        return np.exp(values) / np.exp(values).sum()

    total = 0.0
    if entry.gains is not None:
        gains, weights = np.array(entry.gains), np.array(entry.weights or [1.0] * len(logits))
        target, said = np.sqrt(gains), 1 / (1 + np.exp(-logits))
        total += schedule.labels * np.mean(-weights * (target * np.log(said) + (1 - target) * np.log(1 - said)))
        if gains.max() >= 0.1 and len(gains) > 1:
            listwise = -(gains / gains.sum() * np.log(softmax(logits))).sum()
            total += schedule.labels * schedule.listwise * weights.mean() * listwise
    if entry.logits is not None:
        wanted = softmax(np.array(entry.logits))
        total += schedule.teacher * np.mean((logits - np.array(entry.logits)) ** 2) / 4
        total += schedule.teacher * schedule.listwise * (wanted * np.log(wanted / softmax(logits))).sum()
    return total


def test_the_loss_of_a_step_is_the_mean_of_what_each_list_has_alone() -> None:
    import torch

    from training.loop import Schedule, loss

    schedule, rng, every = Schedule(labels=0.3, teacher=0.7, listwise=0.4), np.random.default_rng(5), lists()
    parts = [rng.normal(0, 2, len(entry.ids)) for entry in every]
    for entry, part in zip(every, parts, strict=True):
        assert float(loss(torch.tensor(part), [entry], schedule)) == pytest.approx(by_hand(part, entry, schedule))
    logits = torch.tensor(np.concatenate(parts), requires_grad=True)
    whole = loss(logits, every, schedule)
    assert float(whole) == pytest.approx(np.mean([by_hand(*one, schedule) for one in zip(parts, every, strict=True)]))
    (slope,) = torch.autograd.grad(whole, logits)
    assert torch.isfinite(slope).all()
    assert (slope != 0).all()


def test_cross_validation_ranks_each_query_by_models_that_have_not_seen_its_labels(
    tiny_model: TinyModel, tmp_path: Path
) -> None:
    write_data(tmp_path)
    start = str(tiny_model(1))
    stages = [
        {"name": "labels", "start": start, "seeds": 2, "lists": [{"kind": "judged", "size": 15}]},
        {"name": "base", "average": ["labels"]},
    ]
    recipe = write_recipe(tmp_path, tiny_model(1), stages=stages, outputs={"base": "base"})
    command = [sys.executable, str(SCRIPTS / "cross_validate.py"), str(recipe), "--out", str(tmp_path / "cv")]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=250, check=False)

    done = run("--folds", "3", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "base, title: judged lists, 24 queries" in done.stdout  # 25 are judged; one is left out
    ranked = []
    for number in range(3):
        [figures] = json.loads((tmp_path / "cv" / f"fold-{number}.json").read_text())["base"].values()
        ranked.append({entry["query"] for entry in figures["judged lists"]})
    assert sum(map(len, ranked)) == len(set.union(*ranked)) == 24
    again = run("--folds", "3")
    assert (again.returncode, again.stdout.splitlines()[-2:]) == (0, done.stdout.splitlines()[-2:])
    assert "labels-0: done before" in again.stderr + again.stdout
    refused = run("--folds", "25")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines()[-1].startswith("cross_validate: --folds must be from 2 to 24")


def test_a_fold_is_trained_without_the_labels_that_it_is_measured_with(tiny_model: TinyModel, tmp_path: Path) -> None:
    from training.corpus import Fold
    from training.data import read_corpus
    from training.recipe import read_recipe

    write_data(tmp_path)
    corpus = read_corpus(read_recipe(write_recipe(tmp_path, tiny_model(1))).data)
    corpus.weights = {(query, next(iter(grades))): 0.5 for query, grades in corpus.judged.items()}
    corpus.spared = {query: {"x"} for query in corpus.judged}
    train, held_out = corpus.split(Fold(1, 3))
    less = corpus.only(train)
    assert held_out
    for known in (less.judged, less.spared, {query for query, _ in less.weights}):
        assert set(known) == set(train)
        assert not set(known) & set(held_out)
    assert (less.documents, less.queries) == (corpus.documents, corpus.queries)
    assert set(corpus.judged) == set(train) | set(held_out)
