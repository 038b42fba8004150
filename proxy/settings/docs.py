"""Writes the reference page ``docs/settings.md`` from the table: ``python -m proxy.settings.docs``."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from proxy.settings.table import CONFIG_ENV, ENV_PREFIX, PRECEDENCE, RULE_KEYS, SETTINGS, Setting, show_value

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "settings.md"

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./:]*")

_INTRODUCTION = f"""\
# Settings

<!-- Made from proxy/settings/table.py by `python -m proxy.settings.docs`; change that, not this page. -->

Settings come from one YAML file (`rerank-proxy serve --config FILE`, or the variable `{CONFIG_ENV}`), from
environment variables, and, the common ones, from flags.
{PRECEDENCE}

- A wrong or unknown setting stops the start with one line that names it, the place where it is written, and what to
  write. `rerank-proxy check`, with the same flags, reads the settings, shows them and stops.
- Units stand in the names: `_ms`, `_s`, `_bytes`. Bytes may also be written as `32MB` (32,000,000) or `32MiB`
  (33,554,432).
- Relative paths in the file start from the file's folder, all others from the current one.
- An environment variable that is empty counts as not set.
- Quote a value that begins with one of `*`, `-`, `{{` or `[`: they mean something else in YAML.
"""

_RULES = f"""\
## Rules

Each entry of `rules` has these keys; all may be left out. The first rule whose `target` fits a search counts, and a
search that none fits is forwarded as it is. The flags change the built-in rule, the one that there is without `rules`,
and are refused beside rules of one's own. In the environment all rules are one text, `{ENV_PREFIX}RULES`, in YAML or
JSON.
"""

_EXAMPLE = """\
## A whole file

All settings with their defaults; those behind a `#` have none, and the rule is an example.
"""


def page() -> str:
    """Return the text of the reference page."""
    blocks = [_INTRODUCTION]
    for group, rows in groupby(SETTINGS.values(), key=lambda row: row.group):
        blocks.append(f"## {group}\n\n{_table(rows, with_env=True)}")
    blocks.append(f"{_RULES}\n{_table(RULE_KEYS.values(), with_env=False)}")
    blocks.append(f"{_EXAMPLE}\n```yaml\n{example()}```\n")
    return "\n".join(blocks)


def _table(rows: Iterable[Setting], with_env: bool) -> str:
    columns = ["name", "value", "default", "flag", *(["environment"] if with_env else []), "meaning"]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for row in rows:
        default = show_value(row, row.default)
        cells = [
            f"`{row.name}`",
            row.kind.accepts,
            default if row.default is None or row.name == "rules" else f"`{default}`",
            f"`{row.flag}`" if row.flag else "",
            *([f"`{row.env}`"] if with_env else []),
            row.help,
        ]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def example() -> str:
    """Return a settings file with every setting, each under a comment that says what it is."""
    lines: list[str] = []
    for row in SETTINGS.values():
        lines += _comment(row.help, "")
        if row.name == "rules":
            lines.append("rules:")
            for position, key in enumerate(RULE_KEYS.values()):
                lines += _comment(key.help, "    " if position else "  ")
                # A text is what most rules have; what else is off by default is only shown.
                off = "# " if key.optional and key.name != "text" else ""
                value = show_value(key, key.default) if key.kind.many else key.example
                lines.append(f"  {' ' if position else '-'} {off}{key.name}: {_written(value)}")
        elif row.kind.many:
            lines.append(f"{row.name}: [{_written(row.example)}]")
        elif row.optional:
            lines.append(f"# {row.name}: {_written(row.example)}")
        else:
            lines.append(f"{row.name}: {_written(show_value(row, row.default))}")
        lines.append("")
    return "\n".join(lines)


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _written(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else f'"{text}"'


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
