"""Follows a recipe stage by stage; what is done is kept and found again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedModel

from training import loop, models
from training.corpus import Candidates, Corpus, Fold
from training.engine import EngineCandidates
from training.lists import FieldSets, List, Sources, rescored
from training.measure import Figures, judged_lists, measure
from training.recipe import Recipe, RecipeError, Stage, root
from training.teachers import GeneralTeacher, save_array
from training.texts import PairEncoder

LONGEST = 512
"""Tokens of the longest pair that is measured: as in serving."""


class Run:
    """One run of a recipe over a corpus, in a folder of its own."""

    def __init__(self, recipe: Recipe, corpus: Corpus, folder: Path, bf16: bool = False) -> None:
        """Prepare; nothing is computed yet.

        Args:
            recipe: what to do.
            corpus: what it is done with.
            folder: ``stages/NAME`` holds each stage's model, ``stages/NAME-0`` that of its first fold.
            bf16: compute products in bfloat16.

        Raises:
            RecipeError: a field is in no document, or there are more folds than queries that can be held out.
        """
        _check_data(recipe, corpus)
        self.recipe, self.corpus, self.folder = recipe, corpus, folder
        self._teacher: GeneralTeacher | None = None
        self._digests: dict[str, str] = {}
        self._fields: FieldSets = [(one.fields, one.weight) for one in recipe.fields]
        self._bf16 = bf16
        self._stages = {stage.name: stage for stage in recipe.stages}
        self._data_digest = corpus.digest()

    def follow(self, in_parallel: Callable[[list[str]], None] | None = None) -> None:
        """Do all stages that are not done yet, then write the outputs.

        Args:
            in_parallel: does the models of these names, as `only` takes them, beside each other; None: one by one.
        """
        for stage in self.recipe.stages:
            if stage.models and in_parallel:
                in_parallel([self._folder(stage.name, fold).name for fold in self._folds(stage)])
            for fold in self._folds(stage):
                self._do(stage, fold)
            self._report_folds(stage)
        for name, stage_name in self.recipe.outputs.items():
            target = self.folder / name
            shutil.rmtree(target, ignore_errors=True)  # a name of ours: `read_recipe` lets no path through
            shutil.copytree(self._folder(stage_name, None), target, ignore=shutil.ignore_patterns("done.json"))
            tqdm.write(f"wrote {target}")

    def only(self, name: str) -> None:
        """Do a single model, such as ``labels-2``, whose earlier stages are done."""
        for stage in self.recipe.stages:
            self._digests[stage.name] = self._digest(stage)
            for fold in self._folds(stage):
                if self._folder(stage.name, fold).name == name:
                    self._do(stage, fold)

    def _folds(self, stage: Stage) -> list[Fold | None]:
        return [Fold(number, stage.models, bool(stage.folds)) for number in range(stage.models)] or [None]

    def _folder(self, name: str, fold: Fold | None) -> Path:
        return self.folder / "stages" / (f"{name}-{fold.number}" if fold else name)

    def _models_of(self, name: str) -> list[Path]:
        return [self._folder(name, fold) for fold in self._folds(self._stages[name])]

    def _tokenizer(self, name: str) -> Path:
        """Return the folder of the tokenizer that a stage's model reads with: that of what it started from."""
        return models.tokenizer_folder(root(name, self._stages), self.folder / "stages")

    def _digest(self, stage: Stage) -> str:
        """Return a digest of all that decides a stage: itself, the stages that it uses, seed and data."""
        used = [*stage.average, *stage.teachers, stage.start, stage.shrink.stage if stage.shrink else ""]
        parts = [
            json.dumps(_stated(stage), sort_keys=True),
            json.dumps([self._digests.get(name, name) for name in used]),
            json.dumps([self.recipe.seed, self.recipe.encoder, self._fields, self.recipe.measure]),
            json.dumps(_stated(self.recipe.first_stage)),
            self._data_digest,
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _do(self, stage: Stage, fold: Fold | None) -> None:
        folder, digest = self._folder(stage.name, fold), self._digest(stage)
        self._digests[stage.name] = digest
        done = folder / "done.json"
        if _done(done).get("digest") == digest:
            tqdm.write(f"{folder.name}: done before")
            return
        train, held_out = self.corpus.split(fold)
        model = self._start(stage, fold)
        if not stage.average:
            model = self._train(stage, fold, model, train, held_out, digest)
        done.unlink(missing_ok=True)  # what it stands beside is written anew
        models.save(model, folder, self._tokenizer(stage.name))
        figures = self._measure(model, stage.name, self.corpus, held_out, folder.name)
        part = done.with_suffix(".part")
        part.write_text(json.dumps({"digest": digest, "figures": figures}, indent=1) + "\n")
        os.replace(part, done)
        self._checkpoint(folder.name, digest).unlink(missing_ok=True)

    def _checkpoint(self, name: str, digest: str) -> Path:
        return self.folder / "stages" / f"{name}-{digest}.checkpoint"

    def _start(self, stage: Stage, fold: Fold | None) -> PreTrainedModel:
        dropout = stage.schedule.dropout
        if stage.average:
            return models.average([folder for name in stage.average for folder in self._models_of(name)])
        if stage.shrink:
            larger = models.load(str(self._folder(stage.shrink.stage, None)), dropout)
            return models.shrink(larger, stage.shrink.layers, stage.shrink.intermediate)
        models.set_seed(self.recipe.seed)
        earlier = self._stages.get(stage.start)
        if earlier is None:
            return models.load(stage.start, dropout)
        return models.load(str(self._folder(earlier.name, fold if earlier.models else None)), dropout)

    def _train(
        self,
        stage: Stage,
        fold: Fold | None,
        model: PreTrainedModel,
        train: Sequence[str],
        held_out: Sequence[str],
        digest: str,
    ) -> PreTrainedModel:
        seed = self.recipe.seed + (fold.number if fold else 0)
        name = self._folder(stage.name, fold).name
        lists = self._lists(stage, train, random.Random(f"{seed} {stage.name}"))
        if not lists:
            raise RecipeError(
                f"stage {stage.name!r}: its lists come out empty: judged ones want rankable queries "
                "(data.least_labels), sparse ones queries with fewer labels, the others data.queries or texts"
            )
        if stage.teachers:
            lists = rescored(lists, lambda made: self._ensemble(stage, made))
        pairs = sum(len(entry.ids) for entry in lists)
        tqdm.write(f"{name}: {len(lists)} lists, {pairs} pairs")
        tokenizer = self._tokenizer(stage.name)
        encoder = PairEncoder(tokenizer, stage.schedule.max_tokens)
        served, fields = PairEncoder(tokenizer, LONGEST), self.recipe.measure[0]
        return loop.train(
            model,
            loop.encode(lists, self.corpus, encoder, name),
            stage.schedule,
            seed,
            name,
            self._checkpoint(name, digest),
            (lambda now: judged_lists(now, self.corpus, held_out, fields, served)) if held_out else None,
            self._bf16,
        )

    def _lists(self, stage: Stage, train: Sequence[str], rng: random.Random) -> list[List]:
        if self._teacher is None:
            encoder = models.weights_folder(self.recipe.encoder)
            self._teacher = GeneralTeacher(self.corpus, encoder, self.folder / "stages", self._fields[0][0])
        engine = self.recipe.first_stage
        first_stage: Candidates = self._teacher.index
        if engine:
            first_stage = EngineCandidates(engine.url, engine.index, engine.fields, self.corpus.documents)
        sources = Sources(self.corpus, self._teacher, self._fields, rng, first_stage)
        every = self.corpus.queries
        made: list[List] = []
        for source in stage.lists:
            for _ in range(source.passes):
                some = rng.sample(every, min(source.count or len(every), len(every)))
                if source.kind == "general":
                    made += sources.general(some, source.size)
                elif source.kind == "excluding":
                    made += sources.excluding(some, source.size)
                elif source.kind == "invented":
                    made += sources.invented(source.count or len(self.corpus.documents), source.size)
                elif source.kind == "judged":
                    made += sources.judged(train, source.size, source.found)
                else:
                    made += sources.sparse(rng.sample(train, min(source.count or len(train), len(train))), source.size)
        return made

    def _ensemble(self, stage: Stage, lists: list[List]) -> list[tuple[float, ...]]:
        """Return the mean logits of a stage's teachers for lists, cut as it reads them; kept, since they take long."""
        names, longest = stage.teachers, stage.schedule.max_tokens
        stated = [(one.query, one.ids, str(one.template)) for one in lists]
        asked = [self._digests[name] for name in names], longest, stated
        digest = hashlib.sha256(repr(asked).encode()).hexdigest()[:16]
        kept = self.folder / "stages" / f"teachers-{digest}.npy"
        if not kept.is_file():
            said = []
            for name in names:
                encoder = PairEncoder(self._tokenizer(name), longest)
                pairs = [pair for one in loop.encode(lists, self.corpus, encoder, name) for pair in one.pairs]
                folders = self._models_of(name)
                said += [loop.score(models.load(str(one), 0.0), pairs, one.name, self._bf16) for one in folders]
            save_array(kept, np.mean(said, axis=0))
        mean = iter(np.load(kept).tolist())
        return [tuple(next(mean) for _ in entry.ids) for entry in lists]

    def measure_outputs(self, corpus: Corpus, queries: Sequence[str]) -> dict[str, Any]:
        """Return how each output, written before, ranks queries of a corpus: name -> fields -> `Figures` as JSON."""
        return {
            name: self._measure(models.load(str(self.folder / name), 0.0), stage, corpus, queries, name)
            for name, stage in self.recipe.outputs.items()
        }

    def _measure(
        self, model: PreTrainedModel, stage: str, corpus: Corpus, queries: Sequence[str], name: str
    ) -> dict[str, Any]:
        figures = {}
        for fields in self.recipe.measure if queries else []:
            encoder = PairEncoder(self._tokenizer(stage), LONGEST)
            found = measure(model, corpus, queries, fields, encoder)
            for line in found.lines():
                tqdm.write(f"{name}, {'+'.join(fields)}: {line}")
            figures["+".join(fields)] = found.as_json()
        return figures

    def _report_folds(self, stage: Stage) -> None:
        """Print the figures of all folds together: each query was held out by one of them."""
        if not stage.folds:
            return
        kept = [json.loads((self._folder(stage.name, fold) / "done.json").read_text()) for fold in self._folds(stage)]
        for name in kept[0]["figures"]:
            for line in Figures.of_json([one["figures"][name] for one in kept]).lines():
                tqdm.write(f"{stage.name}, all folds, {name}: {line}")


def _check_data(recipe: Recipe, corpus: Corpus) -> None:
    """Refuse what would train on empty texts, or hold nothing out."""
    there = {name for document in corpus.documents.values() for name, values in document.items() if values}
    for name in dict.fromkeys(
        name for fields in [*(f.fields for f in recipe.fields), *recipe.measure] for name in fields
    ):
        if name not in there:
            raise RecipeError(f"fields: no document has {name!r}; there are {', '.join(sorted(there)) or 'no texts'}")
    rankable = len(corpus.lists())
    for stage in recipe.stages:
        if stage.folds > rankable:
            raise RecipeError(
                f"stage {stage.name!r}: {stage.folds} folds of {rankable} rankable queries, those with "
                f"{corpus.least_labels} labels or more: give fewer folds, or a smaller data.least_labels"
            )


def _done(path: Path) -> dict[str, Any]:
    """Return what a model that is done says of itself; nothing if there is none, or only a part of it."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _stated(value: Any) -> Any:
    """Return a dataclass as plain data without what has its default, so that a new option changes no digest."""
    if isinstance(value, list):
        return [_stated(one) for one in value]
    if not dataclasses.is_dataclass(value):
        return value
    stated = {}
    for one in dataclasses.fields(value):
        held = getattr(value, one.name)
        default = one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default
        if held != default:
            stated[one.name] = _stated(held)
    return stated
