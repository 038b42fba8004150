"""Model folders are found by name, and a failing model is loaded anew after a while."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy.scorer import models
from proxy.scorer.dummy import DummyModel
from proxy.scorer.models import ModelNotFound, ModelState, find_model, one_line, probe
from proxy.scorer.types import PairModel, Segment


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir(parents=True)
    (parent / name / "model.onnx").touch()
    return parent / name


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "BUNDLED_FOLDERS", (tmp_path / "bundled", tmp_path / "checkout"))
    return tmp_path / "bundled"


def test_a_name_is_looked_up_in_the_bundled_folders(bundled: Path, tmp_path: Path) -> None:
    base = folder(bundled, "base")
    assert find_model("base") == base
    large = folder(tmp_path / "checkout", "large")
    assert find_model("large") == large


def test_ones_own_folder_comes_first(bundled: Path, tmp_path: Path) -> None:
    folder(bundled, "base")
    own = folder(tmp_path / "own", "base")
    assert find_model("base", tmp_path / "own") == own


def test_a_path(bundled: Path, tmp_path: Path) -> None:
    path = folder(tmp_path / "else", "where")
    assert find_model(str(path)) == path
    assert find_model("else/where") == Path("else/where")
    here = folder(tmp_path, "here")
    assert find_model("here").resolve() == here


def test_not_found_says_where_was_looked_and_what_there_is(bundled: Path, tmp_path: Path) -> None:
    folder(bundled, "base")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFound) as error:
        find_model("empty", tmp_path / "own")
    text = str(error.value)
    assert "no model 'empty'" in text
    assert str(tmp_path / "own" / "empty") in text
    assert text.endswith("bundled: base")
    assert "\n" not in text


class Loader:
    """Does in turn what it is told: raises, or gives a model."""

    def __init__(self, *results: BaseException | PairModel) -> None:
        self.results = list(results)

    def __call__(self) -> PairModel:
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(models, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.mark.parametrize(
    "error", [ValueError("no\n  such file"), SystemExit("no such file"), KeyboardInterrupt("no such file")]
)
def test_whatever_loading_raises_is_kept_as_one_line(error: BaseException) -> None:
    model = DummyModel()
    state = ModelState("base", Loader(error, model))
    state.load()
    assert state.model is None
    assert state.error == "cannot be loaded: no such file"
    state.load()
    assert state.model is model
    assert state.error is None


def test_the_time_to_the_next_try_doubles_up_to_a_minute(clock: list[float]) -> None:
    state = ModelState("base", Loader(*[OSError("x")] * 9))
    waits = []
    for _ in range(9):
        state.load()
        waits.append(state.retry_at - clock[0])
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_failing_pairs_do_not_put_it_off(clock: list[float]) -> None:
    state = ModelState("base", Loader(DummyModel(), DummyModel(), DummyModel()))
    state.load()
    for _ in range(100):
        state.note_failure("it gave nan")
    assert (state.failures, state.error) == (100, "it gave nan")
    assert state.retry_at == clock[0] + 1
    # loaded but still failing: the next try is later
    state.load()
    state.note_failure("it gave nan")
    assert state.retry_at == clock[0] + 2
    # a score starts it all anew
    state.note_success()
    assert (state.failures, state.error) == (0, None)
    state.load()
    assert state.retry_at == clock[0] + 1


def test_probe() -> None:
    assert probe(DummyModel()) is None
    assert probe(DummyModel(fault=lambda query, text: math.nan)) == "it gave nan for a pair"

    def fail(query: str, text: str) -> float:
        raise SystemExit

    assert probe(DummyModel(fault=fail)) == "SystemExit"


def test_one_line() -> None:
    assert one_line(ValueError(" a\n b ")) == "a b"
    assert one_line(ValueError()) == "ValueError"


def test_the_dummy_model() -> None:
    model = DummyModel()
    document = (Segment("red shoes for men", 2), Segment(" size 42"))
    assert model.visible_text("q", document, 3) == "red shoes size"
    both, none = model.score("red shoes", document, 128), model.score("blue boots", document, 128)
    assert both == model.score("red shoes", document, 128)
    assert 4 <= both < 5
    assert -4 <= none < -3
