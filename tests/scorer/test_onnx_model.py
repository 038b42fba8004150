"""The ONNX pair model on the bundled weights: what is cut, what a score depends on, what a folder must hold."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from proxy.scorer.onnx_model import ModelError, OnnxPairModel, fingerprint, load_model
from proxy.scorer.types import Document, Segment
from tests.scorer.asked import Asked

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "onnx_models" / "base"
QUERY = "phone case without card holder"
PAIRS = [
    (QUERY, "Slim silicone phone case, matte black, no wallet"),
    (QUERY, "Leather wallet phone case with three card slots"),
    ("red running shoes", "Men's running shoe, red, size 42"),
    ("red running shoes", ""),
    ("", "Men's running shoe, red, size 42"),
    ("", ""),
    ("größe 42 スニーカー", "👟 ταχύς"),
]


@pytest.fixture(scope="module")
def model() -> OnnxPairModel:
    return load_model(BUNDLED, "base")


def document(*texts: str) -> Document:
    return tuple(Segment(text) for text in texts)


def score(model: OnnxPairModel, query: str, text: str, tokens: int = 128) -> float:
    return model.score(query, document(text), tokens)


class Echo:
    """A session that keeps what it is fed and gives a fixed output."""

    def __init__(self, output: object = ((0.5,),)) -> None:
        self.output = np.array(output, dtype=np.float32)
        self.fed: dict[str, list[int]] = {}

    def run(self, output_names: object, input_feed: object) -> list[object]:
        assert isinstance(input_feed, dict)
        self.fed = {name: values[0].tolist() for name, values in input_feed.items()}
        assert all(values.shape[0] == 1 and values.dtype == np.int64 for values in input_feed.values())
        return [self.output]


def echo_model(
    output: object = ((0.5,),), max_tokens: int = 64, token_types: bool = True
) -> tuple[OnnxPairModel, Echo]:
    session = Echo(output)
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if token_types else [])]
    tokenizer = Tokenizer.from_file(str(BUNDLED / "tokenizer.json"))
    tokenizer.enable_truncation(8)  # must be switched off by the model
    tokenizer.enable_padding(length=32)
    return OnnxPairModel(session, dict.fromkeys(names, np.int64), tokenizer, max_tokens, "echo"), session


# --- a pair's score is its own ---------------------------------------------------------------------------------------


def test_a_score_is_the_same_alone_and_among_threads(model: OnnxPairModel) -> None:
    alone = [score(model, query, text) for query, text in PAIRS]
    with ThreadPoolExecutor(8) as pool:
        among = list(pool.map(lambda number: score(model, *PAIRS[number % len(PAIRS)]), range(20 * len(PAIRS))))
    for number, logit in enumerate(among):
        assert logit == pytest.approx(alone[number % len(PAIRS)], abs=1e-5)


def test_a_second_load_gives_the_same_scores_and_fingerprint(model: OnnxPairModel) -> None:
    again = load_model(BUNDLED, "base")
    assert again.fingerprint == model.fingerprint == fingerprint(BUNDLED)
    assert [score(again, *pair) for pair in PAIRS] == pytest.approx([score(model, *pair) for pair in PAIRS], abs=1e-5)


# --- cuts ------------------------------------------------------------------------------------------------------------


def test_each_segment_is_cut_to_its_tokens_and_the_whole_to_the_documents(model: OnnxPairModel) -> None:
    text = (Segment("red running shoe", 2), Segment(" "), Segment("size forty two and more", 3), Segment(" end"))
    assert model.visible_text("q", text, 128) == "red running size forty two end"
    assert model.visible_text("q", text, 4) == "red running size forty"
    assert model.visible_text("q", text, 0) == ""
    assert model.visible_text("q", (Segment("all of it ", 3), Segment("  kept ")), 128) == "all of it   kept "


def test_what_is_cut_does_not_count_and_what_is_visible_does(model: OnnxPairModel) -> None:
    text = (Segment("red running shoe with laces", 3), Segment(" size 42"))
    visible = model.visible_text(QUERY, text, 5)
    assert visible == "red running shoe size 42"
    assert model.score(QUERY, text, 5) == pytest.approx(score(model, QUERY, visible), abs=1e-5)
    assert abs(model.score(QUERY, text, 5) - score(model, QUERY, "red running")) > 1e-4


def test_a_word_of_several_tokens_may_be_cut_within(model: OnnxPairModel) -> None:
    word = "unbelievablylongbrandname"
    assert word.startswith(visible := model.visible_text("q", (Segment(word, 2),), 128))
    assert 0 < len(visible) < len(word)


def test_the_pair_is_built_as_the_tokenizers_post_processor_says() -> None:
    model, session = echo_model()
    model.score("red shoe", document("blue shoe"), 128)
    wanted = Tokenizer.from_file(str(BUNDLED / "tokenizer.json")).encode("red shoe", "blue shoe")
    assert session.fed == {
        "input_ids": wanted.ids,
        "attention_mask": wanted.attention_mask,
        "token_type_ids": wanted.type_ids,
    }


def test_only_the_inputs_that_the_graph_declares_are_fed() -> None:
    model, session = echo_model(token_types=False)
    model.score("a", document("b"), 8)
    assert set(session.fed) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(("query_words", "query_kept", "document_kept"), [(10, 10, 51), (32, 32, 29), (50, 32, 29)])
def test_the_query_is_cut_only_beyond_half_of_the_input(query_words: int, query_kept: int, document_kept: int) -> None:
    model, session = echo_model(max_tokens=64)
    model.score("shoe " * query_words, document("case " * 300), 128)
    types = session.fed["token_type_ids"]
    assert types.count(0) == query_kept + 2  # [CLS] and [SEP]
    assert types.count(1) == document_kept + 1
    assert len(types) == 64


def test_a_special_token_in_a_text_is_text() -> None:
    model, session = echo_model()
    separator = Tokenizer.from_file(str(BUNDLED / "tokenizer.json")).token_to_id("[SEP]")
    model.score("a [SEP] b", document("c [SEP] [CLS] d"), 32)
    assert session.fed["input_ids"].count(separator) == 2


@pytest.mark.parametrize(
    "text", ["\ud800 shoe", "shoe \udfff", "\x00\x01", "\u202e\ufeff", "a" * 3000, " " * 3000, "🏴" * 99]
)
def test_odd_texts_are_scored(model: OnnxPairModel, text: str) -> None:
    assert np.isfinite(score(model, text, text))
    assert isinstance(model.visible_text(text, document(text), 20), str)


@pytest.mark.parametrize("word", ["shoe ", "shoe"])
def test_a_huge_field_is_cut_before_it_is_tokenized(word: str) -> None:
    model, session = echo_model(max_tokens=512)
    asked = Asked(model._reader)
    huge = word * 1_000_000
    model.score(huge, (Segment(huge, 16), Segment(huge)), 128)
    assert sum(map(len, asked.texts)) <= (256 + 16 + 128) * 32
    assert session.fed["token_type_ids"].count(1) == (129 if word.endswith(" ") else 2)  # too long a word is one token


# --- outputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "logit"), [([[0.5]], 0.5), ([0.25], 0.25), ([[1.0, 3.0]], 2.0), ([[3.0, 1.0]], -2.0)]
)
def test_one_logit_is_itself_and_of_two_labels_the_second_counts(output: object, logit: float) -> None:
    model, _ = echo_model(output)
    assert model.score("a", document("b"), 8) == pytest.approx(logit)


@pytest.mark.parametrize("output", [[[np.nan]], [[np.inf]], [[0.0, np.nan]], [[-np.inf, 0.0]]])
def test_what_is_no_finite_number_is_an_error(output: object) -> None:
    model, _ = echo_model(output)
    with pytest.raises(ValueError, match="the model gave"):
        model.score("a", document("b"), 8)


# --- the bundled weights ---------------------------------------------------------------------------------------------


def test_the_bundled_model_tells_fitting_from_unrelated(model: OnnxPairModel) -> None:
    """Orders with wide gaps, which hold on CPUs with and without VNNI."""
    for query, fitting, unrelated in [
        ("red running shoes", "Men's running shoe, red, size 42", "Stainless steel kitchen sink"),
        ("usb c charger", "65 W USB-C wall charger", "Wooden puzzle for toddlers"),
        ("cast iron skillet 12 inch", "Pre-seasoned cast iron skillet, 12 inch", "Garden hose 20 m"),
        ("dog food for puppies", "Dry food for puppies, chicken, 5 kg", "Ergonomic office chair"),
    ]:
        assert score(model, query, fitting) > score(model, query, unrelated) + 1.0


# --- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled folder that a test may spoil."""
    for file in ("model.onnx", "tokenizer.json", "config.json"):
        shutil.copy(BUNDLED / file, tmp_path / file)
    return tmp_path


@pytest.mark.parametrize("file", ["model.onnx", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    assert_refused(folder, f"{folder} has no {file}")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("model.onnx", "cannot be opened as an ONNX model"),
        ("tokenizer.json", "is no tokenizer"),
        ("config.json", "JSON"),
    ],
)
def test_a_broken_file_is_named(folder: Path, file: str, message: str) -> None:
    (folder / file).unlink()
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\n")
    assert_refused(folder, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rerank": {"activation": "softmax", "max_tokens": 512}}, "activation 'softmax' for 1 label"),
        ({"rerank": None, "sentence_transformers": {"activation_fn": "torch.nn.Tanh"}}, "activation 'torch.nn.Tanh'"),
        ({"rerank": {"max_tokens": 4}}, "allows an input of 4 tokens"),
        ({"rerank": {"max_tokens": "512"}}, "allows an input of '512' tokens"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    change_config(folder, changes)
    assert_refused(folder, message)


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        ({"rerank": {"max_tokens": 96}}, 96),
        ({"rerank": None}, 512),
        ({"rerank": None, "model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"rerank": None, "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, 512),
    ],
)
def test_the_input_is_as_long_as_the_configuration_says(folder: Path, changes: dict[str, object], tokens: int) -> None:
    change_config(folder, changes)
    assert load_model(folder, "x").max_document_tokens == tokens - 3 - 1  # [CLS], two [SEP], one of the query


def test_the_fingerprint_changes_with_each_file(folder: Path) -> None:
    seen = {fingerprint(folder)}
    for file in ("tokenizer.json", "config.json"):
        with (folder / file).open("a") as opened:
            opened.write("\n")
        seen.add(fingerprint(folder))
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(b"x")
    seen.add(fingerprint(folder))
    assert len(seen) == 4


def test_serving_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from pathlib import Path; from proxy.scorer.onnx_model import load_model; "
        "from proxy.scorer.types import Segment; "
        f"load_model(Path({str(BUNDLED)!r}), 'base').score('a', (Segment('b'),), 8); "
        "print(sorted({'torch', 'transformers', 'optimum', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def change_config(folder: Path, changes: dict[str, object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.pop("sentence_transformers", None)
    (folder / "config.json").write_text(json.dumps(config | changes))


def assert_refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(folder, "mine")
    assert message in str(caught.value)
    assert str(caught.value).startswith("model 'mine': ")
    assert "\n" not in str(caught.value)
