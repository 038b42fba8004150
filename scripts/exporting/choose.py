"""Chooses which matrices stay float: the fewest whose int8 form harms the order most, for their cost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from tqdm import tqdm

from model_checks import Logits, spearman

from .feeds import Feeds, logits_of, milliseconds
from .quantize import quantizable

_HARM_ON = 100
"""On how many pairs a single matrix's harm is measured."""

Quantize = Callable[[Path, Sequence[str]], None]
"""Writes the quantized graph to a file, the nodes named left float."""


@dataclass(frozen=True)
class Harm:
    """What one matrix alone in int8 does to the logits."""

    node: str
    gap: float
    """Mean distance to the float logits."""
    spearman: float
    weights: int


@dataclass
class Choice:
    """Which nodes stay float, and what was seen on the calibration pairs on the way."""

    left_float: list[str] = field(default_factory=list)
    spearman: float = float("nan")
    all_int8: float = float("nan")
    """Spearman with every matrix in int8."""
    harms: list[Harm] = field(default_factory=list)
    steps: list[tuple[str, float, float]] = field(default_factory=list)
    """Node, Spearman with it and those before it in float, ms a pair then."""
    before_ms: float = float("nan")

    def lines(self, target: float) -> list[str]:
        """Return what was chosen and why."""
        first = f"all matrices in int8: Spearman {self.all_int8:.4f} on the calibration pairs"
        if not self.steps:
            return [f"{first} (wanted {target:g}): none is left float"]
        harms = {harm.node: harm for harm in self.harms}
        lines = [f"{first}, {self.before_ms:.2f} ms a pair; left float until {target:g}:"]
        for node, reached, ms in self.steps:
            harm = harms[node]
            lines.append(
                f"left float: {node} (alone in int8 it moves logits by {harm.gap:.3f}, Spearman {harm.spearman:.4f}): "
                f"then Spearman {reached:.4f}, {ms:.2f} ms a pair"
            )
        if self.left_float != [node for node, _, _ in self.steps]:
            lines.append(f"kept of these: {len(self.left_float)}, the best seen")
        return lines


def choose(
    source: Path, quantize: Quantize, feeds: Feeds, wanted: Logits, target: float, most: int, timed: int = 40
) -> Choice:
    """Leave nodes float, most harm for their cost first, until the order agrees.

    Args:
        source: the float graph.
        quantize: makes the int8 graph.
        feeds: calibration pairs.
        wanted: the float model's logits on them.
        target: Spearman to reach.
        most: how many nodes may stay float.
        timed: on how many pairs each step's time is measured.
    """
    choice = Choice()
    with tempfile.TemporaryDirectory() as made:
        path, before = Path(made) / "model.onnx", Path(made) / "before.onnx"
        quantize(before, ())
        choice.all_int8 = choice.spearman = spearman(wanted, logits_of(before, feeds))
        if choice.spearman >= target or most == 0:
            return choice
        model = onnx.load(source)
        shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        nodes = [(node.name, int(np.prod(shapes[node.input[1]]))) for node in quantizable(model)]
        for name, size in tqdm(nodes, desc="harm of each matrix", unit="matrix", leave=False):
            quantize(path, [other for other, _ in nodes if other != name])
            seen, alike = logits_of(path, feeds[:_HARM_ON]), wanted[:_HARM_ON]
            choice.harms.append(Harm(name, float(np.abs(seen - alike).mean()), spearman(alike, seen), size))
        order = sorted(choice.harms, key=lambda harm: -(harm.gap**2) / harm.weights)
        best = -np.inf if np.isnan(choice.spearman) else choice.spearman
        for harm in tqdm(order[:most], desc="leave float", unit="matrix", leave=False):
            names = [node for node, _, _ in choice.steps] + [harm.node]
            quantize(path, names)
            reached = spearman(wanted, logits_of(path, feeds))
            times = milliseconds({"before": before, "now": path}, feeds[:timed], rounds=3)
            choice.before_ms = times["before"]
            choice.steps.append((harm.node, reached, times["now"]))
            if reached > best:
                best, choice.left_float = reached, names
            if reached >= target:
                break
        choice.spearman = best
    return choice
