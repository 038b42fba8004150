"""From a Hugging Face folder to a fused float graph that scores as torch does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from model_checks import Pairs, score_all
from proxy.scorer.onnx_model import OFFSET_POSITIONS, OnnxPairModel

from .common import ExportError, quiet, say

OPSETS = range(14, 22)
"""Opsets of the standard operators that may be asked for: older ones lack what the export needs."""
_FUSED_LIKE_BERT = frozenset({"bert", "camembert", "electra", "mpnet", "roberta", "xlm-roberta"})
"""Model types that ONNX Runtime's optimizer fuses by its rules for BERT; others are left as exported."""
_LARGEST_EXPORT_GAP = 1e-3
_TORCH_ON = 40


def export_graph(source: str, folder: Path, opset: int | None = None) -> dict[str, Any]:
    """Export to ``folder`` with Optimum; return the model's configuration, our section added.

    Raises:
        ExportError: there is no such model, or the proxy could not serve it.
    """
    from optimum.exporters.onnx import main_export
    from transformers import AutoConfig, AutoTokenizer

    local = Path(source).is_dir()
    if not local and (source.startswith((".", "/")) or source.count("/") > 1):
        raise ExportError(f"there is no folder {source}")
    try:
        with quiet():
            config = AutoConfig.from_pretrained(source)
            labels = config.num_labels
            if labels not in (1, 2):
                raise ExportError(f"{source} has {labels} labels; the proxy serves models with one logit or two labels")
            if not _is_classifier(config):
                raise ExportError(f"{source} is a {config.architectures}; wanted is a ...ForSequenceClassification")
            tokenizer = AutoTokenizer.from_pretrained(source)
            main_export(
                source,
                output=folder,
                task="text-classification",
                opset=opset,
                do_validation=False,
                no_post_process=True,
            )
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


def fuse(source: Path, target: Path, config: dict[str, Any]) -> None:
    """Fuse attention, normalization and activation into single nodes, where there are rules for the model's type."""
    if config.get("model_type") not in _FUSED_LIKE_BERT:
        say(f"no fusion rules for model type {config.get('model_type')}: left as exported")
        shutil.copy(source, target)
        return
    from onnxruntime.transformers.optimizer import optimize_model

    with quiet():
        optimized = optimize_model(
            str(source),
            model_type="bert",
            num_heads=int(config["num_attention_heads"]),
            hidden_size=int(config["hidden_size"]),
            opt_level=0,  # level 1 and up fold constants for the CPU at hand: the folder is for every CPU
        )
        optimized.save_model_to_file(str(target))


def write_companions(raw: Path, folder: Path, config: dict[str, Any]) -> None:
    """Write configuration and tokenizer beside a graph."""
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tokenizer = json.loads((raw / "tokenizer.json").read_bytes())
    tokenizer["truncation"] = tokenizer["padding"] = None  # whoever scores decides on both
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n", encoding="utf-8")


def gap_to_torch(source: str, model: OnnxPairModel, pairs: Pairs, max_tokens: int) -> float:
    """Return the largest gap between the float graph and torch, on pairs cut short so that neither cuts them.

    Empty texts are left out: transformers takes an empty second text for none.

    Raises:
        ExportError: the graph computes something else than the model, or pairs are tokenized in another way.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    threads = torch.get_num_threads()
    with quiet(), torch.no_grad():
        torch.set_num_threads(1)  # on a busy machine threads would wait for each other
        tokenizer = AutoTokenizer.from_pretrained(source)
        original = AutoModelForSequenceClassification.from_pretrained(source).eval()
        short = [(query[:40], text[:100]) for query, text in pairs if query and text]
        short = [pair for pair in short if len(tokenizer(*pair)["input_ids"]) <= max_tokens][:_TORCH_ON]
        outputs = [original(**tokenizer(*pair, return_tensors="pt")).logits[0].tolist() for pair in short]
        torch.set_num_threads(threads)
    if not short:
        raise ExportError(f"no sample pair fits into the model's input of {max_tokens} tokens")
    wanted = [values[-1] - (values[0] if len(values) == 2 else 0.0) for values in outputs]
    gap = max(abs(a - b) for a, b in zip(wanted, score_all(model, short), strict=True))
    if not gap <= _LARGEST_EXPORT_GAP:
        raise ExportError(
            f"the exported graph gives other logits than torch: largest gap {gap:.2g}, allowed {_LARGEST_EXPORT_GAP}"
        )
    return float(gap)


def write_pruned(source: str, folder: Path, tokenizer_json: str, new_ids: list[int]) -> None:
    """Write the torch model with other rows of its embedding table, and the tokenizer that goes with them.

    Args:
        source: folder or id of the model.
        folder: to write.
        tokenizer_json: the new tokenizer.json.
        new_ids: the old number of each new piece.

    Raises:
        ExportError: the embedding table is not one row a piece.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(source)
        table = model.get_input_embeddings()
        if max(new_ids) >= table.weight.shape[0]:
            raise ExportError(f"{source}: the tokenizer has more pieces than the embedding table has rows")
        kept = torch.nn.Embedding(len(new_ids), table.weight.shape[1])
        kept.weight.data = table.weight.data[torch.from_numpy(np.array(new_ids))].to(torch.float32).clone()
        model.set_input_embeddings(kept)
        model.config.vocab_size = len(new_ids)
        numbers = {old: new for new, old in enumerate(new_ids)}
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"):
            old = getattr(model.config, name, None)
            if isinstance(old, int):
                setattr(model.config, name, numbers.get(old))
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tokenizer_json, encoding="utf-8")
    for stale in ("vocab.txt", "added_tokens.json"):
        (folder / stale).unlink(missing_ok=True)
    vocabulary = json.loads(tokenizer_json)["model"]["vocab"]
    (folder / "vocab.txt").write_text(
        "\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n", encoding="utf-8"
    )
    settings = folder / "tokenizer_config.json"
    if settings.is_file():
        written = json.loads(settings.read_text())
        decoder = written.get("added_tokens_decoder") or {}
        written["added_tokens_decoder"] = {
            str(vocabulary[token["content"]]): token for token in decoder.values() if token["content"] in vocabulary
        }
        settings.write_text(json.dumps(written, indent=2) + "\n")


def original_tokenizer(source: str, folder: Path) -> Path:
    """Write the model's fast tokenizer to a folder; return its tokenizer.json.

    Raises:
        ExportError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    except Exception as error:
        raise ExportError(f"cannot read the tokenizer of {source}: {type(error).__name__}: {error}") from error
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ExportError(f"{source} has no fast tokenizer (tokenizer.json); the proxy needs one")
    return path
