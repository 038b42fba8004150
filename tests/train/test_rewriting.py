"""The graph's rewritings: equal logits in float, int8 that cannot saturate, float layers where the harm is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HAS_TRAIN = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "onnx", "optimum"))

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(not HAS_TRAIN, reason="the extra `train` is not installed"),
    pytest.mark.filterwarnings("ignore"),
]

PAIRS = [
    (f"{word} shoe {number}", "red desk 120 x 60 " * (1 + number % 3)) for number, word in enumerate("abcdefghijkl")
]


@pytest.fixture(scope="module")
def fused(tiny_model: Callable[[int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny fused float model folder."""
    from exporting.source import export_graph, fuse, write_companions

    folder = tmp_path_factory.mktemp("fused")
    raw = folder / "raw"
    config = export_graph(str(tiny_model(1)), raw)
    fuse(raw / "model.onnx", folder / "model.onnx", config)
    write_companions(raw, folder, config)
    return folder


@pytest.fixture
def feeds(fused: Path) -> Any:
    from exporting.feeds import make_feeds

    return make_feeds(fused, PAIRS)


def logits(model: Any, feeds: Any) -> Any:
    from exporting.feeds import logits_of

    return logits_of(model if isinstance(model, Path) else model.SerializeToString(), feeds)


def kinds(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_the_last_layer_computes_one_token_and_the_logits_stay(fused: Path, feeds: Any) -> None:
    import onnx

    from exporting.feeds import open_session
    from exporting.first_token import keep_first_token

    model = onnx.load(fused / "model.onnx")
    wanted = logits(model, feeds)
    assert keep_first_token(model) is None
    assert kinds(model).count("Slice") == 2  # attention's output and the residual beside it
    assert np.abs(logits(model, feeds) - wanted).max() < 1e-5
    # what the last feed-forward layer gives has one token now, that of the layer before has all
    gelu = [node.output[0] for node in model.graph.node if node.op_type == "BiasGelu"]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in gelu)
    shapes = [values.shape[1] for values in open_session(model.SerializeToString()).run(gelu, feeds[0])]
    assert shapes == [feeds[0]["input_ids"].shape[1], 1]


def test_a_padded_batch_gets_the_same_logits_of_one_token(fused: Path) -> None:
    import onnx

    from exporting.feeds import open_session
    from exporting.first_token import keep_first_token

    model = onnx.load(fused / "model.onnx")
    feed = {
        "input_ids": np.array([[2, 9, 3, 8, 7, 3], [2, 9, 3, 8, 3, 0]]),
        "attention_mask": np.array([[1] * 6, [1] * 5 + [0]]),
        "token_type_ids": np.array([[0, 0, 0, 1, 1, 1]] * 2),
    }
    wanted = open_session(model.SerializeToString()).run(None, feed)[0]
    assert keep_first_token(model) is None
    assert np.abs(open_session(model.SerializeToString()).run(None, feed)[0] - wanted).max() < 1e-5


def test_graphs_of_another_form_are_left_alone(fused: Path) -> None:
    import onnx

    from exporting.first_token import keep_first_token

    model = onnx.load(fused / "model.onnx")
    gather = next(node for node in model.graph.node if node.op_type == "Gather")
    another = onnx.helper.make_tensor("second", onnx.TensorProto.INT64, [], [1])
    model.graph.initializer.append(another)
    gather.input[1] = "second"
    before = model.SerializeToString()
    assert "does not read the first token alone" in (keep_first_token(model) or "")
    assert model.SerializeToString() == before
    both = onnx.load(fused / "model.onnx")  # the last layer's output is read by somebody else too
    last = next(node.input[0] for node in both.graph.node if node.op_type == "Gather")
    both.graph.output.append(onnx.helper.make_tensor_value_info(last, 1, None))
    assert "no token-wise part" in (keep_first_token(both) or "")


def test_smoothing_changes_no_logit_and_lowers_the_int8_error(fused: Path, feeds: Any) -> None:
    import onnx

    from exporting.feeds import activations
    from exporting.first_token import keep_first_token
    from exporting.graph import Graph
    from exporting.smoothing import smooth

    model = onnx.load(fused / "model.onnx")
    keep_first_token(model)
    graph = Graph(model)
    normalizations = [node for node in model.graph.node if node.op_type == "SkipLayerNormalization"]
    scale = graph.weight(normalizations[0].input[2]).copy()
    scale[3] *= 40  # an outlier channel, as trained models have
    graph.add_weight(normalizations[0].input[2], scale)
    wanted = logits(model, feeds)
    done = smooth(model, activations(model, feeds))
    assert np.abs(logits(model, feeds) - wanted).max() < 1e-4
    assert any(not each.free for each in done)
    assert all(each.after < each.before for each in done)
    assert min(each.after / each.before for each in done) < 0.5


def test_values_of_attention_take_the_smoothing_for_nothing(fused: Path, feeds: Any) -> None:
    import onnx

    from exporting.feeds import activations
    from exporting.graph import Graph
    from exporting.smoothing import smooth

    model = onnx.load(fused / "model.onnx")
    graph = Graph(model)
    attention = next(node for node in model.graph.node if node.op_type == "Attention")
    weight = graph.weight(attention.input[1]).copy()
    weight[:, 2 * weight.shape[0] + 5] *= 30
    graph.add_weight(attention.input[1], weight)
    wanted = logits(model, feeds)
    samples = {name: given for name, given in activations(model, feeds).items() if name == attention.output[0]}
    (done,) = smooth(model, samples)
    assert done.free
    assert "Mul" not in kinds(model)
    assert np.abs(logits(model, feeds) - wanted).max() < 1e-4


def test_embeddings_of_bytes_are_near_and_a_quarter_of_the_size(fused: Path, feeds: Any) -> None:
    import onnx

    from exporting.embeddings import quantize_embeddings
    from exporting.graph import Graph

    model = onnx.load(fused / "model.onnx")
    rounded = onnx.load(fused / "model.onnx")
    assert quantize_embeddings(model) is None
    graph, beside = Graph(model), Graph(rounded)
    numbers = graph.weight("embedding/words")
    assert numbers.dtype == np.int8
    near = numbers * graph.weight("embedding/scales")
    name = next(node.input[2] for node in rounded.graph.node if node.op_type == "EmbedLayerNormalization")
    table = beside.weight(name)
    assert (np.abs(near - table).max(axis=1) <= np.abs(table).max(axis=1) / 253).all()
    beside.add_weight(name, near.astype(np.float32))  # nothing but the rounding of the table changes a logit
    assert np.abs(logits(model, feeds) - logits(rounded, feeds)).max() < 1e-4
    assert "EmbedLayerNormalization" not in kinds(model)
    assert quantize_embeddings(model) == "there is no fused embedding"


@pytest.mark.parametrize("way", ["dynamic", "minmax", "entropy", "percentile"])
def test_every_way_of_int8_is_near_and_cannot_saturate(fused: Path, feeds: Any, tmp_path: Path, way: str) -> None:
    import onnx

    from exporting import quantize

    path = tmp_path / "model.onnx"
    if way == "dynamic":
        quantize.dynamic(fused / "model.onnx", path)
    else:
        quantize.static(fused / "model.onnx", path, feeds, way)
        assert "QuantizeLinear" in kinds(onnx.load(path))
    wanted = logits(fused / "model.onnx", feeds)
    assert np.corrcoef(wanted, logits(path, feeds))[0, 1] > 0.8
    largest, sums = quantize.largest_pair_sum(path)
    assert 32 < largest <= 64
    assert 255 * largest <= sums <= 255 * 64 * 2
    assert quantize.saturates(path) is None
    assert len([kind for kind in kinds(onnx.load(path)) if kind == "QAttention"]) == 2


def test_weights_of_8_bits_are_found_out(fused: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from exporting.quantize import saturates

    path = tmp_path / "model.onnx"
    extra = {"DefaultTensorType": 1, "MatMulConstBOnly": True}
    quantize_dynamic(
        fused / "model.onnx",
        path,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=False,
        extra_options=extra,
    )
    assert "beyond 16 bits" in (saturates(path) or "")


def test_the_matrix_that_harms_is_left_float(fused: Path, feeds: Any, tmp_path: Path) -> None:
    import onnx

    from exporting import quantize
    from exporting.choose import choose
    from exporting.graph import Graph

    model = onnx.load(fused / "model.onnx")
    graph = Graph(model)
    _, second = [node for node in model.graph.node if node.op_type == "BiasGelu"]
    bias = graph.weight(second.input[1]).copy()
    bias[0] += 500  # one input of the last matrix outweighs all others, and means nothing
    graph.add_weight(second.input[1], bias)
    reader = graph.consumers[second.output[0]][0]
    weight = graph.weight(reader.input[1]).copy()
    weight[0] = 1e-6
    graph.add_weight(reader.input[1], weight)
    source = tmp_path / "source.onnx"
    onnx.save(model, source)
    wanted = logits(model, feeds)
    choice = choose(
        source, lambda path, left: quantize.dynamic(source, path, left), feeds, wanted, target=0.9999, most=1, timed=3
    )
    assert choice.left_float == [reader.name]
    assert choice.spearman > choice.all_int8
    harms = {harm.node: harm.gap for harm in choice.harms}
    assert max(harms, key=harms.__getitem__) == reader.name
    assert reader.name in "\n".join(choice.lines(0.9999))
    none = choose(source, lambda path, left: quantize.dynamic(source, path, left), feeds, wanted, target=-1.0, most=1)
    assert none.left_float == []
    assert none.harms == []  # nothing was tried where nothing was wanted
