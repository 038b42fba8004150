"""The model card's part that the export writes."""

from __future__ import annotations

import re
from pathlib import Path

_BEGIN, _END = "<!-- export: begin -->", "<!-- export: end -->"


def write_card(path: Path, name: str, lines: list[str]) -> None:
    """Write the model card; of one that exists only the part between our marks is replaced, or added at its end."""
    part = "\n".join([_BEGIN, *(f"- {line}" for line in [*lines, f"CPU of the comparison: {cpu()}"]), _END])
    if path.is_file():
        card = path.read_text(encoding="utf-8")
        if _BEGIN in card and _END in card:
            card = card[: card.index(_BEGIN)] + part + card[card.index(_END) + len(_END) :]
        else:
            card = f"{card.rstrip()}\n\n## Export\n\n{part}\n"
    else:
        card = (
            f"# {name}\n\nA cross-encoder for the rerank proxy, made by `scripts/export_model.py`. Say here what it "
            f"was made from, under which licence, and how good it is.\n\n## Export\n\n{part}\n"
        )
    path.write_text(card, encoding="utf-8")


def cpu() -> str:
    """Return the CPU's name and those of its features that int8 depends on."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", text)
    flags = set(text.split())
    found = [flag for flag in ("avx2", "avx512_vnni", "avx_vnni", "amx_int8") if flag in flags]
    return f"{model.group(1) if model else 'unknown'} ({', '.join(found) or 'features unknown'})"
