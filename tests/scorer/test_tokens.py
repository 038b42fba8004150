"""Reading texts by remembered words and framing pairs: the tokens are the library's own, whatever the tokenizer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from proxy.scorer.models import find_model
from proxy.scorer.tokens import PairFrame, TextReader
from tests.scorer.asked import Asked

WORDS = st.sampled_from(
    [
        *("", "of", "shoe", "kitchen", "größe", "ス", "e\u0301", "\u0301", "[SEP]", "x" * 150, "don't", "1,7-l"),
        *("\u2003", "\t", "a\nb", "a\r\nb", "\x00", "a\x00b", "\x7f-"),
        *("ΟΔΟΣ", "ﬁt", "²", "½-inch", "™", "(12\u2033x18\u2033)"),
    ]
)
TEXTS = st.one_of(st.lists(WORDS, max_size=40).map(" ".join), st.text(), st.text(st.characters(max_codepoint=127)))


def tokenizer() -> Tokenizer:
    reader = Tokenizer.from_file(str(find_model("base") / "tokenizer.json"))
    reader.encode_special_tokens = True
    return reader


def assert_read_as_by_the_library(reader: TextReader, library: Tokenizer, text: str, limit: int) -> None:
    whole = library.encode(text, add_special_tokens=False)
    cut = text if len(whole) <= limit else text[: whole.offsets[limit - 1][1]] if limit else ""
    read, ids = reader.read(text, limit)
    assert (read, list(ids)) == (cut, whole.ids[:limit])


LIBRARY = tokenizer()
READER = TextReader(LIBRARY)


@given(TEXTS, st.integers(0, 60))
@example("e \u0301", 9)  # an accent behind a space belongs to no letter before it
@example("a\x1fb-c", 9)  # a control character parts no word
def test_words_by_themselves_give_the_texts_tokens(text: str, limit: int) -> None:
    assert_read_as_by_the_library(READER, LIBRARY, text, limit)


def with_normalizer(**options: bool) -> Tokenizer:
    library = tokenizer()
    library.normalizer = normalizers.BertNormalizer(**options)
    return library


OTHERS = [
    with_normalizer(lowercase=False),
    with_normalizer(strip_accents=False, handle_chinese_chars=False),
    with_normalizer(clean_text=False),
]


@pytest.mark.parametrize("library", OTHERS, ids=["cased", "accents", "unclean"])
@given(text=TEXTS)
def test_so_it_is_whatever_the_normalizer_is_told(library: Tokenizer, text: str) -> None:
    reader = TextReader(library)
    assert reader._by_words
    assert_read_as_by_the_library(reader, library, text, 12)


def test_the_library_is_asked_once_for_a_word_and_no_further_than_needed() -> None:
    reader = TextReader(tokenizer())
    asked = Asked(reader)
    assert reader.read("red shoe, red lamp", 9) == reader.read("red shoe, red lamp", 9)
    assert asked.texts == ["red", "shoe", ",", "lamp"]
    reader.read("lamp " * 4 + "kettle " * 1000 + "never", 6)
    assert asked.texts[4:] == ["kettle"]


def test_long_words_are_not_remembered() -> None:
    reader = TextReader(tokenizer())
    asked = Asked(reader)
    for _ in range(2):
        reader.read("x" * 2000, 16)
    assert asked.texts == ["x" * 2000] * 2


@pytest.mark.parametrize("change", ["pre_tokenizer", "normalizer", "added"])
def test_a_tokenizer_that_may_see_across_spaces_reads_whole_texts(change: str) -> None:
    library = tokenizer()
    if change == "added":
        library.add_tokens([AddedToken("red shoe", normalized=False)])
    elif change == "normalizer":
        library.normalizer = normalizers.Replace("red shoe", "lamp")
    else:
        library.pre_tokenizer = pre_tokenizers.Split("red shoe", "isolated")
    reader = TextReader(library)
    asked = Asked(reader)
    for limit in (0, 1, 5, 100):
        assert_read_as_by_the_library(reader, library, "a red shoe " * 9, limit)
    assert set(asked.texts) == {"a red shoe " * 9}


CLS, SEP = SPECIAL = [(name, LIBRARY.token_to_id(name)) for name in ("[CLS]", "[SEP]")]


@pytest.mark.parametrize(
    "processor",
    [
        processors.BertProcessing(SEP, CLS),
        processors.RobertaProcessing(SEP, CLS),
        processors.ByteLevel(),
        processors.TemplateProcessing("$A [SEP]", "$A:0 [SEP]:0 $B:1 [SEP]:1 [CLS]:2", SPECIAL),
        processors.TemplateProcessing("$A", "$A:0 [SEP]:0 [SEP]:1 [CLS]:1 $B:1", SPECIAL),
        processors.TemplateProcessing("$A", "[CLS]:0 $B:1 [SEP]:1 $A:0", SPECIAL),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("query", "document"), [("red shoe", "unbelievablybrand new"), ("", "shoe"), ("shoe", ""), ("", "")]
)
def test_a_pair_is_built_as_the_post_processor_says(processor: Any, query: str, document: str) -> None:
    library = tokenizer()
    library.post_processor = processor
    wanted = library.encode(query, document)
    ids = [library.encode(text, add_special_tokens=False).ids for text in (query, document)]
    assert PairFrame(library).join(*ids) == (wanted.ids, wanted.type_ids)


def test_a_tokenizer_of_another_script_is_framed_too() -> None:
    library = Tokenizer(models.BPE({"あ": 0}, []))
    assert PairFrame(library).join([0, 0], [0]).ids == [0, 0, 0]


def test_a_tokenizer_that_makes_no_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="makes no tokens of 'a', '1'"):
        PairFrame(Tokenizer(models.BPE({"[X]": 0}, [])))
