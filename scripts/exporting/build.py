"""All steps in order: from the torch model to the float graph that is compared with, and the graph that is served."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from model_checks import Pairs
from proxy.scorer.onnx_model import load_model

from . import quantize
from .choose import Choice, choose
from .common import ExportError, say
from .embeddings import quantize_embeddings
from .feeds import Feeds, activations, logits_of, make_feeds, milliseconds
from .first_token import keep_first_token
from .smoothing import smooth
from .source import export_graph, fuse, gap_to_torch, original_tokenizer, write_companions, write_pruned
from .split import split_last_attention, split_norms
from .vocabulary import prune, read_corpus

_LARGEST_REWRITING_GAP = 1e-4
"""How far float logits may move, in shares of their spread (or of 1), when the graph is written in another way."""
_LAYER_NORMALIZATION_OPSET = 17
_SMOOTHED_ON = 32
_TIMED_ON = 60


@dataclass(frozen=True)
class Plan:
    """What is to be made; the command line's options say what each means."""

    source: str
    name: str
    precision: str = "dynamic"
    method: str = "percentile"
    target: float = 0.995
    max_float: int = 4
    smoothing: bool = True
    opset: int | None = None
    corpus: Sequence[Path] = ()
    keep_pieces: int | None = None
    least_count: int = 1


@dataclass(frozen=True)
class Made:
    """Two model folders, and what was done."""

    reference: Path
    """The float model, its vocabulary whole."""
    served: Path
    lines: list[str]


def build(plan: Plan, folder: Path, pairs: Pairs, calibration: Pairs) -> Made:
    """Make the folders below ``folder``.

    Args:
        plan: what to make.
        folder: empty, for everything.
        pairs: to compare the exported graph with torch.
        calibration: pairs that smoothing, static scales and the choice of float nodes are taken from.

    Raises:
        ExportError: a step is not possible.
    """
    reference, lines = _float(plan, plan.source, folder / "whole", pairs)
    prepared = reference
    if plan.corpus:
        say("prune the vocabulary")
        text, pruned = prune(
            original_tokenizer(plan.source, folder / "tokenizer"),
            read_corpus(plan.corpus),
            plan.keep_pieces,
            plan.least_count,
        )
        write_pruned(plan.source, folder / "pruned", text, pruned.new_ids)
        prepared, _ = _float(plan, str(folder / "pruned"), folder / "part", pairs)
        lines += pruned.lines()
    served = folder / "served"
    shutil.copytree(prepared, served)
    feeds = make_feeds(prepared, calibration)
    wanted = logits_of(prepared / "model.onnx", feeds)
    model = onnx.load(prepared / "model.onnx")
    lines += _first_token(model, prepared, feeds, wanted)
    rewritten = folder / "rewritten.onnx"
    if plan.precision == "float":
        onnx.save(model, served / "model.onnx")
    else:
        if plan.smoothing:
            say("smooth")
            lines += _smooth(model, feeds, wanted)
        left = quantize_embeddings(model)
        lines.append(f"word embeddings: {'int8 with a scale a row' if left is None else f'float, as {left}'}")
        onnx.save(model, rewritten)
        lines += _quantized(plan, rewritten, served / "model.onnx", feeds, wanted, folder)
    lines += _split(served / "model.onnx")
    sizes = [(path / "model.onnx").stat().st_size / 1e6 for path in (reference, served)]
    lines.insert(0, f"weights: {plan.precision}; size of model.onnx: {sizes[1]:.1f} MB (float: {sizes[0]:.1f} MB)")
    lines.append(f"opset: {next(each.version for each in model.opset_import if each.domain in ('', 'ai.onnx'))}")
    timed = feeds[:_TIMED_ON]
    ms = milliseconds({"float": prepared / "model.onnx", "served": served / "model.onnx"}, timed)
    tokens = np.mean([feed["input_ids"].shape[1] for feed in timed])
    lines.append(
        f"CPU time of a pair, without tokenizing: {ms['served']:.2f} ms (float: {ms['float']:.2f} ms); one thread, "
        f"{len(timed)} calibration pairs of {tokens:.0f} tokens on average"
    )
    return Made(reference, served, lines)


def _float(plan: Plan, source: str, folder: Path, pairs: Pairs) -> tuple[Path, list[str]]:
    """Export and fuse; return the model folder and what was seen."""
    raw, made = folder / "raw", folder / "float"
    say(f"export {plan.source}")
    config = export_graph(source, raw, plan.opset)
    say("fuse")
    made.mkdir(parents=True)
    fuse(raw / "model.onnx", made / "model.onnx", config)
    write_companions(raw, made, config)
    gap = gap_to_torch(source, load_model(made, f"{plan.name} (float)"), pairs, config["rerank"]["max_tokens"])
    return made, [f"largest gap between the float graph and torch: {gap:.2g}"]


def _first_token(model: onnx.ModelProto, folder: Path, feeds: Feeds, wanted: np.ndarray) -> list[str]:
    """Cut the last layer down to the first token; the model is left as it was where that is not possible."""
    tried = onnx.ModelProto()
    tried.CopyFrom(model)
    why = keep_first_token(tried)
    if why is None and not _same(tried, feeds[:100], wanted[:100]):
        why = "the logits did not stay the same"
    if why is not None:
        say(f"the last layer computes every token, as {why}")
        return [f"last layer: every token is computed, as {why}"]
    model.CopyFrom(tried)
    return ["last layer: behind its attention only the first token is computed (the same logits)"]


def _split(path: Path) -> list[str]:
    model = onnx.load(path)
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset < _LAYER_NORMALIZATION_OPSET:
        return [f"fused nodes: kept, as opset {opset} has no LayerNormalization"]
    count = split_norms(model) + split_last_attention(model)
    onnx.save(model, path)
    return [f"fused nodes: {count} written apart, which the runtime computes faster"]


def _smooth(model: onnx.ModelProto, feeds: Feeds, wanted: np.ndarray) -> list[str]:
    tried = onnx.ModelProto()
    tried.CopyFrom(model)
    done = smooth(tried, activations(tried, feeds[:_SMOOTHED_ON]))
    if not done:
        return ["smoothing: no matrix gains by it"]
    if not _same(tried, feeds[:100], wanted[:100]):
        return ["smoothing: left out, as the float logits did not stay the same"]
    model.CopyFrom(tried)
    before, after = (np.mean([getattr(each, key) for each in done]) for key in ("before", "after"))
    free = sum(each.free for each in done)
    return [
        f"smoothing: {len(done)} matrices ({free} of them without a multiplication); mean error of their products in "
        f"int8 {100 * before:.1f} % -> {100 * after:.1f} %"
    ]


def _same(model: onnx.ModelProto, feeds: Feeds, wanted: np.ndarray) -> bool:
    try:
        seen = logits_of(model.SerializeToString(), feeds)
    except Exception:  # ONNX Runtime's errors have no common base class
        return False
    return bool(np.abs(seen - wanted).max() <= _LARGEST_REWRITING_GAP * max(1.0, float(wanted.std())))


def _quantized(plan: Plan, source: Path, target: Path, feeds: Feeds, wanted: np.ndarray, folder: Path) -> list[str]:
    """Quantize in the way asked for, or in both and take the better; return what was chosen."""
    ways = ("dynamic", "static") if plan.precision == "auto" else (plan.precision,)
    choices: dict[str, Choice] = {}
    paths: dict[str, Path] = {}
    lines = []
    for way in ways:
        say(f"quantize to int8, 7-bit weights, {way}")

        def make(path: Path, left_float: Sequence[str], way: str = way) -> None:
            if way == "dynamic":
                quantize.dynamic(source, path, left_float)
            else:
                quantize.static(source, path, feeds, plan.method, left_float)

        try:
            choices[way] = choose(source, make, feeds, wanted, plan.target, plan.max_float)
            paths[way] = folder / f"{way}.onnx"
            make(paths[way], choices[way].left_float)
        except Exception as error:
            raise ExportError(f"cannot quantize ({way}): {type(error).__name__}: {error}") from error
        lines += [f"{way}: {line}" for line in choices[way].lines(plan.target)]
    best = ways[0]
    if len(ways) > 1:
        ms = milliseconds(paths, feeds[:_TIMED_ON])
        good = [way for way in ways if choices[way].spearman >= plan.target]
        best = min(good, key=ms.__getitem__) if good else max(ways, key=lambda way: choices[way].spearman)
        told = ", ".join(f"{way} {choices[way].spearman:.4f} in {ms[way]:.2f} ms" for way in ways)
        lines.append(f"auto: {told}; {best} was taken")
    shutil.copy(paths[best], target)
    if best == "static":
        lines.append(f"static scales: method {plan.method}, attention's input by each call")
    return lines
