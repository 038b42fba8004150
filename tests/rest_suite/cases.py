"""Reads YAML test files into cases.

The form is described in the README of OpenSearch's ``rest-api-spec/test``: documents named ``setup`` and ``teardown``,
all others are cases; each is a list of steps with one key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.rest_suite.fetch import SuiteError

Step = tuple[str, Any]
"""The step's kind (``do``, ``match``, …) and what is below it."""


@dataclass(frozen=True)
class Case:
    """One test."""

    file: str
    """Relative to the suite's folder."""
    name: str
    setup: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = ()
    teardown: tuple[Step, ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.file} / {self.name}"


class _Loader(yaml.CSafeLoader):
    """YAML as the engines' runner reads it: keys are texts; dates, `on` and `12:30` are texts too."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        return {
            key.value if isinstance(key, yaml.ScalarNode) else str(self.construct_object(key, deep=True)): (
                self.construct_object(value, deep=deep)
            )
            for key, value in node.value
        }

    def whole_mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        """Construct a mapping and all below it."""
        return self.construct_mapping(node, deep=True)


def _plain_resolvers() -> dict[str, Any]:
    plain = yaml.resolver.Resolver.yaml_implicit_resolvers
    left = {"tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"}
    return {first: [pair for pair in pairs if pair[0] in left] for first, pairs in plain.items()}


def _add_scalars() -> None:
    _Loader.yaml_implicit_resolvers = _plain_resolvers()
    for tag, pattern, first in (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?\d+", "-+0123456789"),
        ("float", r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?", "-+.0123456789"),
    ):
        _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), list(first))
    _Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
    _Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))
    _Loader.add_constructor("tag:yaml.org,2002:map", _Loader.whole_mapping)


_add_scalars()


def load_yaml(text: str) -> list[Any]:
    """Return all documents of a text."""
    return list(yaml.load_all(text, Loader=_Loader))


def read_cases(folder: Path, only: str = "") -> list[Case]:
    """Return the cases of all files below a folder, by path.

    Args:
        folder: of the suite's tests.
        only: a part of the path, or several with commas; files without any are left out.

    Raises:
        SuiteError: a file is no YAML or not of the form, or there is none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".yml", ".yaml"))
    parts = only.split(",")
    chosen = [path for path in files if any(part in str(path.relative_to(folder)) for part in parts)]
    cases = [case for path in chosen for case in _read_file(path, folder)]
    if not cases:
        raise SuiteError(f"no tests in {folder}" + (f" whose path has {only!r}" if only else ""))
    return cases


def _read_file(path: Path, folder: Path) -> Iterator[Case]:
    name = str(path.relative_to(folder))
    try:
        documents = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SuiteError(f"{name} is no YAML: {error}") from error
    parts: dict[str, tuple[Step, ...]] = {}
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict):
            raise SuiteError(f"{name}: a document is no mapping of a name to steps")
        for title, steps in document.items():
            parts[title] = tuple(_steps(steps, f"{name} / {title}"))
    setup, teardown = parts.pop("setup", ()), parts.pop("teardown", ())
    for title, steps in parts.items():
        yield Case(name, title, setup, steps, teardown)


def _steps(steps: Any, where: str) -> Iterator[Step]:
    for step in steps or ():
        if not isinstance(step, dict):
            raise SuiteError(f"{where}: {step!r} is no step")
        yield from step.items()
