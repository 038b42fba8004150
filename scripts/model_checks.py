"""Checks of an exported model: does int8 order pairs as float does, and is a pair's score its own?"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from proxy.scorer.types import PairModel, Segment

DOCUMENT_TOKENS = 128
LARGEST_CHANGE = 1e-5
"""How far a pair's logit may move with what is scored beside it."""
LEAST_SPEARMAN = 0.99
_BATCH = 8
_THREADS = 4
_REPEATED = 100
"""How many pairs are scored again, beside others and in batches."""

Pairs = Sequence[tuple[str, str]]
Logits = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Report:
    """What was measured on the sample pairs; gaps and changes are of logits."""

    pairs: int
    spearman: float
    mean_gap: float
    largest_gap: float
    spread: float
    """Standard deviation of the float logits, to read the gaps by."""
    serving_change: float
    """Largest change of a logit over repetitions in other orders and in several threads, one pair a call."""
    batch_change: float
    """Largest change of a logit when the graph is given a padded batch; the proxy never does that."""

    def refusal(self) -> str | None:
        """Return why such a model must not be served, None if it may."""
        if not self.serving_change <= LARGEST_CHANGE:
            return (
                f"a pair's logit changes by {self.serving_change:.2g} with what is scored beside it or from run to "
                f"run; at most {LARGEST_CHANGE:g} is allowed"
            )
        if not self.spearman >= LEAST_SPEARMAN:
            return (
                f"its order agrees too little with the float model's: Spearman {self.spearman:.3f} over {self.pairs} "
                f"pairs, at least {LEAST_SPEARMAN} is wanted; more --max-float leaves more matrices float, --precision "
                "float all of them"
            )
        return None

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        return [
            f"sample pairs: {self.pairs}; standard deviation of the float logits {self.spread:.3f}",
            f"rank correlation with the float model (Spearman): {self.spearman:.4f}",
            f"largest gap to a float logit: {self.largest_gap:.4f}; on average {self.mean_gap:.4f}",
            f"largest change as served (one pair a call, in {_THREADS} threads): {self.serving_change:.2g}",
            f"largest change in padded batches of {_BATCH} (the proxy never makes them): {self.batch_change:.2g}",
        ]


def compare(model: PairModel, reference: PairModel, graph: Path, pairs: Pairs) -> Report:
    """Measure a model against the float one.

    Args:
        model: as it is to be served.
        reference: the float model.
        graph: folder of the model, for feeding its graph a batch.
        pairs: (query, document text).
    """
    wanted = score_all(reference, pairs)
    alone = score_all(model, pairs)
    return Report(
        pairs=len(pairs),
        spearman=spearman(wanted, alone),
        mean_gap=float(np.abs(wanted - alone).mean()),
        largest_gap=float(np.abs(wanted - alone).max()),
        spread=float(wanted.std()),
        serving_change=serving_change(model, pairs[:_REPEATED], alone[:_REPEATED]),
        batch_change=batch_change(graph, pairs[:_REPEATED]),
    )


def score_all(model: PairModel, pairs: Pairs) -> Logits:
    """Return each pair's logit, one call a pair, in one thread."""
    return np.array([model.score(query, (Segment(text),), DOCUMENT_TOKENS) for query, text in pairs])


def serving_change(model: PairModel, pairs: Pairs, alone: Logits, rounds: int = 3) -> float:
    """Return the largest change of a logit when the pairs are scored in other orders and by several threads at once."""
    order = list(range(len(pairs)))
    largest = 0.0
    with ThreadPoolExecutor(_THREADS) as pool:
        for seed in range(rounds):
            random.Random(seed).shuffle(order)
            again = list(pool.map(lambda i: score_all(model, [pairs[i]])[0], order))
            largest = max(largest, float(np.abs(np.array(again) - alone[order]).max()))
    return largest


def batch_change(folder: Path, pairs: Pairs) -> float:
    """Return the largest change of a logit between a pair alone and the same pair in a padded batch of the graph."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text())
    tokenizer.enable_truncation(config["rerank"]["max_tokens"])
    tokenizer.enable_padding(pad_id=config.get("pad_token_id") or 0)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    names = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}

    def run(chunk: Pairs) -> Logits:
        encodings = tokenizer.encode_batch(list(chunk))
        feed = {
            declared.name: np.array(
                [getattr(encoding, names[declared.name]) for encoding in encodings],
                dtype=np.int32 if declared.type == "tensor(int32)" else np.int64,
            )
            for declared in session.get_inputs()
        }
        output = np.asarray(session.run(None, feed)[0], dtype=np.float64).reshape(len(chunk), -1)
        return output[:, -1] - (output[:, 0] if output.shape[1] == 2 else 0.0)

    largest = 0.0
    for start in range(0, len(pairs), _BATCH):
        chunk = pairs[start : start + _BATCH]
        alone = np.concatenate([run([pair]) for pair in chunk])
        largest = max(largest, float(np.abs(run(chunk) - alone).max()))
    return largest


def spearman(left: Logits, right: Logits) -> float:
    """Return Spearman's rank correlation, ties given their mean rank; NaN where one side is constant."""
    ranks = [_ranks(values) for values in (left, right)]
    if any(rank.std() == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: Logits) -> Logits:
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: Logits = last - (counts - 1) / 2
    return mean[where]
