"""Finds model folders by name and holds the loaded models, each with its state of health."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.scorer.types import PairModel, Segment

_PACKAGE = Path(__file__).resolve().parent.parent
BUNDLED_FOLDERS = (_PACKAGE / "onnx_models", _PACKAGE.parent / "onnx_models")
"""Where the bundled models lie: inside the package when installed from a wheel, beside it in a checkout."""

_PROBE = ("red running shoes", (Segment("running shoes, red, size 42"),))
_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0


class ModelNotFound(ValueError):
    """No folder holds such a model."""


def find_model(name: str, extra_folder: Path | None = None) -> Path:
    """Return the folder of a model given by name or path.

    Raises:
        ModelNotFound: with one line that says where was looked.
    """
    folders = [extra_folder, *BUNDLED_FOLDERS] if extra_folder else list(BUNDLED_FOLDERS)
    candidates = [folder / name for folder in folders] if "/" not in name else []
    candidates.append(Path(name))
    for candidate in candidates:
        if (candidate / "model.onnx").is_file():
            return candidate
    looked = ", ".join(str(candidate) for candidate in candidates)
    known = sorted({path.parent.name for folder in folders for path in folder.glob("*/model.onnx")})
    raise ModelNotFound(f"no model {name!r}: no model.onnx in {looked}; bundled: {', '.join(known) or 'none'}")


@dataclass(slots=True)
class ModelState:
    """One configured model."""

    name: str
    loader: Callable[[], PairModel]
    model: PairModel | None = None
    error: str | None = None
    """Why it is not loaded, or has been given up, in one line."""
    failures: int = 0
    """Failed pairs in a row."""
    loads: int = 0
    """How often it has been loaded since it last gave a score."""
    retry_at: float = 0.0
    """Before this it is not loaded again; on the clock of ``time.monotonic()``."""

    def load(self) -> None:
        """Load the model; what goes wrong is kept in ``error``. Blocks, and is called on a thread.

        The time to the next try doubles with each, up to a minute. Failing scores must not move it: under load it
        would never come.
        """
        self.retry_at = time.monotonic() + min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2 ** min(self.loads, 10))
        self.loads += 1
        try:
            self.model = self.loader()
        except BaseException as error:  # neither a broken folder nor a library's panic may stop the proxy
            self.model = None
            self.error = f"cannot be loaded: {one_line(error)}"
        else:
            self.error = None
            self.failures = 0

    def note_failure(self, error: str) -> None:
        """Count a failed pair."""
        self.error = error
        self.failures += 1

    def note_success(self) -> None:
        """Forget all failures: the model has scored."""
        self.error = None
        self.failures = 0
        self.loads = 0


def probe(model: PairModel) -> str | None:
    """Ask a model for a score; return what goes wrong in one line, None if it works. Blocks: call it on a thread."""
    query, document = _PROBE
    try:
        logit = model.score(query, document, 64)
    except BaseException as error:  # what a model raises says how it is, whatever it is
        return one_line(error)
    return None if math.isfinite(logit) else f"it gave {logit} for a pair"


def one_line(error: BaseException) -> str:
    """Return an error's text in one line, its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
