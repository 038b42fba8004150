"""In the last layer only the first token is computed, where the classifier reads no other.

The self-attention of the last layer still sees all tokens; what follows it works on each token by itself (output
projection, normalization, feed-forward), so that only the first token's part reaches the logit. The logits stay what
they were, up to the rounding of a matrix product with fewer rows.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from .graph import Graph, attribute

_FROM = frozenset({"Attention", "EmbedLayerNormalization", "LayerNormalization", "SkipLayerNormalization"})
"""Makers of tensors that are known to have the shape [batch, tokens, width]: there the first token is cut out."""
_ACTIVATIONS = frozenset({"BiasGelu", "Erf", "FastGelu", "Gelu", "Relu", "Tanh"})


def keep_first_token(model: onnx.ModelProto) -> str | None:
    """Cut the first token out in front of the last layer's token-wise part, in place.

    Returns:
        Why the graph was left alone, None if it was changed.
    """
    graph = Graph(model)
    end = _first_token_gather(graph)
    if end is None:
        return "the classifier does not read the first token alone, in a form that is known"
    region, borders = _token_wise_region(graph, end)
    if not any(node.op_type == "MatMul" for node in region):
        return "no token-wise part with a matrix product ends at the first token"
    if any(border not in graph.producer or graph.producer[border].op_type not in _FROM for border in borders):
        return "the token-wise part in front of the classifier begins in a form that is not known"
    first = min(list(model.graph.node).index(node) for node in region)
    bounds = [graph.add_weight(f"first_token/{key}", np.array([value])) for key, value in _BOUNDS.items()]
    cut = {border: f"{border}/first_token" for border in sorted(borders)}
    slices = [
        helper.make_node("Slice", [border, *bounds], [name], name=f"{name}/Slice") for border, name in cut.items()
    ]
    for node in region:
        for position, name in enumerate(node.input):
            if name in cut:
                node.input[position] = cut[name]
    if any(name not in _made_before(model, first) for name in borders):
        first = 1 + max(list(model.graph.node).index(graph.producer[border]) for border in borders)
    for offset, node in enumerate(slices):
        model.graph.node.insert(first + offset, node)
    del model.graph.value_info[:]  # shapes behind the cut have changed
    return None


_BOUNDS = {"start": 0, "end": 1, "axis": 1}


def _made_before(model: onnx.ModelProto, position: int) -> set[str]:
    return {output for node in list(model.graph.node)[:position] for output in node.output}


def _first_token_gather(graph: Graph) -> onnx.NodeProto | None:
    """Return the only node that takes token 0 of a [batch, tokens, width] tensor of the encoder."""
    found = [
        node
        for node in graph.model.graph.node
        if node.op_type == "Gather"
        and attribute(node, "axis", 0) == 1
        and node.input[0] in graph.producer
        and graph.is_constant(node.input[1])
        and graph.constant(node.input[1]).size == 1
        and int(graph.constant(node.input[1]).item()) == 0
    ]
    return found[0] if len(found) == 1 else None


def _token_wise_region(graph: Graph, end: onnx.NodeProto) -> tuple[list[onnx.NodeProto], set[str]]:
    """Return the nodes whose outputs reach the graph's end through ``end`` alone, and the tensors that enter them."""
    region: list[onnx.NodeProto] = []
    inside = [end]
    candidates = [end.input[0]]
    while candidates:
        name = candidates.pop()
        node = graph.producer.get(name)
        if node is None or node in region or not _is_token_wise(graph, node):
            continue
        readers = [reader for output in node.output for reader in graph.consumers.get(output, [])]
        if any(reader not in inside for reader in readers) or graph.outputs.intersection(node.output):
            continue
        region.append(node)
        inside.append(node)
        for later in region:  # a tensor read twice is ready only once both its readers are inside
            candidates += [entered for entered in later.input if entered and not graph.is_constant(entered)]
        candidates = [entered for entered in candidates if graph.producer.get(entered) not in region]
    made = {output for node in region for output in node.output}
    entering = {name for node in region for name in node.input if name and not graph.is_constant(name)}
    return region, entering - made


def _is_token_wise(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether each token's output depends on that token's inputs alone, and all inputs have tokens on axis 1."""
    inputs = [name for name in node.input if name]
    if node.op_type in _ACTIVATIONS:
        return all(graph.is_constant(name) for name in inputs[1:])
    if node.op_type == "MatMul":
        return graph.is_constant(inputs[1]) and graph.constant(inputs[1]).ndim == 2
    if node.op_type == "LayerNormalization":
        return attribute(node, "axis", -1) in (-1, 2) and len([name for name in node.output if name]) == 1
    if node.op_type == "SkipLayerNormalization":
        return all(graph.is_constant(name) for name in inputs[2:]) and len([n for n in node.output if n]) == 1
    if node.op_type in ("Add", "Mul", "Div"):
        varying = [name for name in inputs if not graph.is_constant(name)]
        fixed = [graph.constant(name) for name in inputs if graph.is_constant(name)]
        return len(varying) == 1 and all(values.ndim <= 1 for values in fixed)
    return False
