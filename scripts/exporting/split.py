"""Fused nodes written apart where ONNX Runtime's CPU kernels of the parts are faster than the fused one's."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from .graph import Graph, attribute

_FUSED = "com.microsoft"


def split_norms(model: onnx.ModelProto) -> int:
    """Write SkipLayerNormalization as Add and LayerNormalization, and BiasGelu as Add and Gelu; return how many.

    Seen with ONNX Runtime 1.32 on a Xeon with AVX-512 (34 tokens of 384 numbers): 85 µs fused, 17 µs apart. A bias that
    stands alone is taken into the matrix product before it when the model is loaded. `proxy.scorer.onnx_model` keeps
    the runtime from fusing them again.
    """
    nodes: list[onnx.NodeProto] = []
    count = 0
    for number, node in enumerate(model.graph.node):
        wanted = [name for name in node.output[1:] if name]
        if node.op_type == "SkipLayerNormalization" and node.domain == _FUSED and not wanted and all(node.input[:4]):
            nodes += _norm(node, f"split_{number}")
        elif node.op_type == "BiasGelu" and node.domain == _FUSED:
            biased = f"split_{number}_biased"
            nodes.append(helper.make_node("Add", list(node.input), [biased]))
            nodes.append(helper.make_node("Gelu", [biased], list(node.output), domain=_FUSED))
        else:
            nodes.append(node)
            continue
        count += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return count


def _norm(node: onnx.NodeProto, name: str) -> list[onnx.NodeProto]:
    state, skip, scale, shift, *bias = node.input
    made = []
    if bias and bias[0]:
        made.append(helper.make_node("Add", [state, bias[0]], [f"{name}_biased"]))
        state = f"{name}_biased"
    made.append(helper.make_node("Add", [state, skip], [f"{name}_sum"]))
    epsilon = attribute(node, "epsilon", 1e-12)
    made.append(
        helper.make_node(
            "LayerNormalization", [f"{name}_sum", scale, shift], [node.output[0]], axis=-1, epsilon=epsilon
        )
    )
    return made


def split_last_attention(model: onnx.ModelProto) -> bool:
    """Write the int8 attention of which only the first token is read as one that asks for that token alone.

    The fused node computes queries for all tokens and attends with each. Apart, keys and values are made of all tokens,
    the query of one: the same products in the same int8. Return whether there was such a node.
    """
    graph = Graph(model)
    for position, node in enumerate(model.graph.node):
        readers = graph.consumers[node.output[0]]
        if node.op_type != "QAttention" or len(readers) != 1 or not _takes_first_token(readers[0], graph):
            continue
        made = _one_query_attention(graph, node, readers[0], f"last_attention_{position}")
        del model.graph.node[position]
        for offset, each in enumerate(made):
            model.graph.node.insert(position + offset, each)
        graph.index()
        graph.remove_unused_weights()
        return True
    return False


def _takes_first_token(node: onnx.NodeProto, graph: Graph) -> bool:
    if node.op_type != "Slice" or not all(graph.is_constant(name) for name in node.input[1:]):
        return False
    start, end, axis = (graph.constant(name).reshape(-1).tolist() for name in node.input[1:4])
    return (start, end, axis) == ([0], [1], [1])


def _one_query_attention(graph: Graph, node: onnx.NodeProto, first: onnx.NodeProto, name: str) -> list[onnx.NodeProto]:
    state, weight, bias, scale, weight_scale, mask, zero, weight_zero = [*node.input, *[""] * 8][:8]
    weights, biases = graph.weight(weight), graph.weight(bias)
    scales = graph.weight(weight_scale).reshape(-1)
    zeros = graph.weight(weight_zero).reshape(-1) if weight_zero else None
    width = weights.shape[1] // 3
    nodes: list[onnx.NodeProto] = []

    def product(given: str, part: str, start: int, end: int) -> str:
        own = f"{name}_{part}"
        inputs = [given, graph.add_weight(f"{own}_weight", weights[:, start:end]), zero]
        if zeros is not None:
            kept = zeros[0] if zeros.size == 1 else zeros[start:end]
            inputs.append(graph.add_weight(f"{own}_zero", kept))
        shares = scales if scales.size == 1 else scales[start:end]
        nodes.extend(
            [
                helper.make_node("Mul", [scale, graph.add_weight(f"{own}_scales", shares)], [f"{own}_scale"]),
                helper.make_node("MatMulInteger", inputs, [f"{own}_whole"]),
                helper.make_node("Cast", [f"{own}_whole"], [f"{own}_float"], to=onnx.TensorProto.FLOAT),
                helper.make_node("Mul", [f"{own}_float", f"{own}_scale"], [f"{own}_scaled"]),
                helper.make_node("Add", [f"{own}_scaled", graph.add_weight(f"{own}_bias", biases[start:end])], [own]),
            ]
        )
        return own

    nodes.append(helper.make_node("Slice", [state, *first.input[1:]], [f"{name}_first"]))
    query = product(f"{name}_first", "query", 0, width)
    both = product(state, "keys_values", width, 3 * width)
    sizes = graph.add_weight(f"{name}_sizes", np.array([width, width], dtype=np.int64))
    parts = [f"{name}_keys", f"{name}_values"]
    nodes.append(helper.make_node("Split", [both, sizes], parts, axis=2))
    heads = attribute(node, "num_heads")
    inputs = [query, *parts, *(["", mask] if mask else [])]
    nodes.append(helper.make_node("MultiHeadAttention", inputs, list(node.output[:1]), domain=_FUSED, num_heads=heads))
    return nodes
