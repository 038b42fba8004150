"""Turns a cross-encoder into a model folder that the proxy serves: ONNX, fused, int8, checked.

    python scripts/export_model.py MODEL_OR_DIR [--name base] [--out onnx_models/NAME] [--pairs FILE.jsonl]

MODEL_OR_DIR is a folder of a Hugging Face sequence classification (one logit, or two labels with softmax), or a model's
id where a model hub can be reached. The steps: export with Optimum, fusion by ONNX Runtime's optimizer, dynamic int8
with 7-bit weights. Then the quantized model's scores are compared with the float model's on sample pairs. A model is
refused, and nothing is written, when a pair's score is not its own or the order agrees too little with float.

7-bit weights, because on a CPU without VNNI the int8 products are added in pairs in 16 bits, and 8-bit weights overflow
that: the scores would be others than on a newer CPU. Weights have a scale for each output channel.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from model_checks import LARGEST_CHANGE, Pairs, Report, compare, score_all
from proxy.scorer.onnx_model import OFFSET_POSITIONS, ModelError, OnnxPairModel, load_model
from sample_pairs import built_in_pairs, read_pairs

_FUSED_LIKE_BERT = frozenset({"bert", "camembert", "electra", "mpnet", "roberta", "xlm-roberta"})
"""Model types that ONNX Runtime's optimizer fuses by its rules for BERT; others are left as exported."""
_LARGEST_EXPORT_GAP = 1e-3
_BEGIN, _END = "<!-- export: begin -->", "<!-- export: end -->"


class ExportError(Exception):
    """Why a model cannot be exported, in one line."""


def main(arguments: list[str] | None = None) -> int:
    """Export; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _need_extra()
        export(options.model, options.name, options.out, options.pairs, options.precision, options.force)
    except (ExportError, ModelError, OSError) as error:
        print(f"export_model: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Export a cross-encoder to a model folder of the proxy.")
    parser.add_argument("model", metavar="MODEL_OR_DIR", help="folder of a Hugging Face model, or a model's id")
    parser.add_argument("--name", help="name of the model (default: the last part of MODEL_OR_DIR)")
    parser.add_argument("--out", type=Path, help="folder to write (default: onnx_models/NAME)")
    parser.add_argument(
        "--pairs", type=Path, help='sample pairs, JSON lines {"query": ..., "text": ...} (default: ours)'
    )
    parser.add_argument("--precision", choices=("int8", "float"), default="int8", help="of the weights (default int8)")
    parser.add_argument("--force", action="store_true", help="write it though its order agrees too little with float")
    return parser


def _need_extra() -> None:
    for module in ("torch", "transformers", "onnx", "optimum.onnxruntime"):
        try:
            __import__(module)
        except ImportError as error:
            raise ExportError(
                f"{error.name or module} is missing ({error}): install the extra `train`: pip install '.[train]', or "
                "pip install -r requirements/train.txt for the versions that were seen to work together"
            ) from error


def export(
    source: str, name: str | None, out: Path | None, pairs_file: Path | None, precision: str, force: bool
) -> Report:
    """Export a model, check it, print what was found and write its folder.

    Raises:
        ExportError: the model cannot be exported, or is refused; nothing was written.
        ModelError: what was made is no cross-encoder that the proxy can serve.
    """
    name = name or Path(source).name
    out = out or Path("onnx_models") / name
    try:
        pairs = read_pairs(pairs_file) if pairs_file else built_in_pairs()
    except ValueError as error:
        raise ExportError(str(error)) from error
    with tempfile.TemporaryDirectory() as made:
        raw, reference, served = (Path(made) / part for part in ("raw", "float", "served"))
        _say(f"export {source}")
        config = _export_graph(source, raw)
        _say("fuse")
        reference.mkdir()
        _fuse(raw / "model.onnx", reference / "model.onnx", config)
        _write_companions(raw, reference, config)
        float_model = load_model(reference, f"{name} (float)")
        gap = _gap_to_torch(source, float_model, pairs, config["rerank"]["max_tokens"])
        served.mkdir()
        if precision == "int8":
            _say("quantize to int8, 7-bit weights")
            _quantize(reference / "model.onnx", served / "model.onnx")
        else:
            shutil.copy(reference / "model.onnx", served / "model.onnx")
        _write_companions(raw, served, config)
        _say(f"compare on {len(pairs)} pairs")
        report = compare(load_model(served, name), float_model, served, pairs)
        size = (served / "model.onnx").stat().st_size
        lines = [f"weights: {precision}; size of model.onnx: {size / 1e6:.1f} MB", *report.lines()]
        lines.insert(1, f"largest gap between the float graph and torch: {gap:.2g}")
        print("\n".join(lines))
        _judge(report, force)
        out.mkdir(parents=True, exist_ok=True)
        for file in ("model.onnx", "tokenizer.json", "config.json"):
            _replace(served / file, out / file)
        _write_card(out / "README.md", name, lines)
    print(f"wrote {out}")
    return report


def _judge(report: Report, force: bool) -> None:
    refusal = report.refusal()
    if refusal is None:
        return
    forgivable = report.serving_change <= LARGEST_CHANGE
    if force and forgivable:
        print(f"export_model: warning: {refusal}", file=sys.stderr)
        return
    raise ExportError(f"refused: {refusal}" + (" (--force writes it all the same)" if forgivable else ""))


def _say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


def _export_graph(source: str, folder: Path) -> dict[str, Any]:
    """Export to ``folder`` with Optimum; return the model's configuration, our section added."""
    from optimum.exporters.onnx import main_export
    from transformers import AutoConfig, AutoTokenizer

    local = Path(source).is_dir()
    if not local and (source.startswith((".", "/")) or source.count("/") > 1):
        raise ExportError(f"there is no folder {source}")
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(source)
            labels = config.num_labels
            if labels not in (1, 2):
                raise ExportError(f"{source} has {labels} labels; the proxy serves models with one logit or two labels")
            if not _is_classifier(config):
                raise ExportError(f"{source} is a {config.architectures}; wanted is a ...ForSequenceClassification")
            tokenizer = AutoTokenizer.from_pretrained(source)
            main_export(source, output=folder, task="text-classification", do_validation=False, no_post_process=True)
    except ExportError:
        raise
    except Exception as error:
        hint = "" if local else "; a model id needs a hub that can be reached"
        raise ExportError(f"cannot export {source}: {type(error).__name__}: {error}{hint}") from error
    if not (folder / "tokenizer.json").is_file():
        raise ExportError(f"{source} has no fast tokenizer (tokenizer.json); the proxy needs one")
    written: dict[str, Any] = json.loads((folder / "config.json").read_text())
    for private in ("_name_or_path", "_attn_implementation_autoset"):
        written.pop(private, None)
    offset = (config.pad_token_id or 0) + 1 if config.model_type in OFFSET_POSITIONS else 0
    positions = getattr(config, "max_position_embeddings", None) or 512
    longest = min(int(positions) - offset, int(tokenizer.model_max_length))
    written["rerank"] = {"activation": "sigmoid" if labels == 1 else "softmax", "max_tokens": longest}
    return written


def _is_classifier(config: Any) -> bool:
    return all(str(name).endswith("ForSequenceClassification") for name in config.architectures or ["unknown"])


def _fuse(source: Path, target: Path, config: dict[str, Any]) -> None:
    if config.get("model_type") not in _FUSED_LIKE_BERT:
        _say(f"no fusion rules for model type {config.get('model_type')}: left as exported")
        shutil.copy(source, target)
        return
    from onnxruntime.transformers.optimizer import optimize_model

    with _quiet():
        optimized = optimize_model(
            str(source),
            model_type="bert",
            num_heads=int(config["num_attention_heads"]),
            hidden_size=int(config["hidden_size"]),
            opt_level=0,  # level 1 and up fold constants for the CPU at hand: the folder is for every CPU
        )
        optimized.save_model_to_file(str(target))


def _quantize(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            source,
            target,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            extra_options={
                "DefaultTensorType": 1,
                "MatMulConstBOnly": True,
            },  # 1: float, for fused nodes without a type
        )


def _write_companions(raw: Path, folder: Path, config: dict[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tokenizer = json.loads((raw / "tokenizer.json").read_bytes())
    tokenizer["truncation"] = tokenizer["padding"] = None  # whoever scores decides on both
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n", encoding="utf-8")


def _gap_to_torch(source: str, model: OnnxPairModel, pairs: Pairs, max_tokens: int) -> float:
    """Return the largest gap between the float graph and torch, on pairs cut short so that neither cuts them.

    Empty texts are left out: transformers takes an empty second text for none.

    Raises:
        ExportError: the graph computes something else than the model, or pairs are tokenized in another way.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with _quiet(), torch.no_grad():
        tokenizer = AutoTokenizer.from_pretrained(source)
        original = AutoModelForSequenceClassification.from_pretrained(source).eval()
        short = [(query[:40], text[:100]) for query, text in pairs if query and text]
        short = [pair for pair in short if len(tokenizer(*pair)["input_ids"]) <= max_tokens][:64]
        outputs = [original(**tokenizer(*pair, return_tensors="pt")).logits[0].tolist() for pair in short]
    if not short:
        raise ExportError(f"no sample pair fits into the model's input of {max_tokens} tokens")
    wanted = [values[-1] - (values[0] if len(values) == 2 else 0.0) for values in outputs]
    gap = max(abs(a - b) for a, b in zip(wanted, score_all(model, short), strict=True))
    if not gap <= _LARGEST_EXPORT_GAP:
        raise ExportError(
            f"the exported graph gives other logits than torch: largest gap {gap:.2g}, allowed {_LARGEST_EXPORT_GAP}"
        )
    return gap


def _replace(source: Path, target: Path) -> None:
    """Put a file in place in one step, so that a reader sees the old one or the new one."""
    partial = target.with_name(target.name + ".partial")
    shutil.copy(source, partial)
    os.replace(partial, target)


def _write_card(path: Path, name: str, lines: list[str]) -> None:
    """Write the model card; of one that exists only the part between our marks is replaced, or added at its end."""
    part = "\n".join([_BEGIN, *(f"- {line}" for line in [*lines, f"CPU of the comparison: {_cpu()}"]), _END])
    if path.is_file():
        card = path.read_text(encoding="utf-8")
        if _BEGIN in card and _END in card:
            card = card[: card.index(_BEGIN)] + part + card[card.index(_END) + len(_END) :]
        else:
            card = f"{card.rstrip()}\n\n## Export\n\n{part}\n"
    else:
        card = (
            f"# {name}\n\nA cross-encoder for the rerank proxy, made by `scripts/export_model.py`. Say here what it "
            f"was made from, under which licence, and how good it is.\n\n## Export\n\n{part}\n"
        )
    path.write_text(card, encoding="utf-8")


def _cpu() -> str:
    """Return the CPU's name and those of its features that int8 depends on."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", text)
    flags = set(text.split())
    found = [flag for flag in ("avx2", "avx512_vnni", "avx_vnni", "amx_int8") if flag in flags]
    return f"{model.group(1) if model else 'unknown'} ({', '.join(found) or 'features unknown'})"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' warnings and logs off the screen: what matters comes as an error or in the report."""
    import logging

    import transformers

    previous = logging.root.manager.disable
    verbosity = transformers.logging.get_verbosity()
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
        transformers.logging.set_verbosity(verbosity)


if __name__ == "__main__":
    sys.exit(main())
