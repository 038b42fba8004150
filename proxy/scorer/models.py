"""Finds model folders by name and holds the loaded models, each with its state of health."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.scorer.types import PairModel

_PACKAGE = Path(__file__).resolve().parent.parent
BUNDLED_FOLDERS = (_PACKAGE / "onnx_models", _PACKAGE.parent / "onnx_models")
"""Where the bundled models lie: inside the package when installed from a wheel, beside it in a checkout."""

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
    """In a row, over loads and scores."""
    retry_at: float = 0.0
    """When to try to load it again; on the clock of ``time.monotonic()``."""
    restarts: int = 0

    def load(self) -> None:
        """Load the model; a failure is kept in ``error`` and sets the time of the next try. Blocks."""
        try:
            self.model = self.loader()
        except Exception as error:  # a broken model folder must not stop the proxy
            self.model = None
            self.note_failure(f"cannot be loaded: {one_line(error)}")
        else:
            self.error = None
            self.failures = 0

    def note_failure(self, error: str) -> None:
        """Count a failure; the time to the next try doubles with each, up to a minute."""
        self.error = error
        self.failures += 1
        self.retry_at = time.monotonic() + min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2 ** min(self.failures - 1, 10))


def one_line(error: BaseException) -> str:
    """Return an error's text in one line, its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
