"""Long documents in parts: what each part holds, and that a document has its best part's logit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.scorer.chunks import Span, part
from proxy.scorer.dummy import DummyModel
from proxy.scorer.models import find_model
from proxy.scorer.onnx_model import OnnxPairModel, load_model
from proxy.scorer.types import Document, ScoreRequest, Segment
from tests.scorer.gated import PAST, GatedModel, Pool, begin, until

S = Segment


def syllables(text: str) -> list[Span]:
    """Tokens of at most three characters; a word's first one starts it."""
    return [
        (word.start() + at, min(word.start() + at + 3, word.end()), at == 0)
        for word in re.finditer(r"\S+", text)
        for at in range(0, len(word[0]), 3)
    ]


def plain(document: Document) -> str:
    return "".join(piece.text for piece in document)


def test_what_the_model_reads_whole_is_one_part() -> None:
    document = (S("red"), S(" "), S("one two"))
    assert part(document, 3, 9, syllables) == [document]
    assert part((S("one two three"),), 4, 1, syllables) == [(S("one two three"),)]


def test_each_part_has_what_stands_around_the_longest_piece() -> None:
    document = (S("red"), S(" | "), S("a b c d e f g"), S(" | "), S("new"))
    parts = part(document, 8, 9, syllables)
    assert [plain(one) for one in parts] == ["red | a b c d | new", "red | e f g | new"]
    assert [plain(one) for one in part(document, 8, 1, syllables)] == [plain(document)]


def test_what_is_long_around_it_is_read_once() -> None:
    document = (S("t1 t2 t3 "), S("a b c d e f g h"))
    assert [plain(one) for one in part(document, 5, 9, syllables)] == ["t1 t2 t3 a b", "c d e f g", "h"]


def test_words_are_not_parted_but_where_one_alone_is_too_long() -> None:
    assert [plain(one) for one in part((S("aaabbb cccddd eee"),), 3, 9, syllables)] == ["aaabbb", "cccddd eee"]
    assert [plain(one) for one in part((S("aaabbbcccdddeeefff"),), 4, 9, syllables)] == ["aaabbbcccddd", "eeefff"]


@given(st.lists(st.text("ab", min_size=1, max_size=12), min_size=1, max_size=30), st.integers(1, 8), st.integers(2, 9))
def test_parts_are_the_text_without_a_gap(words: list[str], limit: int, most: int) -> None:
    text = " ".join(words)
    parts = part((S(text),), limit, most, syllables)
    assert len(parts) <= most
    assert all(len(syllables(plain(one))) <= limit for one in parts)
    read = "".join(plain(one) for one in parts).replace(" ", "")
    assert text.replace(" ", "").startswith(read)
    if len(parts) < most:
        assert read == text.replace(" ", "")


@pytest.fixture(scope="module", name="base")
def _base() -> OnnxPairModel:
    return load_model(find_model("base", None), "base")


LONG = "The kettle holds 1.7 litres and has a removable lid with an antibacterial coating. " * 20


@pytest.mark.parametrize("limit", [24, 64])
@pytest.mark.parametrize("text", [LONG, "烧水壶" * 200, "red-" * 200])
def test_a_models_parts_are_read_whole_and_leave_nothing_out(base: OnnxPairModel, limit: int, text: str) -> None:
    document = (S("Kettle"), S(" | "), S(text))
    parts = base.chunks("kettle with lid", document, limit, 1000)
    assert len(parts) > 2
    read = [base.visible_text("kettle with lid", one, limit) for one in parts]
    assert read == [plain(one) for one in parts]  # no part is cut
    assert all(one.startswith("Kettle | ") for one in read)
    joined = "".join(one.removeprefix("Kettle | ") for one in read)
    assert joined.replace(" ", "") == text.replace(" ", "")
    assert len(base.chunks("kettle with lid", document, limit, 3)) == 3


def test_a_models_parts_keep_to_the_limits_of_fields(base: OnnxPairModel) -> None:
    document = (S("Kettle " * 9, 2), S(" | "), S(LONG, 40))
    parts = base.chunks("kettle", document, 24, 9)
    texts = [base.visible_text("kettle", one, 24) for one in parts]
    whole = base.visible_text("kettle", (S(LONG, 40),), 128)
    assert " ".join(text.removeprefix("Kettle Kettle | ") for text in texts) == whole
    assert base.chunks("kettle", (S(LONG, 20),), 24, 9) == [(S(LONG, 20),)]


def test_a_part_has_the_score_of_the_same_text_alone(base: OnnxPairModel) -> None:
    for one in base.chunks("kettle", (S("Kettle"), S(" "), S(LONG)), 32, 4):
        assert base.score("kettle", one, 32) == pytest.approx(base.score("kettle", (S(plain(one)),), 32), abs=1e-5)


def test_the_dummy_parts_too() -> None:
    parts = DummyModel().chunks("q", (S("title"), S(" "), S("a b c d e")), 3, 9)
    assert [plain(one) for one in parts] == ["title a b", "title c d", "title e"]


def asked(*texts: str, deadline: float | None = None, most: int = 3) -> ScoreRequest:
    return ScoreRequest("m", "q", [(S(text),) for text in texts], 128, deadline, max_chunks=most)


async def test_a_document_has_the_logit_of_its_best_part(pool: Pool) -> None:
    scorer, model = await pool(GatedModel(is_open=True))
    assert (await scorer.score(asked("1|9|4", "5", "7|6|8|99"))).logits == [9.0, 5.0, 8.0]
    assert model.started == ["1", "9", "4", "5", "7", "6", "8"]
    again = await scorer.score(asked("9|2", "8", most=2))  # parts are known by their content
    assert (again.logits, again.cached) == ([9.0, 8.0], 2)
    assert model.started[7:] == ["2"]
    assert await scorer.visible_texts(asked("1|2|3", "4", most=2)) == [["1", "2"], ["4"]]


async def test_one_whose_parts_are_not_all_scored_in_time_has_none(pool: Pool) -> None:
    scorer, model = await pool()
    search = begin(scorer, asked("1|2", "3", deadline=None))
    await until(lambda: model.started == ["1"])
    search.cancel()
    model.let(1)
    await until(lambda: scorer.cache.size == 1)
    result = await scorer.score(asked("1|2", "1", deadline=PAST))
    assert result.logits == [None, 1.0]
    model.let()


async def test_a_model_that_cannot_part_a_text_is_an_error_not_an_exception(pool: Pool) -> None:
    scorer, model = await pool(GatedModel(is_open=True))
    model.faults["chunks"] = ValueError("no tokens")
    result = await scorer.score(asked("1|2"))
    assert result.logits == [None]
    assert result.error == "model m failed: no tokens"
