"""Table, dataclasses, flags, reference page and the page of own settings tell the same story."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path

import pytest

from proxy.settings import (
    Listen,
    Rule,
    Settings,
    SettingsError,
    add_arguments,
    load_settings,
    parse_template,
    redacted,
)
from proxy.settings.docs import PAGE, example, page
from proxy.settings.environment import given_in_environment
from proxy.settings.table import PRECEDENCE, RULE_KEYS, SETTINGS, Setting, show_value

ROWS = [*SETTINGS.values(), *RULE_KEYS.values()]


def test_each_field_has_one_row() -> None:
    assert sorted(SETTINGS) == sorted(one.name for one in fields(Settings))
    assert list(RULE_KEYS) == [one.name for one in fields(Rule)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_row_is_documented(row: Setting) -> None:
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith(f"| `{row.name}` |")]
    assert len(lines) == 1
    assert row.help.replace("|", "\\|") in lines[0]
    assert row.flag is None or f"`{row.flag}`" in lines[0]
    assert row.name in RULE_KEYS or f"`{row.env}`" in lines[0]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m proxy.settings.docs`"


def test_the_page_states_the_precedence_once() -> None:
    assert page().count(PRECEDENCE) == 1


def test_the_example_file_is_the_defaults_and_one_rule(tmp_path: Path) -> None:
    path = tmp_path / "proxy.yaml"
    path.write_text(example(), encoding="utf-8")
    rule = Rule(target="products*,-products-test", text=parse_template("{title} {brand} {bullets:60}"))
    assert load_settings(path, {}, {}) == Settings(rules=(rule,))


@pytest.mark.parametrize("row", [row for row in ROWS if row.name != "rules"], ids=lambda row: row.name)
def test_examples_and_defaults_can_be_read(row: Setting) -> None:
    row.kind.read(row.example)
    if row.default is not None:
        shown = show_value(row, row.default)
        read = tuple(map(row.kind.read, shown.split(","))) if row.kind.many else row.kind.read(shown)
        assert read == row.default


def test_no_setting_looks_like_a_variable_of_kubernetes() -> None:
    env = {row.env: row.example for row in SETTINGS.values()}
    assert sorted(given_in_environment(env)) == sorted(SETTINGS)


def test_help_names_each_flag_with_its_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    parser = argparse.ArgumentParser(prog="serve")
    add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = capsys.readouterr().out
    for row in ROWS:
        if row.flag:
            assert row.flag in shown
            assert row.help in shown
            assert f"default: {show_value(row, row.default)}" in shown
    assert "--config FILE" in shown
    assert PRECEDENCE in shown


def test_redacted_is_ready_for_json_and_hides_secrets() -> None:
    settings = Settings(
        listen=Listen("::1", 0),
        metadata_auth="ApiKey hidden-word",
        model_dir=Path("models"),
        rules=(Rule(text=parse_template("{title}")),),
    )
    shown = json.loads(json.dumps(redacted(settings)))
    assert "hidden-word" not in json.dumps(shown)
    assert set(shown) == set(SETTINGS)
    assert shown["metadata_auth"] == "***"
    assert shown["listen"] == "[::1]:0"
    assert shown["model_dir"] == "models"
    assert shown["upstream"] == ["http://localhost:9200"]
    assert shown["rules"][0]["text"] == "{title}"
    assert redacted(Settings())["metadata_auth"] is None


def test_what_redacted_shows_can_be_loaded_again(tmp_path: Path) -> None:
    settings = Settings(rules=(Rule(text=parse_template("{a:3} {b}"), blend=0.5), Rule(target="x")), took=False)
    path = tmp_path / "proxy.yaml"
    path.write_text(json.dumps(redacted(settings)), encoding="utf-8")
    assert load_settings(path, {}, {}) == settings


def test_a_settings_error_is_one_line_whatever_it_quotes() -> None:
    assert str(SettingsError("a", "b\nc", "d\r\x1b[2Je")) == "a (b\\nc): d\\r\\x1b[2Je"
