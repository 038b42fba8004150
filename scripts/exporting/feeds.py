"""Pairs as a graph's inputs, and a graph's logits on them: one pair a call, as the proxy scores."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper
from tokenizers import Tokenizer

from model_checks import DOCUMENT_TOKENS, Logits, Pairs
from proxy.scorer.onnx_model import SLOWER_FUSED

from .graph import Graph
from .smoothing import Samples, smoothable

Feeds = Sequence[dict[str, npt.NDArray[np.int64]]]
"""Inputs of the graph by name, one pair each, shape [1, tokens]."""

_ATTRIBUTES = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


def make_feeds(folder: Path, pairs: Pairs) -> Feeds:
    """Tokenize pairs for the graph of a model folder; a document is cut as it is when models are compared."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    room = json.loads((folder / "config.json").read_text())["rerank"]["max_tokens"]
    room -= tokenizer.num_special_tokens_to_add(True)
    declared = {given.name: _TYPES[given.type] for given in open_session(folder / "model.onnx").get_inputs()}
    feeds = []
    for query, text in pairs:
        asked = tokenizer.encode(query, add_special_tokens=False)
        asked.truncate(room // 2)
        document = tokenizer.encode(text, add_special_tokens=False)
        document.truncate(min(DOCUMENT_TOKENS, room - len(asked)))
        pair = tokenizer.post_process(asked, document)
        feeds.append(
            {name: np.array([getattr(pair, _ATTRIBUTES[name])], dtype=kind) for name, kind in declared.items()}
        )
    return feeds


def open_session(graph: Path | bytes) -> onnxruntime.InferenceSession:
    """Open a graph in one thread, as the proxy does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    given = str(graph) if isinstance(graph, Path) else graph
    return onnxruntime.InferenceSession(
        given, options, providers=["CPUExecutionProvider"], disabled_optimizers=SLOWER_FUSED
    )


def logits_of(graph: Path | bytes, feeds: Feeds) -> Logits:
    """Return each pair's logit."""
    return _run(open_session(graph), feeds)


def _run(session: onnxruntime.InferenceSession, feeds: Feeds) -> Logits:
    outputs = np.array([np.asarray(session.run(None, feed)[0]).reshape(-1) for feed in feeds], dtype=np.float64)
    logits: Logits = outputs[:, -1] - (outputs[:, 0] if outputs.shape[1] == 2 else 0.0)
    return logits


def activations(model: onnx.ModelProto, feeds: Feeds) -> dict[str, Samples]:
    """Return the inputs of the graph's matrices on some pairs."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    names = sorted({node.input[0] for node in smoothable(Graph(opened))})
    opened.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = open_session(opened.SerializeToString())
    found: dict[str, Samples] = {name: [] for name in names}
    for feed in feeds:
        for name, values in zip(names, session.run(names, feed), strict=True):
            found[name].append(values.reshape(-1, values.shape[-1]))
    return found


def milliseconds(graphs: dict[str, Path], feeds: Feeds, rounds: int = 5) -> dict[str, float]:
    """Return each graph's CPU time of a pair in ms: the median of rounds in which the graphs take turns."""
    sessions = {name: open_session(path) for name, path in graphs.items()}
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for session in sessions.values():
        _run(session, feeds[:5])
    for _ in range(rounds):
        for name, session in sessions.items():
            started = time.thread_time()
            _run(session, feeds)
            times[name].append(1000 * (time.thread_time() - started) / len(feeds))
    return {name: float(np.median(values)) for name, values in times.items()}
