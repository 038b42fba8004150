"""The parts of a model card that scripts write, each between marks of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def write_card(path: Path, name: str, lines: list[str]) -> None:
    """Write what an export says into the model card, which is begun where there is none."""
    if not path.is_file():
        path.write_text(
            f"# {name}\n\nA cross-encoder for the rerank proxy, made by `scripts/export_model.py`. Say here what it "
            "was made from, under which licence, and how good it is.\n",
            encoding="utf-8",
        )
    replace_part(path, "export", [f"- {line}" for line in [*lines, f"CPU of the comparison: {cpu()}"]])


def replace_part(path: Path, mark: str, lines: Sequence[str]) -> None:
    """Write lines between a part's marks, ``<!-- mark: begin -->`` and ``<!-- mark: end -->``; all else stays.

    A card without the marks is given the part at its end.
    """
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    card = path.read_text(encoding="utf-8")
    part = "\n".join([begin, *lines, end])
    if begin in card and end in card:
        card = card[: card.index(begin)] + part + card[card.index(end) + len(end) :]
    else:
        card = f"{card.rstrip()}\n\n## {mark.capitalize()}\n\n{part}\n"
    path.write_text(card, encoding="utf-8")


def cpu() -> str:
    """Return the CPU's name and those of its features that int8 depends on."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", text)
    flags = set(text.split())
    found = [flag for flag in ("avx2", "avx512_vnni", "avx_vnni", "amx_int8") if flag in flags]
    return f"{model.group(1) if model else 'unknown'} ({', '.join(found) or 'features unknown'})"
