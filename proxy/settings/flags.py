"""The command line's side of the settings."""

from __future__ import annotations

import argparse
from pathlib import Path

from proxy.settings.kinds import SWITCH
from proxy.settings.table import CONFIG_ENV, PRECEDENCE, RULE_KEYS, SETTINGS, Setting, show_value

_WITH_FLAG = [row for row in (*SETTINGS.values(), *RULE_KEYS.values()) if row.flag]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--config`` and the flags of the table. Values stay text: `load_settings` reads them all alike."""
    group = parser.add_argument_group(
        "settings",
        f"{PRECEDENCE} Every setting, with those that have no flag: docs/settings.md. "
        "--model, --window and --budget-ms change the built-in rule and go with a file only where that has no rules.",
    )
    group.add_argument(
        "--config", type=Path, metavar="FILE", help=f"YAML file of settings (environment: {CONFIG_ENV}; default: none)"
    )
    for row in _WITH_FLAG:
        assert row.flag is not None
        if row.kind is SWITCH:
            group.add_argument(row.flag, dest=row.name, action="store_const", const="false", help=_help(row))
        elif row.kind.many:
            group.add_argument(
                row.flag, dest=row.name, action="append", metavar="VALUE", help=_help(row, "; repeatable")
            )
        else:
            group.add_argument(row.flag, dest=row.name, metavar="VALUE", help=_help(row))


def flags_from(args: argparse.Namespace) -> dict[str, object]:
    """Return what was given on the command line, by the settings' names."""
    return {row.name: getattr(args, row.name) for row in _WITH_FLAG if getattr(args, row.name) is not None}


def _help(row: Setting, note: str = "") -> str:
    where = f"environment: {row.env}; " if row.name in SETTINGS else ""
    meaning = f"Sets {row.name} to false. {row.help}" if row.kind is SWITCH else row.help
    text = f"{meaning} ({where}default: {show_value(row, row.default)}{note})"
    return text.replace("%", "%%")
