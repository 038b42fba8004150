"""The training loop: lists in, a trained model out; it can be killed at any time and resumed."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from training import models
from training.corpus import Corpus
from training.lists import List
from training.texts import PairEncoder, Tokens, as_batch, document_of

_WINDOW_STEPS = 32
"""Lists of similar length are put together within so many steps: little is padded, the order stays one of chance."""
_PAIRS_MULTIPLE, _TOKENS_MULTIPLE = 8, 16
"""Steps are filled up to these. On CPUs torch keeps code and buffers for each shape of a product in bfloat16: without,
the memory of a run grew by 20 MB a step, and with it stays as it is."""
_CHECKPOINT_S = 180.0


@dataclass(frozen=True)
class Schedule:
    """How a stage is trained."""

    rate: float = 5e-5
    """Highest learning rate: reached after a twentieth of the steps, then falling to 0 in a line."""
    pairs_a_step: int = 32
    epochs: int = 1
    """Passes over the same lists, each in another order."""
    max_tokens: int = 64
    """Longest pair. Serving sends longer ones, which the positions of the weights know."""
    frozen_layers: int = 0
    """Lowest layers that stay as they are; with any, the embeddings too."""
    frozen_embeddings: bool = False
    labels: float = 1.0
    """Weight of the losses over labels."""
    teacher: float = 1.0
    """Weight of the losses over a teacher's logits."""
    listwise: float = 0.5
    """Share of the listwise loss beside the pointwise one, in either."""
    ema: float = 0.0
    """Decay a step of the average of the weights that is kept and returned; 0: the last weights are."""
    dropout: float = 0.0
    early_stop_steps: int = 0
    """Measure the held-out queries after so many steps; 0: train to the end."""
    patience: int = 3
    """Stop after so many measurements without a better one; the best weights are returned."""


@dataclass(frozen=True)
class Encoded:
    """A list with its pairs' tokens."""

    entry: List
    pairs: list[Tokens]


def encode(lists: Sequence[List], corpus: Corpus, encoder: PairEncoder, what: str) -> list[Encoded]:
    """Tokenize lists as the proxy tokenizes pairs."""
    return [
        Encoded(
            entry,
            [encoder.encode(entry.query, document_of(entry.template, corpus.documents[i])) for i in entry.ids],
        )
        for entry in tqdm(lists, desc=f"{what}: tokens", unit="list", mininterval=5)
    ]


def loss(logits: torch.Tensor, lists: Sequence[List], schedule: Schedule) -> torch.Tensor:
    """Return the loss of a step, the mean over its lists.

    Over labels: binary cross-entropy with the square root of the gain as target (exact 1, substitute 0.32, complement
    0.1), and the cross-entropy between the shares of the gains and the softmax over the list (ListNet, Cao et al.
    2007). Over a teacher: squared difference of the logits, and the same listwise loss with the teacher's softmax.

    Args:
        logits: shape [pairs], list after list.
        lists: of one step.
        schedule: the weights of the parts.
    """
    rows = _Rows(lists, logits)
    total = logits.new_zeros(len(lists))
    if schedule.labels and any(entry.gains for entry in lists):
        total = total + schedule.labels * _label_loss(rows, lists, schedule.listwise)
    if schedule.teacher and any(entry.logits for entry in lists):
        total = total + schedule.teacher * _teacher_loss(rows, lists, schedule.listwise)
    return total.mean()


class _Rows:
    """The pairs of a step as rows of one width, a list each: few operations for all, where a GPU counts operations."""

    def __init__(self, lists: Sequence[List], logits: torch.Tensor) -> None:
        sizes = np.array([len(entry.ids) for entry in lists])
        self._there = np.arange(sizes.max()) < sizes[:, None]
        self._device = logits.device
        self.there = self._moved(self._there)
        self.logits = logits.new_zeros(self._there.shape).masked_scatter(self.there, logits)

    def of(self, values: Sequence[Sequence[float] | None]) -> torch.Tensor:
        """Put a number a pair into rows; shape [lists, longest list], 0 where a list has none or is shorter."""
        rows = np.zeros(self._there.shape, dtype=np.float32)
        for row, own in zip(rows, values, strict=True):
            if own is not None:
                row[: len(own)] = own
        return self._moved(rows)

    def each(self, values: Sequence[float | bool]) -> torch.Tensor:
        """Return a number a list, shape [lists]."""
        return self._moved(np.array(values, dtype=np.float32))

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean of each row over what is there, shape [lists]."""
        return (values * self.there).sum(1) / self.there.sum(1)

    def log_softmax(self, values: torch.Tensor) -> torch.Tensor:
        """Return the logarithms of each row's softmax; 0 where nothing is, so that products with it stay finite."""
        return values.masked_fill(~self.there, -torch.inf).log_softmax(1).masked_fill(~self.there, 0.0)

    def _moved(self, values: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device)


def _label_loss(rows: _Rows, lists: Sequence[List], listwise: float) -> torch.Tensor:
    gains = rows.of([one.gains for one in lists])
    weights = rows.of([one.weights or [1.0] * len(one.ids) for one in lists])
    each = torch.nn.functional.binary_cross_entropy_with_logits(rows.logits, gains.sqrt(), weights, reduction="none")
    labelled = rows.each([one.gains is not None for one in lists])
    # A list in which nothing fits, or with one document, has no order to be learnt.
    ordered = rows.each([one.weight if len(one.ids) > 1 and max(one.gains or (0,)) >= 0.1 else 0.0 for one in lists])
    share = gains / gains.sum(1, keepdim=True).clamp_min(1e-9)
    return labelled * rows.mean(each) - listwise * ordered * (share * rows.log_softmax(rows.logits)).sum(1)


def _teacher_loss(rows: _Rows, lists: Sequence[List], listwise: float) -> torch.Tensor:
    said = rows.of([one.logits for one in lists])
    taught = rows.each([one.logits is not None for one in lists])
    wanted = rows.log_softmax(said)
    apart = rows.mean((rows.logits - said) ** 2) / 4
    return taught * (apart + listwise * (wanted.exp() * (wanted - rows.log_softmax(rows.logits)) * rows.there).sum(1))


def train(
    model: PreTrainedModel,
    lists: Sequence[Encoded],
    schedule: Schedule,
    seed: int,
    what: str,
    checkpoint: Path | None = None,
    measure: Callable[[PreTrainedModel], float] | None = None,
    bf16: bool = False,
) -> PreTrainedModel:
    """Train on lists in an order of chance, AdamW.

    Args:
        model: is changed and returned.
        lists: what to train on.
        schedule: how.
        seed: fixes the order and what dropout drops.
        what: names the stage on the progress bar.
        checkpoint: file that is written every few minutes and resumed from if it is there. It stays: who has saved
            the model removes it.
        measure: a figure of the held-out queries, the higher the better; for early stopping.
        bf16: compute products in bfloat16; weights, gradients and losses stay float.
    """
    torch.manual_seed(seed)
    _freeze(model, schedule)
    batches = [
        batch
        for epoch in range(schedule.epochs)
        for batch in _batches(lists, schedule.pairs_a_step, seed + 1000 * epoch)
    ]
    state = _State(model, schedule, len(batches))
    start = state.resume(checkpoint)
    written = time.monotonic()
    model.train()
    average = torch.zeros((), device=model.device)  # read seldom: a GPU works on while it is not
    with tqdm(total=len(batches), initial=start, desc=what, unit="step", mininterval=10) as bar:
        for step in range(start, len(batches)):
            batch = batches[step]
            with models.products(model, bf16):
                said = _logits(model, [pair for one in batch for pair in one.pairs], schedule.max_tokens)
            value = loss(said, [one.entry for one in batch], schedule)
            value.backward()
            state.step()
            average = torch.lerp(average, value.detach(), 0.02 if step > start else 1.0)
            if bar.update():
                bar.set_postfix(loss=f"{average.item():.4f}", refresh=False)
            if checkpoint and time.monotonic() - written > _CHECKPOINT_S:
                state.write(checkpoint, step + 1)
                written = time.monotonic()
            if measure and schedule.early_stop_steps and (step + 1) % schedule.early_stop_steps == 0:
                if state.stop(measure):
                    tqdm.write(f"{what}: stopped after {step + 1} steps, best {state.best:.4f}")
                    break
                model.train()
    state.finish()
    if checkpoint:
        state.write(checkpoint, len(batches))
    return model.eval()


def _logits(model: PreTrainedModel, pairs: Sequence[Tokens], max_tokens: int) -> torch.Tensor:
    count, longest = len(pairs), max(len(pair.ids) for pair in pairs)
    tokens = min(longest + -longest % _TOKENS_MULTIPLE, max_tokens)
    return models.logits(model, as_batch(pairs, pairs=count + -count % _PAIRS_MULTIPLE, tokens=tokens))[:count]


class _State:
    """Optimizer, schedule, averaged weights and the best ones, and how all of them are kept in a file."""

    def __init__(self, model: PreTrainedModel, schedule: Schedule, steps: int) -> None:
        self._model, self._schedule = model, schedule
        self._trained = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in self._trained if p.ndim > 1], "weight_decay": 0.01},
            {"params": [p for p in self._trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, schedule.rate, fused=True)
        warm = max(1, steps // 20)
        self._rates = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
        )
        self._average = [p.detach().clone() for p in self._trained] if schedule.ema else []
        self._steps = 0
        self.best, self._worse = -math.inf, 0
        self._best_weights: list[torch.Tensor] = []

    def step(self) -> None:
        torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._rates.step()
        self._steps += 1
        if self._average:
            # The average forgets its beginning faster while it is young.
            decay = min(self._schedule.ema, (1 + self._steps) / (10 + self._steps))
            torch._foreach_lerp_(self._average, [p.detach() for p in self._trained], 1 - decay)

    def stop(self, measure: Callable[[PreTrainedModel], float]) -> bool:
        """Measure the averaged weights; return whether patience is at its end."""
        last = self._swap_in(self._average)
        figure = measure(self._model.eval())
        if figure > self.best:
            self.best, self._worse = figure, 0
            self._best_weights = [p.detach().clone() for p in self._trained]
        else:
            self._worse += 1
        self._swap_in(last)
        return self._worse >= self._schedule.patience

    def finish(self) -> None:
        """Put the weights to be returned into the model."""
        self._swap_in(self._best_weights or self._average)
        self._model.requires_grad_(True)

    def _swap_in(self, weights: list[torch.Tensor]) -> list[torch.Tensor]:
        if not weights:
            return []
        last = [p.detach().clone() for p in self._trained]
        with torch.no_grad():
            for parameter, value in zip(self._trained, weights, strict=True):
                parameter.copy_(value)
        return last

    def _contents(self) -> dict[str, Any]:
        return {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "rates": self._rates.state_dict(),
            "average": self._average,
            "steps": self._steps,
            "best": (self.best, self._worse, self._best_weights),
            "chance": torch.get_rng_state(),
        }

    def write(self, path: Path, step: int) -> None:
        """Write a checkpoint; one that is cut short never replaces a whole one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(self._contents() | {"step": step}, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def resume(self, path: Path | None) -> int:
        """Take up a checkpoint if there is one; return the step to go on with."""
        if path is None or not path.is_file():
            return 0
        kept = torch.load(path, weights_only=True, map_location=self._model.device)
        self._model.load_state_dict(kept["model"])
        self._optimizer.load_state_dict(kept["optimizer"])
        self._rates.load_state_dict(kept["rates"])
        self._average, self._steps = kept["average"], kept["steps"]
        self.best, self._worse, self._best_weights = kept["best"]
        torch.set_rng_state(kept["chance"].cpu())
        return int(kept["step"])


def _freeze(model: PreTrainedModel, schedule: Schedule) -> None:
    if model.config.model_type != "bert" or not (schedule.frozen_layers or schedule.frozen_embeddings):
        return
    model.bert.embeddings.requires_grad_(False)
    for layer in model.bert.encoder.layer[: schedule.frozen_layers]:
        layer.requires_grad_(False)


def _batches(lists: Sequence[Encoded], pairs_a_step: int, seed: int) -> list[list[Encoded]]:
    """Return the lists of each step, of similar length, the steps in an order of chance."""
    rng = random.Random(seed)
    shuffled = rng.sample(list(lists), len(lists))
    size = max(1, round(np.mean([len(one.pairs) for one in lists])))
    window = _WINDOW_STEPS * max(1, pairs_a_step // size)
    batches: list[list[Encoded]] = []
    for start in range(0, len(shuffled), window):
        near = sorted(shuffled[start : start + window], key=lambda one: max(len(pair.ids) for pair in one.pairs))
        batch: list[Encoded] = []
        for one in near:
            if batch and sum(len(b.pairs) for b in batch) + len(one.pairs) > pairs_a_step:
                batches.append(batch)
                batch = []
            batch.append(one)
        batches.append(batch)
    return rng.sample(batches, len(batches))


def score(model: PreTrainedModel, pairs: Sequence[Tokens], what: str = "", bf16: bool = False) -> list[float]:
    """Return logits in the order of the pairs, nothing learnt."""
    order = sorted(range(len(pairs)), key=lambda number: len(pairs[number].ids))
    result = [0.0] * len(pairs)
    model.eval()
    with torch.inference_mode(), models.products(model, bf16):
        starts = range(0, len(order), 64)
        for start in tqdm(starts, desc=what, unit="batch", mininterval=10, disable=not what):
            where = order[start : start + 64]
            said = models.logits(model, as_batch([pairs[number] for number in where]))
            for number, value in zip(where, said.tolist(), strict=True):
                result[number] = value
    return result
