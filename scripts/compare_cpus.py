"""Compares a model's scores on this CPU with those on an emulated CPU without VNNI, and both with the float model's.

    python scripts/compare_cpus.py onnx_models/base --float FLOAT_FOLDER [--pairs PAIRS.jsonl[.gz]] [--limit-pairs 40]

FLOAT_FOLDER is the same model as `export_model.py --precision float` writes it. The emulator is QEMU in user mode
(Debian: ``apt-get install qemu-user-static``); its CPU knows AVX2 but neither AVX-512 nor VNNI, as Intel's of 2013.
There a pair of a 6-layer model takes a second, so that some forty pairs are scored; float models, which would take half
a minute a pair, run here alone. A control shows which kernels ran: products of 8-bit weights saturate without VNNI.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from tqdm import tqdm

from model_checks import DOCUMENT_TOKENS, Logits, Pairs, spearman
from proxy.scorer.onnx_model import ModelError, load_model
from proxy.scorer.types import Segment
from sample_pairs import built_in_pairs, read_pairs, sample

_EMULATORS = ("qemu-x86_64-static", "qemu-x86_64")


class CompareError(Exception):
    """Why nothing can be compared, in one line."""


def main(arguments: list[str] | None = None) -> int:
    """Print the comparison; return the exit code."""
    parser = argparse.ArgumentParser(description="Compare a model's scores here and on an emulated CPU without VNNI.")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="model folder")
    parser.add_argument("--float", dest="reference", type=Path, metavar="FOLDER", help="folder of its float form")
    parser.add_argument("--pairs", type=Path, help="pairs as export_model.py reads them (default: ours)")
    parser.add_argument("--limit-pairs", type=int, default=40, metavar="N", help="score N of them (default 40)")
    parser.add_argument("--cpu", default="Haswell-noTSX", help="the emulator's CPU (default Haswell-noTSX: AVX2)")
    parser.add_argument("--score-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if options.score_only:
            pairs = [(query, text) for query, text in json.loads(sys.stdin.read())]
            print(json.dumps({"saturates": saturates(), "logits": score(options.folder, pairs).tolist()}))
        else:
            report(options.folder, options.reference, _pairs(options.pairs, options.limit_pairs), options.cpu)
    except (CompareError, ModelError, OSError, ValueError) as error:
        print(f"compare_cpus: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def report(folder: Path, reference: Path | None, pairs: Pairs, cpu: str) -> None:
    """Print what the model's scores are here and on the emulated CPU.

    Raises:
        CompareError: there is no emulator, or it failed, or its CPU did not do what it is for.
    """
    here = score(folder, pairs)
    wanted = score(reference, pairs) if reference else None
    control, there = emulated(folder, pairs, cpu)
    print(f"pairs: {len(pairs)}; standard deviation of the logits {here.std():.3f}")
    print(f"8-bit products saturate: here {_said(saturates())}, on {cpu} {_said(control)}")
    if not control:
        print(f"(on {cpu} they should: the comparison says nothing about a CPU without VNNI)")
    print(_gap(f"{cpu} and here", here, there))
    if wanted is not None:
        print(_gap("here and float", wanted, here))
        print(_gap(f"{cpu} and float", wanted, there))


def score(folder: Path, pairs: Pairs) -> Logits:
    """Return each pair's logit, one pair a call."""
    model = load_model(folder, folder.name)
    return np.array(
        [
            model.score(query, (Segment(text),), DOCUMENT_TOKENS)
            for query, text in tqdm(pairs, desc=f"score {folder.name}", unit="pair", leave=False)
        ]
    )


def emulated(folder: Path, pairs: Pairs, cpu: str) -> tuple[bool, Logits]:
    """Score under the emulator; return whether 8-bit products saturated there, and the logits.

    Raises:
        CompareError: there is no emulator, or it failed.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        raise CompareError(f"this Python is made for {platform.machine()}; the emulator runs one for x86-64")
    emulator = next(filter(None, map(shutil.which, _EMULATORS)), None)
    if emulator is None:
        raise CompareError(f"none of {', '.join(_EMULATORS)} is installed (Debian: apt-get install qemu-user-static)")
    root = str(Path(__file__).resolve().parent.parent)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": root}
    done = subprocess.run(
        [emulator, "-cpu", cpu, sys.executable, str(Path(__file__).resolve()), str(folder), "--score-only"],
        input=json.dumps(list(pairs)),
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        check=False,
    )
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise CompareError(f"the emulator ended with {done.returncode} and no scores (its words are above)") from error
    return bool(found["saturates"]), np.array(found["logits"])


def saturates() -> bool:
    """Return whether this CPU's int8 kernels lose products of 8-bit weights: 255 x 127 x 2 is beyond 16 bits."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weight = np.full((64, 64), 127, dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "control",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [8, 64])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [8, 64])],
        initializer=[numpy_helper.from_array(weight, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    product = session.run(None, {"a": np.full((8, 64), 255, dtype=np.uint8)})[0]
    return bool((product != 255 * 127 * 64).any())


def _said(value: bool) -> str:
    return "yes" if value else "no"


def _gap(name: str, left: Logits, right: Logits) -> str:
    gap = np.abs(left - right)
    return f"{name}: Spearman {spearman(left, right):.4f}, mean gap {gap.mean():.4f}, largest {gap.max():.4f}"


def _pairs(path: Path | None, limit: int) -> Pairs:
    if limit < 2:
        raise CompareError(f"--limit-pairs {limit}: at least 2 are needed for an order")
    pairs = read_pairs(path) if path else built_in_pairs()
    return sample(pairs, limit)


if __name__ == "__main__":
    sys.exit(main())
