"""Int8 weights of 7 bits with a scale a column, activations rounded by each call (dynamic) or by fixed scales."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from .common import quiet
from .feeds import Feeds, open_session

METHODS = ("minmax", "entropy", "percentile")
_KINDS = ("MatMul", "Gemm", "Attention")
_MULTIPLYING = frozenset({"DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QAttention"})
_LARGEST_SUM = 2**15 - 1


def quantizable(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that multiply by a constant matrix, in the order of the graph."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type in _KINDS and node.input[1] in weights]


def dynamic(source: Path, target: Path, left_float: Sequence[str] = ()) -> None:
    """Write a graph whose activations get their scale from each call; nodes named in ``left_float`` stay float."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(_KINDS),
            nodes_to_exclude=list(left_float),
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            # fused nodes have no shape information; TensorProto.FLOAT is what they give
            extra_options={"DefaultTensorType": TensorProto.FLOAT, "MatMulConstBOnly": True},
        )


def _of_one_length(feeds: Feeds) -> Feeds:
    """Return the longer half of the feeds, cut to the median length: histograms are made of tensors of one shape."""
    length = sorted(_tokens(feed) for feed in feeds)[len(feeds) // 2]
    return [{name: value[:, :length] for name, value in feed.items()} for feed in feeds if _tokens(feed) >= length]


def _tokens(feed: Mapping[str, npt.NDArray[np.int64]]) -> int:
    return int(next(iter(feed.values())).shape[1])


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the type of each tensor in it: the quantizer calibrates no other, and fusing leaves none.

    ONNX's own shape inference stops at fused nodes, so the types are asked of a session.
    """
    known = {value.name for value in [*model.graph.input, *model.graph.output]}
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    made = [name for node in model.graph.node for name in node.output if name and name not in known]
    opened.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in made)
    session = open_session(opened.SerializeToString())
    floats = [given.name for given in session.get_outputs() if given.type == "tensor(float)" and given.name in made]
    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    del typed.graph.value_info[:]
    typed.graph.value_info.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in floats)
    return typed


_BY_EACH_CALL = ("Attention", "Gemm")


def static(source: Path, target: Path, feeds: Feeds, method: str, left_float: Sequence[str] = ()) -> None:
    """Write a graph (QDQ) whose activations have fixed scales, measured on calibration data.

    Fused attention knows no fixed scales, and the quantizer has none for the bias of a Gemm that shares it with another
    node: both are quantized dynamically.

    Args:
        source: float graph.
        target: file to write.
        feeds: inputs of the graph to calibrate on.
        method: one of `METHODS`.
        left_float: names of nodes.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(feeds if method == METHODS[0] else _of_one_length(feeds))

        def get_next(self) -> object:
            return next(self.left, None)

    model = onnx.load(source)
    wanted = [node for node in quantizable(model) if node.name not in left_float]
    fixed = [node.name for node in wanted if node.op_type not in _BY_EACH_CALL]
    attention = [node.name for node in wanted if node.op_type in _BY_EACH_CALL]
    methods = dict(zip(METHODS, ("MinMax", "Entropy", "Percentile"), strict=True))
    with tempfile.TemporaryDirectory() as made, quiet():
        half, typed = Path(made) / "model.onnx", Path(made) / "typed.onnx"
        if fixed:
            onnx.save(_typed(model), typed)
            quantize_static(
                typed,
                half,
                Reader(),
                quant_format=QuantFormat.QDQ,
                nodes_to_quantize=fixed,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                calibrate_method=getattr(CalibrationMethod, methods[method]),
                extra_options={"DefaultTensorType": TensorProto.FLOAT},
            )
        else:
            half = source
        if attention:
            quantize_dynamic(
                half,
                target,
                op_types_to_quantize=list(_BY_EACH_CALL),
                nodes_to_quantize=attention,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                extra_options={"DefaultTensorType": TensorProto.FLOAT},
            )
        else:
            target.write_bytes(half.read_bytes())


def largest_pair_sum(path: Path) -> tuple[int, int]:
    """Return how far int8 products can go in a matrix: the largest weight, and the largest sum of two products.

    A CPU without VNNI adds the products of two neighbours in a column, an unsigned byte (up to 255) times a weight
    each, in 16 bits that saturate. Every two weights of a column are taken for neighbours here, so that the order in
    which a kernel packs them does not matter.
    """
    model = onnx.load(path)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    multiplied = set()
    for node in model.graph.node:
        # behind DequantizeLinear a weight is multiplied in int8 too, once ONNX Runtime has fused the two
        if node.op_type in _MULTIPLYING or node.op_type == "DequantizeLinear":
            multiplied |= {name for name in node.input if name in weights}
    largest = sums = 0
    for name in multiplied:
        if weights[name].data_type not in (TensorProto.INT8, TensorProto.UINT8) or len(weights[name].dims) != 2:
            continue
        values = numpy_helper.to_array(weights[name]).astype(np.int64)
        largest = max(largest, int(np.abs(values).max()))
        for signed in (values, -values):
            column = np.sort(np.maximum(signed, 0), axis=0)[-2:]
            sums = max(sums, 255 * int(column.sum(axis=0).max()))
    return largest, sums


def saturates(path: Path) -> str | None:
    """Return why the scores would be others on a CPU without VNNI, None if no sum can leave 16 bits."""
    largest, sums = largest_pair_sum(path)
    if sums <= _LARGEST_SUM:
        return None
    return f"two products of int8 can sum to {sums}, beyond 16 bits ({_LARGEST_SUM}); the largest weight is {largest}"
