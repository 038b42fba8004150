"""Turns a cross-encoder into a model folder that the proxy serves: ONNX, fused, int8, checked.

    python scripts/export_model.py MODEL_OR_DIR [--name base] [--out onnx_models/NAME]
        [--pairs PAIRS.jsonl[.gz]] [--calibration PAIRS.jsonl[.gz]] [--precision dynamic|static|auto|float]
        [--prune-vocabulary CORPUS.txt|.jsonl[.gz] ... [--keep-pieces N]]

MODEL_OR_DIR is a folder of a Hugging Face sequence classification (one logit, or two labels with softmax), or a model's
id where a model hub can be reached. Pairs are JSON lines of ``query`` and ``text``, or of ``query`` and a product's
fields (ESCI rows). Calibration data and pairs of one file are kept apart where it has enough. The steps:

1. The vocabulary is pruned to a corpus (--prune-vocabulary; WordPiece only): what the corpus is made of, every single
   letter, and other Latin pieces up to --keep-pieces. The corpus is tokenized as before.
2. Export with Optimum (--opset), fusion by ONNX Runtime's optimizer; compared with torch.
3. Behind the last attention only the first token is computed, where the classifier reads no other: the same logits.
4. Outliers of activations are moved into the weights (--no-smoothing leaves that out): the same logits in float, nearer
   ones in int8. Word embeddings become bytes with a scale a row.
5. Int8 with 7-bit weights and a scale for each output channel; activations rounded by each call (dynamic) or by fixed
   scales found on the calibration pairs (static, --method). ``auto`` makes both and takes the faster of those that
   reach --target.
6. Where Spearman with float is below --target on the calibration pairs, matrices are left float, those whose int8 form
   harms most for their size first, --max-float at most; each with its harm and the time of a pair then.
7. Spearman with the float model, unpruned, on the pairs. A model is refused, and nothing is written, when a pair's
   score is not its own, when two int8 products could leave 16 bits (on a CPU without VNNI they are added in pairs in 16
   bits, and 8-bit weights overflow that), or when the order agrees too little with float (--force writes it then).

What was done and measured goes into README.md of the folder. `scripts/compare_cpus.py` scores on an emulated CPU.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from exporting.common import ExportError, say
from model_checks import LARGEST_CHANGE, Pairs, Report, compare, spearman
from proxy.scorer.onnx_model import ModelError, load_model
from proxy.scorer.onnx_model import fingerprint as fingerprint_of
from sample_pairs import built_in_pairs, read_pairs, sample


def main(arguments: list[str] | None = None) -> int:
    """Export; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _need_extra()
        _check(options)
        export(options)
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
        "--pairs",
        type=Path,
        help='pairs to compare on, JSON lines {"query": ..., "text": ...} or ESCI rows (default: ours)',
    )
    parser.add_argument("--limit-pairs", type=int, default=500, metavar="N", help="compare on N of them (default 500)")
    parser.add_argument("--calibration", type=Path, metavar="FILE", help="pairs to calibrate on (default: --pairs)")
    parser.add_argument("--limit-calibration", type=int, default=200, metavar="N", help="of N of them (default 200)")
    parser.add_argument(
        "--precision",
        choices=("dynamic", "static", "auto", "float"),
        default="dynamic",
        help="int8 with scales of each call (dynamic, the default) or fixed ones (static), the faster good one (auto)",
    )
    parser.add_argument(
        "--method",
        choices=("minmax", "entropy", "percentile"),
        default="percentile",
        help="how static int8 finds its scales (default percentile)",
    )
    parser.add_argument("--target", type=float, default=0.995, help="Spearman to reach on calibration (default 0.995)")
    parser.add_argument(
        "--max-float", type=int, default=4, metavar="N", help="leave at most N matrices float (default 4)"
    )
    parser.add_argument("--no-smoothing", action="store_true", help="leave outliers of activations where they are")
    parser.add_argument("--opset", type=int, help="opset of the graph (default: the exporter's)")
    parser.add_argument(
        "--prune-vocabulary", type=Path, nargs="+", metavar="CORPUS", help="keep the pieces that these texts need"
    )
    parser.add_argument(
        "--keep-pieces", type=int, metavar="N", help="and Latin pieces up to N in all (default: all Latin pieces)"
    )
    parser.add_argument(
        "--least-count", type=int, default=1, metavar="N", help="a piece is needed when the corpus has it N times"
    )
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


def _check(options: argparse.Namespace) -> None:
    from exporting.source import OPSETS

    if options.opset is not None and options.opset not in OPSETS:
        raise ExportError(f"--opset {options.opset}: from {OPSETS.start} to {OPSETS.stop - 1} is possible")
    if not 0 < options.target <= 1:
        raise ExportError(f"--target {options.target}: a rank correlation between 0 and 1 is wanted")
    for name, least in {"limit_pairs": 10, "limit_calibration": 10, "max_float": 0, "least_count": 1}.items():
        if getattr(options, name) < least:
            raise ExportError(f"--{name.replace('_', '-')} {getattr(options, name)}: at least {least} is wanted")
    if options.keep_pieces is not None and not options.prune_vocabulary:
        raise ExportError("--keep-pieces goes with --prune-vocabulary CORPUS")
    for path in [*(options.prune_vocabulary or []), *filter(None, (options.pairs, options.calibration))]:
        if not path.is_file():
            raise ExportError(f"No such file: {path}")


def export(options: argparse.Namespace) -> Report:
    """Export a model as the command line says, check it, print what was found and write its folder.

    Raises:
        ExportError: the model cannot be exported, or is refused; nothing was written.
        ModelError: what was made is no cross-encoder that the proxy can serve.
    """
    from exporting.build import Plan, build
    from exporting.card import write_card
    from exporting.quantize import saturates

    name = options.name or Path(options.model).name
    out = options.out or Path("onnx_models") / name
    pairs, calibration, about = _pairs(options)
    with tempfile.TemporaryDirectory() as folder:
        made = build(
            Plan(
                source=options.model,
                name=name,
                precision=options.precision,
                method=options.method,
                target=options.target,
                max_float=options.max_float,
                smoothing=not options.no_smoothing,
                opset=options.opset,
                corpus=options.prune_vocabulary or [],
                keep_pieces=options.keep_pieces,
                least_count=options.least_count,
            ),
            Path(folder),
            pairs,
            calibration,
        )
        say(f"compare on {len(pairs)} pairs")
        float_model = load_model(made.reference, f"{name} (float)")
        served = load_model(made.served, name)
        report = compare(served, float_model, made.served, pairs)
        lines = [*made.lines, about, *report.lines()]
        if options.pairs:
            lines.append(_on_built_in(served, float_model))
        lines.append(f"fingerprint: {fingerprint_of(made.served)}")
        lines.append(f"options: {_options(options)}")
        print("\n".join(lines))
        wrong = saturates(made.served / "model.onnx")
        if wrong:
            raise ExportError(f"refused: {wrong}")
        _judge(report, options.force)
        out.mkdir(parents=True, exist_ok=True)
        for file in ("model.onnx", "tokenizer.json", "config.json"):
            _replace(made.served / file, out / file)
        write_card(out / "README.md", name, lines)
    print(f"wrote {out}")
    return report


def _pairs(options: argparse.Namespace) -> tuple[Pairs, Pairs, str]:
    """Return pairs to compare on, pairs to calibrate on, and a line about them."""
    try:
        everything = read_pairs(options.pairs) if options.pairs else built_in_pairs()
        other = read_pairs(options.calibration) if options.calibration else None
    except ValueError as error:
        raise ExportError(str(error)) from error
    shuffled = sample(everything, len(everything))
    compared = shuffled[: options.limit_pairs] if options.pairs else everything
    taken = set(compared)
    rest = [pair for pair in (sample(other, len(other)) if other else shuffled) if pair not in taken]
    calibration = rest[: options.limit_calibration]
    if len(calibration) < 10:
        calibration = list(compared)[: options.limit_calibration]
        return compared, calibration, f"calibration: on {len(calibration)} of the same pairs as the comparison"
    return compared, calibration, f"calibration: on {len(calibration)} pairs that are not among those of the comparison"


def _on_built_in(model: object, reference: object) -> str:
    from model_checks import score_all

    pairs = built_in_pairs()
    wanted, seen = score_all(reference, pairs), score_all(model, pairs)  # type: ignore[arg-type]
    return f"Spearman on our {len(pairs)} built-in pairs: {spearman(wanted, seen):.4f}"


def _options(options: argparse.Namespace) -> str:
    """Return the options that were not left at their defaults, paths by their last part alone."""
    defaults = vars(_parser().parse_args([options.model]))
    said = []
    for key, value in vars(options).items():
        if key in ("model", "name", "out") or value == defaults[key]:
            continue
        values = value if isinstance(value, list) else [value]
        words = "" if value is True else " ".join(each.name if isinstance(each, Path) else str(each) for each in values)
        said.append(f"--{key.replace('_', '-')} {words}".strip())
    return " ".join(said) or "all at their defaults"


def _judge(report: Report, force: bool) -> None:
    refusal = report.refusal()
    if refusal is None:
        return
    forgivable = report.serving_change <= LARGEST_CHANGE
    if force and forgivable:
        print(f"export_model: warning: {refusal}", file=sys.stderr)
        return
    raise ExportError(f"refused: {refusal}" + (" (--force writes it all the same)" if forgivable else ""))


def _replace(source: Path, target: Path) -> None:
    """Put a file in place in one step, so that a reader sees the old one or the new one."""
    partial = target.with_name(target.name + ".partial")
    shutil.copy(source, partial)
    os.replace(partial, target)


if __name__ == "__main__":
    sys.exit(main())
