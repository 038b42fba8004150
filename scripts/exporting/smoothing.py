"""Moves outliers of activations into the weights before quantization: exact in float, closer in int8.

A dynamic activation has one scale a call, set by its widest channel. Dividing channel j by s_j and multiplying row j of
the weight by it changes no product, and evens the channels out: s_j = max|x_j|^a / max|w_j|^(1 - a), Xiao et al. 2023
(SmoothQuant). Where the input is attention's output the division goes into the value weights and costs nothing; else
it is one multiplication of the input. The exponent is chosen for each matrix by the error that int8 would make on
calibration data, and a matrix that gains little is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from .graph import Array, Graph

_EXPONENTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_LEAST_GAIN = 0.15
"""A matrix's error must fall by this share where the smoothing costs a multiplication."""
WEIGHT_LIMIT = 64
"""Largest 7-bit weight: what ONNX Runtime's ``reduce_range`` gives."""

Samples = list[npt.NDArray[np.float32]]
"""Inputs of one matrix, each of shape [tokens, width]."""


@dataclass(frozen=True)
class Smoothed:
    """What was done for one matrix."""

    node: str
    exponent: float
    before: float
    after: float
    """Relative error of the product in int8 (root of the mean square) before and after."""
    free: bool
    """Whether it was folded into the matrix in front, without a multiplication."""


def smoothable(graph: Graph) -> list[onnx.NodeProto]:
    """Return the nodes that multiply an activation by a weight of two dimensions which nobody else reads."""
    return [
        node
        for node in graph.model.graph.node
        if node.op_type in ("MatMul", "Attention")
        and node.input[1] in graph.weights
        and len(graph.weights[node.input[1]].dims) == 2
        and len(graph.consumers[node.input[1]]) == 1
        and node.input[0] in graph.producer
    ]


def smooth(model: onnx.ModelProto, samples: dict[str, Samples]) -> list[Smoothed]:
    """Smooth the inputs of the matrices where that pays, in place.

    Args:
        model: a float graph.
        samples: name of an activation -> calibration data, for the inputs of `smoothable` nodes.
    """
    graph = Graph(model)
    done = []
    for node in smoothable(graph):
        given = samples.get(node.input[0])
        if not given:
            continue
        weight = graph.weight(node.input[1])
        values = _value_columns(graph, node)
        exponent, factors, before, after = _best(given, weight)
        if factors is None or after > before * (1.0 if values else 1 - _LEAST_GAIN):
            continue
        graph.add_weight(node.input[1], (weight * factors[:, None]).astype(np.float32))
        if values:
            _fold(graph, values, factors)
        else:
            name = f"{node.name}/smoothing"
            graph.add_weight(name, (1 / factors).astype(np.float32))
            scaled = helper.make_node("Mul", [node.input[0], name], [f"{name}/output"], name=f"{name}/Mul")
            source = node.input[0]
            node.input[0] = scaled.output[0]
            graph.insert_before(node, [scaled])
            samples[scaled.output[0]] = [part / factors for part in samples[source]]
        done.append(Smoothed(node.name, exponent, before, after, values is not None))
    return done


def _value_columns(graph: Graph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return the attention whose output is this node's input and nobody else's, None if there is none."""
    name = node.input[0]
    maker = graph.producer[name]
    if len(graph.consumers[name]) == 1 and maker.op_type == "Slice":
        name = maker.input[0]
        maker = graph.producer.get(name, maker)
    if maker.op_type != "Attention" or len(graph.consumers[name]) != 1 or len([n for n in maker.output if n]) != 1:
        return None
    width = graph.weights[node.input[1]].dims[0]
    known = maker.input[1] in graph.weights and maker.input[2] in graph.weights
    return maker if known and list(graph.weights[maker.input[1]].dims)[1] == 3 * width else None


def _fold(graph: Graph, attention: onnx.NodeProto, factors: Array) -> None:
    """Divide the value columns, the last third, by the factors: attention is linear in its values."""
    for position in (1, 2):
        values = graph.weight(attention.input[position]).copy()
        values[..., -len(factors) :] /= factors
        graph.add_weight(attention.input[position], values.astype(np.float32))


def _best(given: Samples, weight: Array) -> tuple[float, Array | None, float, float]:
    """Return exponent and factors of the least int8 error, and that error without and with them."""
    widest = np.max([np.abs(part).max(axis=0) for part in given], axis=0)
    strongest = np.abs(weight).max(axis=1)
    before = _int8_error(given, weight)
    best: tuple[float, Array | None, float] = (0.0, None, before)
    if not (widest.max() > 0 and strongest.max() > 0):
        return (*best[:2], before, before)
    widest = np.maximum(widest, 1e-3 * widest.max())
    strongest = np.maximum(strongest, 1e-3 * strongest.max())
    for exponent in _EXPONENTS:
        factors = widest**exponent / strongest ** (1 - exponent)
        factors = factors / np.exp(np.log(factors).mean())
        error = _int8_error([part / factors for part in given], weight * factors[:, None])
        if error < best[2]:
            best = exponent, factors, error
    return best[0], best[1], before, best[2]


def _int8_error(given: Samples, weight: Array) -> float:
    """Return the relative error of the products when both sides are rounded as dynamic int8 does it."""
    scale = np.abs(weight).max(axis=0, keepdims=True) / WEIGHT_LIMIT
    scale[scale == 0] = 1
    rounded = np.rint(weight / scale) * scale
    wrong = total = 0.0
    for part in given:
        low, high = min(0.0, float(part.min())), max(0.0, float(part.max()))
        step = (high - low) / 255 or 1.0
        zero = round(-low / step)
        near = (np.clip(np.rint(part / step) + zero, 0, 255) - zero) * step
        product = part @ weight
        wrong += float(((near @ rounded - product) ** 2).sum())
        total += float((product**2).sum())
    return float(np.sqrt(wrong / total)) if total else 0.0
