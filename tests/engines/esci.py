"""The ESCI slice, loaded by our own loader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import Engine

INDEX = "esci"
_loaded: set[str] = set()


def esci_dir() -> Path:
    """Return the folder with the slice (``ESCI_DIR``); the test skips where it is absent."""
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("ESCI_DIR") or root.parent / "shared" / "data" / "esci")
    if not folder.is_dir():
        pytest.skip(f"no ESCI slice in {folder} (ESCI_DIR)")
    return folder


def load_esci(engine: Engine) -> str:
    """Load all products into the index ``esci``, once an engine and test run; return the index's name."""
    if engine.url not in _loaded:
        analyzer = "standard" if engine.is_elasticsearch else "english"  # the bare Elasticsearch has no other
        command = [sys.executable, "-m", "esci_loader", "--url", engine.url, "--index", INDEX, "--recreate"]
        products = esci_dir() / "products.jsonl.gz"
        ran = subprocess.run(
            [*command, "--analyzer", analyzer, str(products)], capture_output=True, text=True, timeout=300, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        _loaded.add(engine.url)
    return INDEX
