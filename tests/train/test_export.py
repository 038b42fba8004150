"""The export script: what it writes scores as torch does; what it must refuse it refuses in one line."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.scorer.onnx_model import load_model
from proxy.scorer.types import Segment

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
HAS_TRAIN = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "onnx", "optimum"))

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(not HAS_TRAIN, reason="the extra `train` is not installed"),
    pytest.mark.filterwarnings("ignore"),  # torch and its companions warn on import
]

MULTIPLYING = ("MatMul", "Gemm", "Attention", "QAttention", "DynamicQuantizeMatMul")
TinyModel = Callable[[int], Path]
PAIRS = [("red shoe", "a red shoe for running"), ("usb c cable", "power bank 20000"), ("desk", "oak desk 120 x 60")]


def run(*arguments: str | Path) -> int:
    import export_model

    code: int = export_model.main([str(argument) for argument in arguments])
    return code


def torch_logit(folder: Path, query: str, text: str) -> float:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        values = model(**tokenizer(query, text, return_tensors="pt")).logits[0].tolist()
    return float(values[0] if len(values) == 1 else values[1] - values[0])


@pytest.mark.parametrize("labels", [1, 2])
def test_a_float_export_scores_as_torch_does(tiny_model: TinyModel, tmp_path: Path, labels: int) -> None:
    source, out = tiny_model(labels), tmp_path / "out"
    assert run(source, "--out", out, "--precision", "float") == 0
    model = load_model(out, "tiny")
    for query, text in PAIRS:
        assert model.score(query, (Segment(text),), 64) == pytest.approx(torch_logit(source, query, text), abs=1e-4)
    assert json.loads((out / "config.json").read_text())["rerank"] == {
        "activation": ["sigmoid", "softmax"][labels - 1],
        "max_tokens": 96,
    }


@pytest.mark.parametrize("labels", [1, 2])
def test_an_int8_export_is_near_and_says_how_near(
    tiny_model: TinyModel, tmp_path: Path, labels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tiny_model(labels), tmp_path / "out"
    assert run(source, "--out", out, "--force") == 0
    printed = capsys.readouterr().out
    for measured in ("Spearman", "largest gap to a float logit", "as served", "in padded batches"):
        assert measured in printed
        assert measured in (out / "README.md").read_text()
    model = load_model(out, "tiny")
    wanted = [torch_logit(source, query, text) for query, text in PAIRS]
    spread = max(wanted) - min(wanted)
    for (query, text), logit in zip(PAIRS, wanted, strict=True):
        assert model.score(query, (Segment(text),), 64) == pytest.approx(logit, abs=0.5 * spread)


def test_the_int8_graph_is_really_quantized(tiny_model: TinyModel, tmp_path: Path) -> None:
    import onnx

    source, out = tiny_model(1), tmp_path / "out"
    assert run(source, "--out", out, "--force", "--max-float", 0) == 0
    graph = onnx.load(out / "model.onnx").graph
    operations = {node.op_type for node in graph.node}
    assert operations & {"MatMulInteger", "DynamicQuantizeMatMul", "QAttention"}
    matrices = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    multiplied = {name for node in graph.node for name in node.input if node.op_type.startswith(MULTIPLYING)}
    assert [
        name for name in multiplied if matrices.get(name) and matrices[name].data_type == onnx.TensorProto.FLOAT
    ] == []
    assert matrices["embedding/words"].data_type == onnx.TensorProto.INT8


def test_a_card_keeps_what_people_wrote_and_renews_its_report(tiny_model: TinyModel, tmp_path: Path) -> None:
    source, out = tiny_model(1), tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("# ours\n\nWritten by hand.\n")
    for precision in ("dynamic", "float"):
        assert run(source, "--out", out, "--force", "--precision", precision) == 0
        card = (out / "README.md").read_text()
        assert card.startswith("# ours\n\nWritten by hand.\n")
        assert card.count("weights: ") == 1
        assert f"weights: {precision};" in card


def test_three_labels_are_refused(tiny_model: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tiny_model(3)
    assert run(source, "--out", tmp_path / "out") == 1
    assert_one_line(capsys.readouterr().err, "has 3 labels")
    assert not (tmp_path / "out").exists()


def test_a_model_that_int8_spoils_is_refused_and_the_old_one_stays(
    tiny_model: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import BertForSequenceClassification

    source, out = tiny_model(1), tmp_path / "out"
    assert run(source, "--out", out, "--precision", "float") == 0
    before = (out / "model.onnx").read_bytes()
    model = BertForSequenceClassification.from_pretrained(source)
    model.bert.encoder.layer[1].output.dense.weight.data[:, 0] *= (
        2000  # one input outweighs all others: no int8 scale fits
    )
    model.bert.encoder.layer[1].intermediate.dense.weight.data[0] /= 2000
    model.save_pretrained(source)
    assert run(source, "--out", out, "--no-smoothing", "--max-float", 0) == 1
    assert_one_line(capsys.readouterr().err, "refused: its order agrees too little")
    assert (out / "model.onnx").read_bytes() == before


def test_a_model_whose_scores_change_with_their_company_is_refused_even_by_force() -> None:
    import numpy as np

    import export_model
    from model_checks import Report, score_all, serving_change

    class Restless:
        """A model whose scores drift with each call."""

        fingerprint, max_document_tokens, calls = "x", 9, 0

        def score(self, query: str, document: object, document_tokens: int) -> float:
            self.calls += 1
            return float(len(query) + self.calls * 1e-3)

        def visible_text(self, query: str, document: object, document_tokens: int) -> str:
            return ""

    model = Restless()
    pairs = [("a" * n, "b") for n in range(1, 9)]
    change = serving_change(model, pairs, score_all(model, pairs))
    assert change > 1e-3
    for force in (False, True):
        with pytest.raises(export_model.ExportError, match="changes by"):
            export_model._judge(Report(8, 1.0, 0.0, 0.0, 1.0, change, 0.0), force)
    with pytest.raises(export_model.ExportError, match="Spearman nan"):
        export_model._judge(Report(8, np.nan, 0.0, 0.0, 0.0, 0.0, 0.0), False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["./no-such-folder"], "there is no folder ./no-such-folder"),
        (["{tiny}", "--pairs", "{file}"], "line 1: expected"),
        (["{tiny}", "--pairs", "no-such-file"], "No such file"),
        (["{tiny}", "--opset", "3"], "--opset 3: from 14 to"),
        (["{tiny}", "--target", "7"], "--target 7.0: a rank correlation"),
        (["{tiny}", "--max-float", "-1"], "--max-float -1: at least 0"),
        (["{tiny}", "--keep-pieces", "5"], "goes with --prune-vocabulary"),
        (["{tiny}", "--prune-vocabulary", "no-such-file"], "No such file"),
    ],
)
def test_wrong_arguments_give_one_line(
    tiny_model: TinyModel,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("no json\n")
    filled = [argument.format(tiny=tiny_model(1), file=file) for argument in arguments]
    assert run(*filled, "--out", tmp_path / "out") == 1
    assert_one_line(capsys.readouterr().err, message)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('No module named torch', name='torch')\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(SCRIPTS)!r}]; import export_model; "
    code += "sys.exit(export_model.main(['somewhere']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert_one_line(done.stderr, "torch is missing")
    assert ".[train]" in done.stderr


def test_a_pruned_export_at_an_opset_scores_as_before_and_says_what_was_done(
    tiny_model: TinyModel, tmp_path: Path
) -> None:
    import onnx
    from transformers import BertForSequenceClassification, BertTokenizerFast

    source, out, corpus = tiny_model(1), tmp_path / "out", tmp_path / "corpus.txt"
    lines = (source / "vocab.txt").read_text().splitlines()
    size = len(lines)
    lines[5:5] = ["[unused0]", "zzz"]  # the numbers of all pieces behind them move
    (source / "vocab.txt").write_text("\n".join(lines) + "\n")
    (source / "tokenizer.json").unlink()
    BertTokenizerFast(str(source / "vocab.txt"), model_max_length=96).save_pretrained(source)
    model = BertForSequenceClassification.from_pretrained(source)
    model.resize_token_embeddings(size + 2, mean_resizing=False)
    model.save_pretrained(source)
    corpus.write_text("red shoe\nusb\n")
    arguments = ["--precision", "float", "--prune-vocabulary", corpus, "--keep-pieces", "0", "--opset", "17"]
    assert run(source, "--out", out, *arguments) == 0
    exported = load_model(out, "tiny")
    for query, text in PAIRS:
        assert exported.score(query, (Segment(text),), 64) == pytest.approx(torch_logit(source, query, text), abs=1e-4)
    assert json.loads((out / "config.json").read_text())["vocab_size"] == size
    graph = onnx.load(out / "model.onnx")
    assert [each.version for each in graph.opset_import if each.domain == ""] == [17]
    card = (out / "README.md").read_text()
    assert f"{size} of {size + 2} pieces kept" in card
    assert "options: --precision float --opset 17 --prune-vocabulary corpus.txt --keep-pieces 0" in card
    assert f"fingerprint: {exported.fingerprint}" in card
    assert "only the first token is computed" in card


def test_auto_takes_one_of_both_and_says_why(tiny_model: TinyModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(tiny_model(1), "--out", out, "--precision", "auto", "--force", "--max-float", 0) == 0
    card = (out / "README.md").read_text()
    assert "was taken" in card
    assert "static: all matrices in int8: Spearman" in card
    assert load_model(out, "tiny").score("a", (Segment("b"),), 8) != 0


def assert_one_line(error: str, message: str) -> None:
    """The last line is the error; before it only the names of steps."""
    *steps, last = error.strip().splitlines()
    assert message in last
    assert last.startswith("export_model: ")
    assert all(step.endswith("...") for step in steps), error


def test_a_part_of_a_card_is_replaced_and_all_else_stays(tmp_path: Path) -> None:
    from exporting.card import replace_part

    card = tmp_path / "README.md"
    card.write_text("# mine\n\n<!-- figures: begin -->\nold\n<!-- figures: end -->\n\nLimits.\n")
    replace_part(card, "figures", ["one", "two"])
    begun = "# mine\n\n<!-- figures: begin -->\none\ntwo\n<!-- figures: end -->\n\nLimits.\n"
    assert card.read_text() == begun
    replace_part(card, "shopper", ["three"])
    assert card.read_text() == begun + "\n## Shopper\n\n<!-- shopper: begin -->\nthree\n<!-- shopper: end -->\n"
