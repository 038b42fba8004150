"""Graphs made by hand: which the proxy refuses to load or to serve, and what the bundled weights promise."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.scorer.onnx_model import ModelError, load_model
from proxy.scorer.types import Segment

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(not importlib.util.find_spec("onnx"), reason="the extra `train` is not installed"),
    pytest.mark.filterwarnings("ignore"),
]

BUNDLED = Path(__file__).resolve().parents[2] / "onnx_models" / "base"
CONFIG = '{"rerank": {"max_tokens": 64}}'
MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a maker of model folders: nodes from "ids" (the input as floats, [batch, tokens]) to the outputs named."""

    def make(nodes: list[Any], outputs: dict[str, list[Any]], inputs: tuple[str, ...] = ("input_ids",)) -> Path:
        import onnx
        from onnx import TensorProto, helper

        cast = helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT)
        axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
        graph = helper.make_graph(
            [cast, *nodes],
            "made",
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in inputs],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            initializer=[axis],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(made, tmp_path / "model.onnx")
        (tmp_path / "tokenizer.json").write_bytes((BUNDLED / "tokenizer.json").read_bytes())
        (tmp_path / "config.json").write_text(CONFIG)
        return tmp_path

    return make


def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, inputs, [output], **attributes)


def total(output: str = "logits", keepdims: int = 1) -> Any:
    return node("ReduceSum", ["ids", "axis"], output, keepdims=keepdims)


def test_one_logit_per_pair_is_taken_with_one_dimension_or_two(make_folder: MakeFolder) -> None:
    for keepdims, shape in [(1, ["batch", 1]), (0, ["batch"]), (1, ["batch", "labels"])]:
        folder = make_folder([total(keepdims=keepdims)], {"logits": shape})
        assert load_model(folder, "x").score("a", (Segment("b"),), 8) > 0


def test_two_labels_give_their_difference(make_folder: MakeFolder) -> None:
    nodes = [total("one"), node("Neg", ["one"], "other"), node("Concat", ["other", "one"], "logits", axis=1)]
    two = load_model(make_folder(nodes, {"logits": ["batch", 2]}), "x").score("a", (Segment("b"),), 8)
    one = load_model(make_folder([total()], {"logits": ["batch", 1]}), "x").score("a", (Segment("b"),), 8)
    assert two == pytest.approx(2 * one)


@pytest.mark.parametrize(
    ("kinds", "outputs", "inputs", "message"),
    [
        (["sum", "other"], {"logits": ["batch", 1], "more": ["batch", 1]}, ("input_ids",), "2 outputs (logits, more)"),
        (["three"], {"logits": ["batch", 3]}, ("input_ids",), "of shape ['batch', 3]"),
        (["all"], {"logits": ["batch", "tokens"]}, ("input_ids",), "an output of shape [1, 4]"),
        (["sum"], {"logits": ["batch", 1]}, ("input_ids", "pixel_values"), "an input 'pixel_values'"),
        (["nan"], {"logits": ["batch", 1]}, ("input_ids",), "cannot score a pair: the model gave nan"),
    ],
)
def test_graphs_that_are_no_cross_encoder_are_refused(
    make_folder: MakeFolder, kinds: list[str], outputs: dict[str, list[Any]], inputs: tuple[str, ...], message: str
) -> None:
    made = {
        "sum": [total()],
        "other": [total("more")],
        "three": [total("one"), node("Concat", ["one"] * 3, "logits", axis=1)],
        "all": [node("Identity", ["ids"], "logits")],
        "nan": [total("one"), node("Neg", ["one"], "minus"), node("Sqrt", ["minus"], "logits")],
    }
    folder = make_folder([each for kind in kinds for each in made[kind]], outputs, inputs)
    with pytest.raises(ModelError) as caught:
        load_model(folder, "mine")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_graph_with_chance_in_it_is_refused(make_folder: MakeFolder) -> None:
    """What a model exported with its dropout left on does: another score each time."""
    from model_checks import compare

    nodes = [total("one"), node("RandomNormalLike", ["one"], "noise"), node("Add", ["one", "noise"], "logits")]
    folder = make_folder(nodes, {"logits": ["batch", 1]})
    model = load_model(folder, "x")
    pairs = [("a" * n, "b") for n in range(1, 20)]
    report = compare(model, model, folder, pairs)
    assert report.serving_change > 1e-2
    assert "changes by" in (report.refusal() or "")


def test_the_check_of_padded_batches_sees_what_depends_on_the_batch(make_folder: MakeFolder) -> None:
    from model_checks import batch_change

    alone = make_folder([total()], {"logits": ["batch", 1]})  # padding has id 0: nothing is added
    pairs = [("shoe " * n, "case") for n in range(1, 9)]
    assert batch_change(alone, pairs) == 0
    mean = make_folder([node("ReduceMean", ["ids"], "logits", axes=[1], keepdims=1)], {"logits": ["batch", 1]})
    assert batch_change(mean, pairs) > 1


def test_the_bundled_weights_cannot_saturate_a_cpu_without_vnni() -> None:
    """Two products of an unsigned byte and a weight must fit 16 bits: 255 x 64 x 2 = 32,640."""
    from exporting.quantize import largest_pair_sum, saturates

    for name in ("base", "small"):
        path = BUNDLED.parent / name / "model.onnx"
        largest, sums = largest_pair_sum(path)
        assert 32 < largest <= 64
        assert 255 * largest <= sums <= 255 * 64 * 2
        assert saturates(path) is None
