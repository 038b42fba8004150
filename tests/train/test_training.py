"""The trainer: what it feeds a model is what serving feeds it; it learns, resumes and repeats itself."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
HAS_TRAIN = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "onnx", "optimum"))

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(not HAS_TRAIN, reason="the extra `train` is not installed"),
    pytest.mark.filterwarnings("ignore"),  # torch and its companions warn on import
]

TinyModel = Callable[[int], Path]
COLOURS, THINGS = ["red", "blue", "green", "black", "white"], ["lamp", "shoe", "desk", "mug", "bag"]


def write_data(folder: Path) -> None:
    """Every colour of every thing, judged for each: exact where both fit, a substitute where the thing fits."""
    products = [
        {
            "id": f"{colour}-{thing}-{i}",
            "title": f"{thing} {i} {colour}" + (" with lid" if i % 2 else ""),
            "brand": "acme",
        }
        for colour in COLOURS
        for thing in THINGS
        for i in range(3)
    ]
    (folder / "products.jsonl").write_text("".join(json.dumps(product) + "\n" for product in products))
    judgements = [
        {
            "query": f"{colour} {thing}",
            "labels": {
                product["id"]: "E"
                if product["id"].startswith(f"{colour}-{thing}")
                else "S"
                if thing in product["id"]
                else "I"
                for product in products
            },
        }
        for colour in COLOURS
        for thing in THINGS
    ]
    (folder / "judgements.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in judgements))
    (folder / "queries.txt").write_text(
        "".join(f"{thing} {extra}\n" for thing in THINGS for extra in ("cheap", "without lid", "no lid", "white"))
    )
    (folder / "left_out.jsonl").write_text(json.dumps({"query": "LAMP red"}) + "\n")


def write_recipe(folder: Path, start: Path, **changes: Any) -> Path:
    recipe: dict[str, Any] = {
        "seed": 3,
        "encoder": str(start),
        "data": {
            "judgements": [
                {
                    "format": "labels",
                    "labels": str(folder / "judgements.jsonl"),
                    "products": str(folder / "products.jsonl"),
                }
            ],
            "queries": str(folder / "queries.txt"),
            "leave_out": [str(folder / "left_out.jsonl")],
        },
        "fields": [{"fields": ["title"], "weight": 2}, {"fields": ["title", "brand"]}],
        "stages": [
            {
                "name": "labels",
                "start": str(start),
                "folds": 2,
                "lists": [{"kind": "judged", "size": 5}, {"kind": "excluding", "size": 4}],
                "schedule": {"rate": 1e-3, "ema": 0.9},
            },
            {
                "name": "polish",
                "start": "labels",
                "folds": 2,
                "lists": [{"kind": "judged", "size": 15, "found": 2}],
            },
            {"name": "base", "average": ["polish"]},
            {
                "name": "small",
                "shrink": {"stage": "base", "layers": [0], "intermediate": 64},
                "teachers": ["labels"],
                "lists": [{"kind": "general", "size": 5}],
            },
        ],
        "outputs": {"base": "base", "small": "small"},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe | changes))
    return path


def run(recipe: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "train.py"), str(recipe), "--out", str(out), "--threads", "1", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)


@pytest.fixture(scope="module")
def finished(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Return a recipe that was followed to its end, the folder, and what was printed."""
    folder = tmp_path_factory.mktemp("data")
    write_data(folder)
    recipe = write_recipe(folder, tiny_model(1))
    done = run(recipe, folder / "out", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    return recipe, folder / "out", done.stdout + done.stderr


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def test_a_recipe_gives_its_models_and_the_figures_of_all_folds(finished: tuple[Path, Path, str]) -> None:
    _, out, said = finished
    for name, layers in (("base", 2), ("small", 1)):
        config = json.loads((out / name / "config.json").read_text())
        assert config["num_hidden_layers"] == layers
        assert (out / name / "tokenizer.json").is_file()
    assert json.loads((out / "small" / "config.json").read_text())["intermediate_size"] == 64
    assert "labels, all folds, title: judged lists, 24 queries" in said  # 25 are judged; one is left out
    first, second = (weights(out / "stages" / f"polish-{fold}") for fold in (0, 1))
    for name, value in weights(out / "base").items():
        np.testing.assert_allclose(value, (first[name] + second[name]) / 2, atol=1e-6, err_msg=name)
    assert any(not np.array_equal(first[name], second[name]) for name in first)


def test_what_is_done_is_not_done_again(finished: tuple[Path, Path, str]) -> None:
    recipe, out, _ = finished
    before = (out / "stages" / "labels-0" / "model.safetensors").stat().st_mtime_ns
    again = run(recipe, out)
    assert again.returncode == 0, again.stderr
    assert "labels-0: done before" in again.stdout + again.stderr
    assert (out / "stages" / "labels-0" / "model.safetensors").stat().st_mtime_ns == before


def test_another_seed_does_it_again_and_the_same_seed_gives_the_same(
    finished: tuple[Path, Path, str], tmp_path: Path
) -> None:
    recipe, out, _ = finished
    raw = yaml.safe_load(recipe.read_text())
    raw["stages"] = raw["stages"][:3]
    raw["outputs"] = {"base": "base"}
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text(yaml.safe_dump(raw))
    other.write_text(yaml.safe_dump(raw | {"seed": 4}))
    for path in (same, other):
        done = run(path, tmp_path / path.stem)
        assert done.returncode == 0, done.stderr
    kept = weights(out / "base")
    for name, value in weights(tmp_path / "same" / "base").items():
        np.testing.assert_array_equal(value, kept[name], err_msg=name)
    changed = weights(tmp_path / "other" / "base")
    assert any(not np.array_equal(changed[name], kept[name]) for name in kept)


def corpus_of(folder: Path, tiny: Path) -> Any:
    from training.data import read_corpus
    from training.recipe import read_recipe

    write_data(folder)
    return read_corpus(read_recipe(write_recipe(folder, tiny)).data)


def encoded_lists(corpus: Any, tiny: Path) -> Any:
    from training.lists import Sources
    from training.loop import encode
    from training.teachers import GeneralTeacher
    from training.texts import PairEncoder

    teacher = GeneralTeacher(corpus, str(tiny), tiny, ("title",))
    sources = Sources(corpus, teacher, [(("title",), 1.0)], random.Random(5), teacher.index)
    lists = sources.judged(list(corpus.judged), 5) + sources.excluding(corpus.queries, 4)
    assert any(entry.gains for entry in lists)
    assert any(entry.logits for entry in lists)
    return encode(lists, corpus, PairEncoder(tiny, 64), "test")


def whole_loss(model: Any, lists: Any, schedule: Any) -> float:
    import torch

    from training import loop, models
    from training.texts import as_batch

    with torch.no_grad():
        said = models.logits(model.eval(), as_batch([pair for one in lists for pair in one.pairs]))
        return float(loop.loss(said, [one.entry for one in lists], schedule))


def test_what_is_left_out_is_never_trained_on(tiny_model: TinyModel, tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, tiny_model(1))
    assert "red lamp" not in corpus.judged  # "LAMP red" is left out: the same words
    assert "blue lamp" in corpus.judged
    from training.corpus import Fold

    train, held_out = corpus.split(Fold(0, 2))
    assert held_out
    assert not set(train) & set(held_out)
    assert set(train) | set(held_out) == set(corpus.judged)


def test_training_learns_and_a_killed_run_goes_on_to_the_same_weights(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import loop, models

    tiny = tiny_model(1)
    lists = encoded_lists(corpus_of(tmp_path, tiny), tiny)[-90:]  # with labels, and with a teacher
    schedule = loop.Schedule(rate=2e-3, ema=0.9, dropout=0.1, epochs=2)
    before = whole_loss(models.load(str(tiny), 0.0), lists, schedule)
    whole = loop.train(models.load(str(tiny), 0.1), lists, schedule, 7, "whole")
    assert whole_loss(whole, lists, schedule) < 0.8 * before

    monkeypatch.setattr(loop, "_CHECKPOINT_S", -1.0)  # after each step
    calls = 0
    step = loop._State.step

    def dies(state: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise KeyboardInterrupt
        step(state)

    monkeypatch.setattr(loop._State, "step", dies)
    kept = tmp_path / "killed.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        loop.train(models.load(str(tiny), 0.1), lists, schedule, 7, "killed", kept)
    assert kept.is_file()
    monkeypatch.setattr(loop._State, "step", step)
    resumed = loop.train(models.load(str(tiny), 0.1), lists, schedule, 7, "resumed", kept)
    assert kept.is_file()  # of the end: whoever is killed before it has saved the model trains nothing again
    steps = loop._State.step
    monkeypatch.setattr(loop._State, "step", lambda state: pytest.fail("trained again"))
    again = loop.train(models.load(str(tiny), 0.1), lists, schedule, 7, "again", kept)
    monkeypatch.setattr(loop._State, "step", steps)
    for (name, value), other, last in zip(
        whole.state_dict().items(), resumed.state_dict().values(), again.state_dict().values(), strict=True
    ):
        np.testing.assert_allclose(other.numpy(), value.numpy(), atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(last.numpy(), other.numpy(), err_msg=name)


def test_steps_have_few_shapes_and_the_same_logits(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from training import loop, models
    from training.texts import as_batch

    tiny = tiny_model(1)
    lists = encoded_lists(corpus_of(tmp_path, tiny), tiny)[-90:]
    model, longest = models.load(str(tiny), 0.0).eval(), max(len(pair.ids) for one in lists for pair in one.pairs)
    plain, shapes = models.logits, []

    def logits(model: Any, batch: Any) -> Any:
        shapes.append(batch["input_ids"].shape)
        return plain(model, batch)

    monkeypatch.setattr(models, "logits", logits)
    for one in lists:
        with torch.no_grad():
            filled, alone = loop._logits(model, one.pairs, longest), plain(model, as_batch(one.pairs))
        np.testing.assert_allclose(filled.numpy(), alone.numpy(), atol=1e-5)
    loop.train(model, lists, loop.Schedule(max_tokens=longest), 7, "few")
    assert len(shapes) > len(lists)
    assert all(pairs % 8 == 0 and (tokens % 16 == 0 or tokens == longest) for pairs, tokens in shapes)


def test_early_stopping_returns_the_best_weights_that_were_measured(tiny_model: TinyModel, tmp_path: Path) -> None:
    from training import loop, models

    tiny = tiny_model(1)
    lists = encoded_lists(corpus_of(tmp_path, tiny), tiny)
    figures = iter([0.5, 0.9, 0.8, 0.7, 1.0])
    seen = []

    def measure(model: Any) -> float:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(figures)

    schedule = loop.Schedule(rate=1e-3, early_stop_steps=2, patience=2)
    model = loop.train(models.load(str(tiny), 0.0), lists, schedule, 7, "early", measure=measure)
    assert len(seen) == 4  # 0.9 was the best; two worse ones end it
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), seen[1][name].numpy(), err_msg=name)


def test_the_first_token_alone_gives_the_logits_of_the_whole_model(tiny_model: TinyModel) -> None:
    import torch

    from proxy.scorer.types import Segment
    from training import models
    from training.texts import PairEncoder, as_batch

    tiny = tiny_model(1)
    encoder = PairEncoder(tiny, 64)
    pairs = [("red", "a red shoe"), ("usb cable", "a very much longer text about a cable with two ends"), ("x", "")]
    batch = as_batch([encoder.encode(query, (Segment(text),)) for query, text in pairs])
    model = models.load(str(tiny), 0.0).eval()
    with torch.no_grad():
        whole = model(**{name: torch.from_numpy(values) for name, values in batch.items()}).logits[:, 0]
        np.testing.assert_allclose(models.logits(model, batch).numpy(), whole.numpy(), atol=1e-5)
        with models.products(model, True):
            np.testing.assert_allclose(models.logits(model, batch).numpy(), whole.numpy(), atol=0.1)


def test_a_smaller_model_has_the_layers_and_the_strongest_neurons_of_the_larger(tiny_model: TinyModel) -> None:
    from training import models

    model = models.load(str(tiny_model(1)), 0.0)
    dense = model.bert.encoder.layer[1].intermediate.dense
    dense.weight.data[5] *= 100
    smaller = models.shrink(model, [1], 16)
    kept = smaller.bert.encoder.layer[0]
    assert kept.intermediate.dense.weight.shape == (16, 64)
    assert (kept.intermediate.dense.weight == dense.weight[5]).all(dim=1).any()
    assert (kept.attention.self.query.weight == model.bert.encoder.layer[1].attention.self.query.weight).all()
    assert (smaller.classifier.weight == model.classifier.weight).all()
    with pytest.raises(models.StartError, match="layers"):
        models.shrink(model, [2], 16)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"seeds": 3}, "unknown key 'seeds'"),
        ({"seed": "three"}, "seed: expected int"),
        ({"outputs": {"base": "nothing"}}, "'nothing' is no stage"),
        ({"stages": [{"name": "a", "average": ["b"]}]}, "'b' is no stage before it"),
        ({"stages": [{"name": "a", "start": "x", "lists": [{"kind": "odd"}]}]}, "'odd' is no kind of list"),
        ({"stages": [{"name": "a", "start": "x"}]}, "no lists"),
        ({"stages": [{"name": "a", "lists": [{"kind": "judged"}]}]}, "exactly one of start, shrink and average"),
        ({"encoder": "${SURELY_NOT_SET}"}, "SURELY_NOT_SET is not set"),
        ({"data": {"judgements": [{"format": "labels", "labels": "gone.jsonl", "products": "x"}]}}, "gone.jsonl"),
        ({"outputs": {"../../elsewhere": "base"}}, "outputs: '../../elsewhere': a name is"),
        ({"outputs": {"stages": "base"}}, "outputs: 'stages': a name is"),
        ({"outputs": {"base": "labels"}}, "one model a fold"),
        (
            {"stages": [{"name": "a", "start": "x", "folds": 2, "seeds": 2, "lists": [{"kind": "judged"}]}]},
            "at least 2, and no folds beside them",
        ),
        (
            {
                "stages": [
                    {"name": "a", "start": "x", "seeds": 3, "lists": [{"kind": "general"}]},
                    {"name": "b", "start": "a", "seeds": 2, "lists": [{"kind": "general"}]},
                ]
            },
            "starts from the 3 seeds of 'a'",
        ),
        (
            {"stages": [{"name": "a", "start": "x", "folds": 1, "lists": [{"kind": "judged"}]}]},
            "folds: 0, or at least 2",
        ),
        ({"stages": [{"name": "a", "start": "x", "lists": [{"kind": "sparse", "size": 2}]}]}, "size is 2; at least 3"),
        ({"fields": []}, "at least one set of fields"),
        ({"fields": [{"fields": []}]}, "fields[0]: at least one field"),
        (
            {
                "stages": [
                    {"name": "a", "start": "x", "lists": [{"kind": "judged"}]},
                    {"name": "b", "start": "a", "folds": 2, "lists": [{"kind": "judged"}]},
                ]
            },
            "'a' has learnt already",
        ),
        (
            {
                "stages": [
                    {"name": "a", "start": "x", "lists": [{"kind": "judged"}], "schedule": {"early_stop_steps": 5}}
                ]
            },
            "wants something held out",
        ),
        (
            {
                "stages": [
                    {"name": "a", "start": "x", "lists": [{"kind": "general"}]},
                    {"name": "b", "start": "y", "lists": [{"kind": "general"}]},
                    {"name": "c", "average": ["a", "b"]},
                ]
            },
            "started from the same weights",
        ),
    ],
)
def test_a_bad_recipe_is_one_line(tiny_model: TinyModel, tmp_path: Path, changes: dict[str, Any], wanted: str) -> None:
    done = run(write_recipe(tmp_path, tiny_model(1), **changes), tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert wanted in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"fields": [{"fields": ["name"]}]}, "no document has 'name'; there are brand, title"),
        ({"measure": [["title", "price"]]}, "no document has 'price'"),
        (
            {"stages": [{"name": "a", "start": "x", "folds": 30, "lists": [{"kind": "judged"}]}]},
            "30 folds of 24 rankable",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_its_data_is_refused_before_anything_is_trained(
    tiny_model: TinyModel, tmp_path: Path, changes: dict[str, Any], wanted: str
) -> None:
    write_data(tmp_path)
    done = run(write_recipe(tmp_path, tiny_model(1), **({"outputs": {}} | changes)), tmp_path / "out")
    assert done.returncode == 1
    assert wanted in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_lists_that_come_out_empty_are_an_error(tiny_model: TinyModel, tmp_path: Path) -> None:
    write_data(tmp_path)
    stages = [{"name": "a", "start": str(tiny_model(1)), "lists": [{"kind": "sparse", "size": 4}]}]
    done = run(write_recipe(tmp_path, tiny_model(1), stages=stages, outputs={}), tmp_path / "out")
    assert done.returncode == 1
    assert "its lists come out empty" in done.stderr.splitlines()[-1]


def test_labels_that_change_are_trained_on_anew(tiny_model: TinyModel, tmp_path: Path) -> None:
    tiny = tiny_model(1)
    write_data(tmp_path)
    stages = [{"name": "a", "start": str(tiny), "lists": [{"kind": "judged", "size": 10}]}]
    recipe = write_recipe(tmp_path, tiny, stages=stages, outputs={"a": "a"})
    first = run(recipe, tmp_path / "out")
    assert first.returncode == 0, first.stderr
    before = weights(tmp_path / "out" / "a")
    labels = tmp_path / "judgements.jsonl"
    labels.write_text(labels.read_text().replace('"E"', '"X"').replace('"I"', '"E"').replace('"X"', '"I"'))
    second = run(recipe, tmp_path / "out")
    assert second.returncode == 0, second.stderr
    assert "done before" not in second.stdout + second.stderr
    after = weights(tmp_path / "out" / "a")
    assert any(not np.array_equal(after[name], before[name]) for name in before)


def test_models_of_several_seeds_have_all_labels_and_teach_together(tiny_model: TinyModel, tmp_path: Path) -> None:
    tiny = tiny_model(1)
    write_data(tmp_path)
    stages = [
        {"name": "labels", "start": str(tiny), "seeds": 2, "lists": [{"kind": "judged", "size": 10}]},
        {"name": "mean", "average": ["labels"]},
        {"name": "one", "start": "mean", "teachers": ["labels"], "lists": [{"kind": "general", "size": 4}]},
    ]
    done = run(write_recipe(tmp_path, tiny, stages=stages, outputs={"one": "one"}), tmp_path / "out", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "all folds" not in said  # nothing is held out, so nothing is measured
    counts = {line.split(": ")[1] for line in said.splitlines() if line.startswith("labels-") and " lists, " in line}
    assert len(counts) == 1
    first, second = (weights(tmp_path / "out" / "stages" / f"labels-{seed}") for seed in (0, 1))
    assert any(not np.array_equal(first[name], second[name]) for name in first)
    mean = weights(tmp_path / "out" / "stages" / "mean")
    for name, value in mean.items():
        np.testing.assert_allclose(value, (first[name] + second[name]) / 2, atol=1e-6, err_msg=name)
    assert any(not np.array_equal(value, mean[name]) for name, value in weights(tmp_path / "out" / "one").items())


def test_two_runs_do_not_write_one_folder(tiny_model: TinyModel, tmp_path: Path) -> None:
    import fcntl

    write_data(tmp_path)
    recipe, out = write_recipe(tmp_path, tiny_model(1)), tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run(recipe, out)
    assert done.returncode == 1
    assert "another run" in done.stderr
    assert not (out / "stages").exists()


def test_a_model_reads_with_the_tokenizer_of_what_it_started_from(tiny_model: TinyModel, tmp_path: Path) -> None:
    from transformers import BertTokenizerFast

    encoder = tiny_model(1)
    start = tiny_model(1)
    words = (start / "vocab.txt").read_text().split("\n")[:-1]
    (tmp_path / "vocab.txt").write_text("\n".join([*words[:5], *reversed(words[5:])]) + "\n")
    BertTokenizerFast(str(tmp_path / "vocab.txt"), model_max_length=96).save_pretrained(start)
    assert (start / "tokenizer.json").read_text() != (encoder / "tokenizer.json").read_text()
    write_data(tmp_path)
    stages = [
        {"name": "a", "start": str(start), "folds": 2, "lists": [{"kind": "judged", "size": 15}]},
        {"name": "b", "average": ["a"]},
    ]
    done = run(write_recipe(tmp_path, encoder, stages=stages, outputs={"b": "b"}), tmp_path / "out")
    assert done.returncode == 0, done.stderr
    vocabulary = json.loads((tmp_path / "out" / "b" / "tokenizer.json").read_text())["model"]["vocab"]
    assert vocabulary == json.loads((start / "tokenizer.json").read_text())["model"]["vocab"]


def test_weights_decide_how_much_each_label_counts() -> None:
    import torch

    from training.lists import List
    from training.loop import Schedule, loss
    from training.texts import template_of

    template = template_of(("title",))

    def of(weights: tuple[float, ...] | None) -> float:
        entry = List("lamp", ("a", "b"), template, (1.0, 0.0), None, weights)
        return float(loss(torch.tensor([0.5, -1.0]), [entry], Schedule(listwise=0.0)))

    both = of(None)
    assert of((1.0, 1.0)) == pytest.approx(both)
    assert of((0.1, 0.1)) == pytest.approx(both / 10)
    assert of((1.0, 0.0)) + of((0.0, 1.0)) == pytest.approx(both)


def test_an_unjudged_document_counts_no_more_than_the_label_beside_it() -> None:
    from training.corpus import Corpus
    from training.lists import Sources

    documents = {name: {"title": (f"lamp {name}",)} for name in "abcdefgh"}
    corpus = Corpus(
        documents, {"lamp": {"a": 1.0}}, weights={("lamp", "a"): 0.02}, spared={"lamp": {"b", "c"}}, least_labels=5
    )

    class Engine:
        def find(self, query: str, count: int) -> list[str]:
            return list(documents)[:4]

    sources = Sources(corpus, None, [(("title",), 1.0)], random.Random(3), Engine())  # type: ignore[arg-type]
    for _ in range(20):
        [made] = sources.sparse(["lamp"], 4)
        assert made.weights == (0.02,) * len(made.ids)
        assert not {"b", "c"} & set(made.ids)  # clicked, if too rarely to be judged


def test_products_in_bf16_learn_too(tiny_model: TinyModel, tmp_path: Path) -> None:
    from training import loop, models

    tiny = tiny_model(1)
    lists = encoded_lists(corpus_of(tmp_path, tiny), tiny)[-60:]
    schedule = loop.Schedule(rate=2e-3)
    before = whole_loss(models.load(str(tiny), 0.0), lists, schedule)
    plain = loop.train(models.load(str(tiny), 0.0), lists, schedule, 7, "float")
    model = loop.train(models.load(str(tiny), 0.0), lists, schedule, 7, "bf16", bf16=True)
    assert whole_loss(model, lists, schedule) < 0.9 * before
    assert all(value.dtype.itemsize >= 4 for value in model.state_dict().values())
    assert any((a != b).any() for a, b in zip(plain.state_dict().values(), model.state_dict().values(), strict=True))


def test_the_recipes_that_are_shown_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    from training.recipe import read_recipe

    monkeypatch.setenv("ESCI_DIR", str(tmp_path))
    page = (SCRIPTS.parent / "docs" / "model.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert blocks
    for place, block in enumerate(blocks):
        path = tmp_path / f"{place}.yaml"
        path.write_text(block)
        assert read_recipe(path).outputs
    assert read_recipe(SCRIPTS / "recipes" / "bundled.yaml").outputs
