"""Word embeddings as bytes with a scale for each piece: a quarter of the size, and nearly the float values.

ONNX Runtime's own quantization has one scale for the whole table, set by its largest value.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from .graph import Graph, attribute


def quantize_embeddings(model: onnx.ModelProto) -> str | None:
    """Replace the fused embedding by a table of bytes with a scale a row, in place.

    Returns:
        Why it was left alone, None if it was replaced.
    """
    graph = Graph(model)
    nodes = [node for node in model.graph.node if node.op_type == "EmbedLayerNormalization"]
    if len(nodes) != 1:
        return "there is no fused embedding"
    node = nodes[0]
    inputs = [*node.input, *[""] * (9 - len(node.input))]
    ids, kinds, words, positions, kind_table, gamma, beta, mask, position_ids = inputs[:9]
    if position_ids or (len(node.output) > 2 and node.output[2]) or not all(map(graph.is_constant, (words, positions))):
        return "the embedding has a form that is not known"
    table = graph.weight(words).astype(np.float32)
    scale = np.abs(table).max(axis=1, keepdims=True) / 127
    scale[scale == 0] = 1
    made = [graph.add_weight("embedding/words", np.rint(table / scale).astype(np.int8))]
    made += [graph.add_weight("embedding/scales", scale.astype(np.float32))]
    made += [graph.add_weight(f"embedding/{key}", np.array(value)) for key, value in _NUMBERS.items()]
    new = [
        _node("Gather", [made[0], ids], "bytes", axis=0),
        _node("Cast", ["embedding/bytes"], "cast", to=TensorProto.FLOAT),
        _node("Gather", [made[1], ids], "scale", axis=0),
        _node("Mul", ["embedding/cast", "embedding/scale"], "word"),
        _node("Shape", [ids], "shape"),
        _node("Gather", ["embedding/shape", "embedding/one"], "tokens", axis=0),
        _node("Slice", [positions, "embedding/from", "embedding/tokens", "embedding/from"], "position"),
    ]
    if kinds and kind_table:
        new += [_node("Gather", [kind_table, kinds], "kind", axis=0)]
        new += [_node("Add", ["embedding/kind", "embedding/position"], "place")]
    else:
        new += [_node("Sub", ["embedding/word", "embedding/word"], "zero")]
        new += [_node("Add", ["embedding/zero", "embedding/position"], "place")]
    normalized = helper.make_node(
        "SkipLayerNormalization",
        ["embedding/word", "embedding/place", gamma, beta],
        [node.output[0]],
        name="embedding/SkipLayerNormalization",
        domain="com.microsoft",
        epsilon=attribute(node, "epsilon", 1e-12),
    )
    new.append(normalized)
    if mask and len(node.output) > 1 and node.output[1]:
        lengths = helper.make_node(
            "ReduceSum", [mask, "embedding/axis"], [node.output[1]], name="embedding/ReduceSum", keepdims=0
        )
        new.append(lengths)
    elif len(node.output) > 1 and graph.consumers.get(node.output[1]):
        return "the embedding has a form that is not known"
    graph.insert_before(node, new)
    model.graph.node.remove(node)
    graph.index()
    graph.remove_unused_weights()
    return None


_NUMBERS = {"one": [1], "from": [0], "axis": [1]}


def _node(kind: str, inputs: list[str], output: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [f"embedding/{output}"], name=f"embedding/{output}/{kind}", **attributes)
