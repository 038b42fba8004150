"""What the documentation promises is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.core.messages import Reason
from proxy.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_reason_is_explained_once() -> None:
    text = (ROOT / "docs" / "status.md").read_text()
    explained = re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)
    assert sorted(explained) == sorted(reason.value for reason in Reason)


def test_the_readmes_settings_can_be_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "proxy.yaml"
        path.write_text(block)
        assert load_settings(path, {}, {}).rules[0].window == 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    linked = [page.parent / target for target in re.findall(r"\]\(([^)#:]+)\)", text)]
    named = [ROOT / name for name in re.findall(r"`((?:proxy|tests|docs|scripts|esci_loader)/[\w/.-]+\.\w+)`", text)]
    layer = [ROOT / "proxy" / name for name in re.findall(r"`((?:edge|core|scorer)/\w+\.py)`", text)]
    assert [str(path) for path in (*linked, *named, *layer) if not path.exists()] == []
