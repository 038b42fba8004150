"""Cutting a text by tokens: only the beginning of a long one is read, where that gives the same tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, pre_tokenizers

from proxy.scorer.models import find_model
from proxy.scorer.onnx_model import OnnxPairModel

WORDS = st.sampled_from(
    [
        "of",
        "shoe",
        "kitchen",
        "größe",
        "ス",
        "e\u0301",
        "\u0301",
        "[SEP]",
        "x" * 150,
        "don't",
        "1,7-l",
        "\u2003",
        "\t",
        "ΟΔΟΣ",
        "",
    ]
)


class NoGraph:
    def run(self, output_names: object, input_feed: object) -> object:
        raise AssertionError("nothing is scored here")


def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(find_model("base") / "tokenizer.json"))


def model_of(reader: Tokenizer) -> OnnxPairModel:
    return OnnxPairModel(NoGraph(), {"input_ids": np.int64}, reader, 512, "")


@pytest.fixture(scope="module")
def model() -> OnnxPairModel:
    return model_of(tokenizer())


@pytest.fixture(scope="module")
def reads_all() -> OnnxPairModel:
    """Reads whole texts, however long, before it cuts them."""
    model = model_of(tokenizer())
    assert model._splits_at_spaces
    model._splits_at_spaces = False
    return model


@given(st.lists(WORDS, max_size=60).map(" ".join), st.integers(0, 12))
def test_reading_only_the_beginning_gives_the_same_cut(
    model: OnnxPairModel, reads_all: OnnxPairModel, text: str, limit: int
) -> None:
    visible, encoding = model._cut(text, limit)
    wanted, other = reads_all._cut(text, limit)
    assert (visible, encoding.ids, encoding.offsets) == (wanted, other.ids, other.offsets)


def test_a_text_of_many_tokens_is_read_little_further_than_needed(model: OnnxPairModel) -> None:
    assert len(model._encode_beyond("shoe " * 1000, 16)) == 16 * 6 // 5
    assert len(model._encode_beyond("shoe " * 12, 16)) == 12
    assert len(model._encode_beyond("x" * 2000, 16)) == 1  # no space in sight: one word, too long for its pieces


@pytest.mark.parametrize("change", ["pre_tokenizer", "added"])
def test_a_tokenizer_that_may_see_across_spaces_reads_all(change: str) -> None:
    other = tokenizer()
    if change == "added":
        other.add_tokens([AddedToken("red shoe", normalized=False)])
    else:
        other.pre_tokenizer = pre_tokenizers.Whitespace()
    text = "red shoe " * 1000
    whole = other.encode(text, add_special_tokens=False)
    assert len(model_of(other)._encode_beyond(text, 16)) == len(whole)
