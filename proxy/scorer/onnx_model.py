"""A cross-encoder as an ONNX graph: scores one (query, document) pair a call with ONNX Runtime on CPU.

A model folder holds ``model.onnx``, ``tokenizer.json`` and ``config.json`` as Hugging Face writes them for sequence
classification. The graph's only output is one logit, or two of which the second speaks for "relevant"; the pair's
logit is then their difference, which orders pairs as softmax does. Beside the model type, ``config.json`` is read for:

``rerank.activation``  ``sigmoid`` or ``softmax``; what the model was trained under (ours, written by the export).
``rerank.max_tokens``  how long the graph's input may be (ours); else from ``max_position_embeddings``.
``sentence_transformers.activation_fn``, ``sbert_ce_default_activation_function``
                       the same as a class name of torch, as sentence-transformers writes it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from proxy.scorer.chunks import Span, part
from proxy.scorer.tokens import PairFrame, PairTokens, TextReader
from proxy.scorer.types import Document, Segment

CHARACTERS_PER_TOKEN = 32
"""A text is cut to so many characters for each token it may have before it is tokenized: a huge field costs nothing."""

_QUERIES_KEPT = 256
SLOWER_FUSED = ["SkipLayerNormFusion", "BiasGeluFusion"]
"""Fusions that make a graph slower on CPUs; see scripts/exporting/split.py for the figures."""
_KNOWN_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids"})
_INTEGER_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_FLOAT_TYPES = frozenset({"tensor(float)", "tensor(float16)", "tensor(double)"})
_DEFAULT_MAX_TOKENS = 512
OFFSET_POSITIONS = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"})
"""Model types whose position numbers start behind the padding token's, so that as many are lost."""


class ModelError(ValueError):
    """A model folder that cannot be used: one line that says which, what is wrong with it, and what was expected."""


class Session(Protocol):
    """What is used of ``onnxruntime.InferenceSession``."""

    def run(self, output_names: Any, input_feed: Mapping[str, npt.NDArray[Any]]) -> Any:
        """Run the graph."""
        ...


class OnnxPairModel:
    """A loaded model; implements `proxy.scorer.types.PairModel`. Thread-safe, holds no lock while it computes."""

    def __init__(
        self,
        session: Session,
        inputs: Mapping[str, Any],
        tokenizer: Tokenizer,
        max_tokens: int,
        fingerprint: str,
    ) -> None:
        """Take the parts of a model; `load_model` makes them from a folder.

        Args:
            session: runs the graph; its only output has shape [1], [1, 1] or [1, 2].
            inputs: name of each input the graph declares -> its numpy integer type.
            tokenizer: its truncation and padding are switched off here.
            max_tokens: the longest input, special tokens included.
            fingerprint: digest of what decides a score.
        """
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # "[SEP]" in a shop's text is text, not a separator
        self.fingerprint = fingerprint
        self._session = session
        self._inputs = dict(inputs)
        self._tokenizer = tokenizer
        self._reader = TextReader(tokenizer)
        self._frame = PairFrame(tokenizer)
        self._room = max_tokens - tokenizer.num_special_tokens_to_add(True)
        self._query_tokens = max_tokens // 2
        self.max_document_tokens = self._room - 1
        self._known_query = lru_cache(_QUERIES_KEPT)(lambda text: self._reader.read(text, self._query_tokens)[1])

    def score(self, query: str, document: Document, document_tokens: int) -> float:
        """Return the pair's logit.

        Args:
            query: cut only where it takes more than half of the model's input.
            document: segments, each cut to its own limit, then joined and tokenized as one text.
            document_tokens: the document is cut after so many tokens, or earlier where the input has no more room.

        Raises:
            ValueError: the model gave something that is no finite number.
        """
        pair = self.encode(query, document, document_tokens)
        values = {"input_ids": pair.ids, "attention_mask": [1] * len(pair.ids), "token_type_ids": pair.type_ids}
        feed = {name: np.array([values[name]], dtype=dtype) for name, dtype in self._inputs.items()}
        logit = _logit(np.asarray(self._session.run(None, feed)[0], dtype=np.float64))
        if not math.isfinite(logit):
            raise ValueError(f"the model gave {logit} for a pair of {len(pair.ids)} tokens")
        return logit

    def encode(self, query: str, document: Document, document_tokens: int) -> PairTokens:
        """Return the pair's tokens, all cuts made; what training gives a model is made here too."""
        query_ids = self._query(query)
        return self._frame.join(query_ids, self._read(document, self._limit(query_ids, document_tokens))[1])

    def chunks(self, query: str, document: Document, document_tokens: int, most: int) -> list[Document]:
        """Return a document's parts, tokens counted as `score` does.

        Where a tokenizer reads a piece otherwise beside another one, the last tokens of a part may be cut.
        """
        limit = self._limit(self._query(query), document_tokens)
        pieces = tuple(
            Segment(_clean(piece.text[: limit * most * CHARACTERS_PER_TOKEN]))
            if piece.max_tokens is None
            else Segment(self._cut(piece.text, min(piece.max_tokens, limit * most))[0])
            for piece in document
        )
        parts = part(pieces, limit, most, self._spans)
        return [document] if len(parts) == 1 else parts

    def _spans(self, text: str) -> list[Span]:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        words = encoding.word_ids
        return [
            (start, end, position == 0 or words[position] is None or words[position] != words[position - 1])
            for position, (start, end) in enumerate(encoding.offsets)
        ]

    def visible_text(self, query: str, document: Document, document_tokens: int) -> str:
        """Return the document's text up to the last token that the model is given."""
        return self._read(document, self._limit(self._query(query), document_tokens))[0]

    def _query(self, text: str) -> Sequence[int]:
        return self._known_query(_clean(text[: self._query_tokens * CHARACTERS_PER_TOKEN]))

    def _limit(self, query_ids: Sequence[int], document_tokens: int) -> int:
        return max(0, min(document_tokens, self._room - len(query_ids)))

    def _read(self, document: Document, limit: int) -> tuple[str, Sequence[int]]:
        """Return a document's text after all cuts and its tokens, ``limit`` at most."""
        return self._cut("".join(self._cut_segment(segment, limit) for segment in document), limit)

    def _cut_segment(self, segment: Segment, limit: int) -> str:
        if segment.max_tokens is None:
            return segment.text[: limit * CHARACTERS_PER_TOKEN]
        return self._cut(segment.text, segment.max_tokens)[0]

    def _cut(self, text: str, limit: int) -> tuple[str, Sequence[int]]:
        return self._reader.read(_clean(text[: limit * CHARACTERS_PER_TOKEN]), limit)


def _clean(text: str) -> str:
    """Return the text with lone surrogates, which JSON can carry and UTF-8 cannot, as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _logit(output: npt.NDArray[np.float64]) -> float:
    """Return the logit of an output of one pair: itself, or the second label's over the first's."""
    values = output.reshape(-1)
    return float(values[0]) if values.size == 1 else float(values[1] - values[0])


def load_model(folder: Path, name: str) -> OnnxPairModel:
    """Load a model folder and try it on one pair.

    Args:
        folder: holds ``model.onnx``, ``tokenizer.json`` and ``config.json``.
        name: what messages call the model.

    Raises:
        ModelError: a file is missing or broken, or the graph is no cross-encoder with one or two labels.
    """
    for file in ("model.onnx", "tokenizer.json", "config.json"):
        if not (folder / file).is_file():
            raise ModelError(f"model {name!r}: {folder} has no {file}; scripts/export_model.py writes such a folder")
    config = _read_config(folder / "config.json", name)
    tokenizer = _read_tokenizer(folder / "tokenizer.json", name)
    session = _open_session(folder / "model.onnx", name)
    inputs = _check_inputs(session, name)
    _check_output(session, name)
    _check_activation(config, _try_graph(session, inputs, name), name)
    max_tokens = _max_tokens(config, tokenizer, name)
    try:
        model = OnnxPairModel(session, inputs, tokenizer, max_tokens, fingerprint(folder))
        model.score("a", (Segment("a b"),), 8)
    except Exception as error:
        raise ModelError(f"model {name!r}: cannot score a pair: {_one_line(error)}") from error
    return model


def fingerprint(folder: Path) -> str:
    """Return a digest (16 hex digits) of all that decides a score: graph with its weights, tokenizer, configuration."""
    digest = hashlib.sha256()
    for path in [*sorted(folder.glob("model.onnx*")), folder / "tokenizer.json", folder / "config.json"]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _read_config(path: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"model {name!r}: {path} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"model {name!r}: {path} holds no JSON object")
    return config


def _read_tokenizer(path: Path, name: str) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises bare Exception
        raise ModelError(f"model {name!r}: {path} is no tokenizer: {_one_line(error)}") from error


def _open_session(path: Path, name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one worker per core calls in; more threads a call would only wait for each other
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False  # a plan is kept for each input length; each pair has another
    options.enable_cpu_mem_arena = False  # no faster, and it keeps the memory of the largest pairs for good
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER_FUSED
        )
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise ModelError(f"model {name!r}: {path} cannot be opened as an ONNX model: {_one_line(error)}") from error


def _check_inputs(session: onnxruntime.InferenceSession, name: str) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for declared in session.get_inputs():
        if declared.name not in _KNOWN_INPUTS or declared.type not in _INTEGER_TYPES:
            raise ModelError(
                f"model {name!r}: the graph wants an input {declared.name!r} of {declared.type}; "
                f"known are {', '.join(sorted(_KNOWN_INPUTS))} of int64 or int32"
            )
        inputs[declared.name] = _INTEGER_TYPES[declared.type]
    if "input_ids" not in inputs:
        raise ModelError(f"model {name!r}: the graph has no input 'input_ids'")
    return inputs


def _check_output(session: onnxruntime.InferenceSession, name: str) -> None:
    outputs = session.get_outputs()
    if len(outputs) != 1:
        names = ", ".join(output.name for output in outputs)
        raise ModelError(
            f"model {name!r}: the graph has {len(outputs)} outputs ({names}); expected only the logits of a "
            "sequence classification"
        )
    shape, kind = outputs[0].shape, outputs[0].type
    labels = 1 if len(shape) == 1 else shape[-1]
    if kind not in _FLOAT_TYPES or len(shape) not in (1, 2) or (isinstance(labels, int) and labels not in (1, 2)):
        raise ModelError(
            f"model {name!r}: the graph's output {outputs[0].name!r} is {kind} of shape {shape}; expected floats of "
            "shape [pairs, 1] or [pairs, 2]"
        )


def _check_activation(config: dict[str, Any], labels: int, name: str) -> None:
    """Refuse a model whose stated activation says that its output is not what `_logit` takes it for."""
    wanted = "sigmoid" if labels == 1 else "softmax"
    for stated in (
        _section(config, "rerank").get("activation"),
        _section(config, "sentence_transformers").get("activation_fn"),
        config.get("sbert_ce_default_activation_function"),
    ):
        if stated is not None and str(stated).rpartition(".")[2].lower() not in (wanted, "identity"):
            raise ModelError(
                f"model {name!r}: config.json states the activation {stated!r} for {labels} label(s); known is {wanted}"
            )


def _section(config: dict[str, Any], key: str) -> dict[str, Any]:
    section = config.get(key)
    return section if isinstance(section, dict) else {}


def _max_tokens(config: dict[str, Any], tokenizer: Tokenizer, name: str) -> int:
    limit = _section(config, "rerank").get("max_tokens")
    if limit is None:
        limit = config.get("max_position_embeddings", _DEFAULT_MAX_TOKENS)
        if config.get("model_type") in OFFSET_POSITIONS and isinstance(limit, int):
            limit -= int(config.get("pad_token_id") or 0) + 1
    least = tokenizer.num_special_tokens_to_add(True) + 2
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < least:
        raise ModelError(
            f"model {name!r}: config.json allows an input of {limit!r} tokens; at least {least} are needed"
        )
    return limit


def _try_graph(session: onnxruntime.InferenceSession, inputs: Mapping[str, Any], name: str) -> int:
    """Run the graph and return how many labels really come out: the declared shape may leave that open."""
    feed = {key: np.ones((1, 4), dtype=dtype) for key, dtype in inputs.items()}
    try:
        shape = np.asarray(session.run(None, feed)[0]).shape
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise ModelError(f"model {name!r}: the graph cannot be run on a pair: {_one_line(error)}") from error
    if shape not in ((1,), (1, 1), (1, 2)):
        raise ModelError(f"model {name!r}: a pair gives an output of shape {list(shape)}; expected [1, 1] or [1, 2]")
    return shape[-1]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
