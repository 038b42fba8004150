"""Training sends what serving sends, and knows what a query excludes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from figures import Ranked, column, interval
from proxy.scorer.onnx_model import OnnxPairModel
from proxy.settings import parse_template
from training.negation import Mention, feature_words, find_negation, mention
from training.texts import PairEncoder, as_batch, document_of, template_of

BASE = Path(__file__).resolve().parents[2] / "onnx_models" / "base"


class Recorder:
    """A graph that keeps what it is fed."""

    def __init__(self) -> None:
        self.fed: list[Mapping[str, Any]] = []

    def run(self, output_names: Any, input_feed: Mapping[str, Any]) -> Any:
        self.fed.append(input_feed)
        return [np.zeros((1, 1), dtype=np.float32)]


@pytest.mark.parametrize("fields", [("title",), ("title", "brand"), ("brand", "title", "description")])
@pytest.mark.parametrize("longest", [24, 512])
def test_training_feeds_a_model_what_serving_feeds_it(fields: tuple[str, ...], longest: int) -> None:
    product = {"title": ("Kettle, 1.7 l, with lid",), "brand": ("Ácme",), "description": ("word " * 300, "more")}
    document = document_of(template_of(fields), product)
    recorder = Recorder()
    inputs = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), np.int64)
    served = OnnxPairModel(recorder, inputs, Tokenizer.from_file(str(BASE / "tokenizer.json")), longest, "")
    served.score("kettle without lid", document, 128)
    trained = as_batch([PairEncoder(BASE, longest).encode("kettle without lid", document)])
    assert trained["input_ids"].shape[1] <= longest
    for name, values in trained.items():
        np.testing.assert_array_equal(values, recorder.fed[0][name])


def test_a_template_is_the_one_that_the_proxy_makes_of_a_search() -> None:
    assert template_of(("title", "brand")) == parse_template("{title} {brand:64}")


def test_a_batch_is_padded_behind_its_pairs() -> None:
    encoder = PairEncoder(BASE, 512)
    short, long = (
        encoder.encode("lamp", document_of(template_of(("t",)), {"t": (text,)})) for text in ("a", "a b c d")
    )
    batch = as_batch([short, long])
    assert batch["attention_mask"].sum(axis=1).tolist() == [len(short.ids), len(long.ids)]
    assert batch["input_ids"][0, : len(short.ids)].tolist() == short.ids.tolist()
    assert not batch["input_ids"][0, len(short.ids) :].any()


def test_a_batch_is_filled_up_to_a_shape() -> None:
    encoder = PairEncoder(BASE, 512)
    pair = encoder.encode("lamp", document_of(template_of(("t",)), {"t": ("a",)}))
    batch = as_batch([pair], pairs=3, tokens=16)
    assert {values.shape for values in batch.values()} == {(3, 16)}
    assert batch["attention_mask"].sum(axis=1).tolist() == [len(pair.ids), 1, 1]
    assert as_batch([pair], pairs=1, tokens=1)["input_ids"].shape == (1, len(pair.ids))


@pytest.mark.parametrize(
    ("query", "wanted", "excluded"),
    [
        ("knife sets without block", "knife sets", "block"),
        ("iphone case without card holder", "iphone case", "holder"),
        ("water bottle not plastic", "water bottle", "plastic"),
        ("Earbuds w/o wires", "Earbuds", "wire"),
        ("desk chair with no wheels for kids", "desk chair", "wheel"),
        ("christmas tree no lights", "christmas tree", "light"),
    ],
)
def test_what_a_query_excludes_is_found(query: str, wanted: str, excluded: str) -> None:
    negation = find_negation(query)
    assert negation is not None
    assert (negation.wanted, negation.excluded) == (wanted, excluded)


@pytest.mark.parametrize(
    "query",
    ["red shoes", "without a trace", "tool cases without tools", "note book", "no", "not without", "knot not 3", ""],
)
def test_a_query_that_excludes_nothing_has_no_negation(query: str) -> None:
    assert find_negation(query) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Knife set with block", Mention.HAS),
        ("Knife Set, Blocks", Mention.HAS),
        ("Knife set without block", Mention.DENIES),
        ("Knife set, no wooden block", Mention.DENIES),
        ("block-free knife set", Mention.DENIES),
        ("blockless knives", Mention.DENIES),
        ("Knife set, no block, but a block opener", Mention.HAS),
        ("Knife set", Mention.SILENT),
    ],
)
def test_how_a_text_speaks_of_what_is_excluded(text: str, said: Mention) -> None:
    assert mention(text, "block") is said


def test_the_features_of_a_title_are_found() -> None:
    assert feature_words("Kettle with lid, 2 l") == ["lid"]
    assert feature_words("Bottle with Straw and Handle") == ["straw"]
    assert feature_words("Cup with glass lids for tea") == ["lid"]
    assert feature_words("Plain cup") == []


def test_a_blend_of_one_is_the_first_stage_and_of_none_the_model() -> None:
    ranked = Ranked("q", [0.0, 1.0, 0.0], [1.0], first=[3.0, 2.0, 1.0], second=[-1.0, 5.0, 0.0])
    assert ranked.ndcg(0.0) == 1.0
    assert ranked.ndcg(1.0) == pytest.approx(1 / np.log2(3))
    # (1-b)*1 + b*0.5 for the exact one against b*1 for the first: even at b = 2/3, where the first stage's order rules.
    assert ranked.ndcg(0.6) == 1.0
    assert ranked.ndcg(0.7) == pytest.approx(1 / np.log2(3))
    assert column([ranked, Ranked("none", [], [1.0], [], [])], 0.0).tolist() == [1.0, 0.0]


def test_the_interval_holds_the_mean_and_narrows_with_more_queries() -> None:
    values = np.random.default_rng(1).normal(0.6, 0.2, 400)
    low, high = interval(values)
    assert low < values.mean() < high
    few_low, few_high = interval(values[:40])
    assert few_high - few_low > 2 * (high - low)
