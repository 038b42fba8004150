"""What docs/training-data.md shows can be written so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from training import click_models, ubi, ubi_log
from training.judgements import FORMATS, read
from training.options import Options

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training-data.md").read_text()


def test_every_format_is_shown_with_options_that_exist() -> None:
    sources = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert {source["format"] for source in sources} == set(FORMATS)
    for source in sources:
        Options({name: source[name] for name in source if name != "format"}, FORMATS[source["format"]][1], "page")


def test_the_options_of_click_logs_have_the_defaults_shown() -> None:
    shown = {name: yaml.safe_load(value) for name, value in re.findall(r"^\| `(\w+)` \| (.+?) \|", PAGE, re.MULTILINE)}
    plain = vars(ubi.Settings())
    assert shown == {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
    named = [*shown, "since", "skip_malformed", "user", "api_key", "ca", "queries_index", "events_index"]
    assert set(named) | {"queries", "events", "url", "products"} == set(FORMATS["ubi"][1])
    assert f"at least {click_models.PBM_CLICKS} clicks" in PAGE
    assert f"fewer than {click_models.BUCKET_CLICKS} clicks" in PAGE


def test_the_pairs_shown_can_be_read(tmp_path: Path) -> None:
    lines = re.findall(r'^\{"query".*$', PAGE, re.MULTILINE)
    assert len(lines) == 2
    (tmp_path / "pairs").write_text("\n".join(lines))
    assert [one.grade for one in read({"format": "pairs", "pairs": str(tmp_path / "pairs")})] == [1, 0.1]
    label = re.search(r'# (\{"query".*\})', PAGE)
    assert label is not None
    assert json.loads(label[1])["labels"]


def test_a_date_in_a_recipe_is_a_date() -> None:
    """YAML makes dates of what looks like one."""
    since = yaml.safe_load("since: 2026-01-01")["since"]
    assert Options({"since": since}, ["since"], "test").text("since") == "2026-01-01"
    assert ubi_log.parse_time("2026-01-01", "test") == 1_767_225_600
