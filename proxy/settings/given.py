"""Reads YAML into values that know where they are written; scalars stay text, so that each setting reads its own.

PyYAML's own types would turn a target ``2024`` into a number and a switch ``off`` into a word that nobody wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from proxy.settings.errors import SettingsError

_TEXT_TAGS = tuple(f"tag:yaml.org,2002:{one}" for one in ("str", "int", "float", "bool", "timestamp"))
_NULL_TAG = "tag:yaml.org,2002:null"
_QUOTE_HINT = "put a value that holds any of { } [ ] * & # or a colon in double quotes"


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody wrote it."""

    place: str
    """``proxy.yaml:7``, ``RERANK_PROXY_LISTEN`` or ``--listen``."""
    value: str | list[Given] | dict[str, Given] | None
    """Text, a list, a mapping, or nothing."""
    folder: Path = Path()
    """What a relative path in it starts from."""


def read_file(path: Path) -> Given:
    """Read a settings file.

    Raises:
        SettingsError: it cannot be read, is no YAML, or gives a key twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError("", str(path), f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}; give --config the path of a YAML file"
        raise SettingsError("", str(path), problem) from None
    return read_yaml(text, str(path), path.parent)


def read_yaml(text: str, source: str, folder: Path) -> Given:
    """Read YAML text; ``source`` is the file or variable that it stands in.

    Raises:
        SettingsError: it is no YAML, or gives a key twice.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise SettingsError("", place, f"is no YAML: {_explained(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise SettingsError("", f"{source}:{line}", f"is no YAML: {error.reason}; remove the character") from None
    except RecursionError:
        raise SettingsError("", source, "is nested too deeply; settings are at most three levels deep") from None
    return Given(f"{source}:1", {}, folder) if node is None else _given(node, source, folder, depth=0)


def _explained(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it cannot be read"
    if "another document" in problem:
        return "a second document begins; keep one"
    if "\\t" in problem:
        return "a tab begins the line or value; indent with spaces"
    return f"{problem}; {_QUOTE_HINT}"


def _given(node: yaml.Node, source: str, folder: Path, depth: int) -> Given:
    place = f"{source}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.ScalarNode):
        if node.tag == _NULL_TAG:
            return Given(place, None, folder)
        if node.tag not in _TEXT_TAGS:
            raise SettingsError("", place, f"the tag {node.tag} is not known; remove it")
        return Given(place, node.value, folder)
    # An alias may stand for the very list that it is in.
    if depth > 4:
        raise SettingsError("", place, "is nested too deeply; settings are at most three levels deep")
    if isinstance(node, yaml.SequenceNode):
        return Given(place, [_given(one, source, folder, depth + 1) for one in node.value], folder)
    entries: dict[str, Given] = {}
    for key, value in node.value:
        key_place = f"{source}:{key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise SettingsError(
                "", key_place, "a name is no list or mapping; write name: value, texts with braces in quotes"
            )
        if key.value in entries:
            first = entries[key.value].place.rpartition(":")[2]
            problem = f"is given twice, first in line {first}; keep one"
            raise SettingsError(key.value, key_place, problem)
        read = _given(value, source, folder, depth + 1)
        entries[key.value] = Given(key_place, read.value, folder)
    return Given(place, entries, folder)
