"""What all steps share: their error, their words on the screen, quiet libraries."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator


class ExportError(Exception):
    """Why a model cannot be exported, in one line."""


def say(text: str) -> None:
    """Name the step that begins, on standard error."""
    print(f"{text} ...", file=sys.stderr, flush=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
