"""Pruning a vocabulary: the corpus keeps its tokens, everything can still be spelled, other kinds are refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789жé日"
_WORDS = ["shoe", "shoes", "##s", "##ing", "run", "running", "##ning", "дом", "##ми", "red", "redder", "zebra", "##bra"]
_PIECES = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *_WORDS]
CORPUS = ["red shoe", "running shoes", "shoes 44"]


@pytest.fixture
def tokenizer_json(tmp_path: Path) -> Path:
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(_PIECES))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_the_corpus_keeps_its_tokens_and_what_it_does_not_need_goes(tokenizer_json: Path) -> None:
    from exporting.vocabulary import prune

    text, pruned = prune(tokenizer_json, CORPUS, keep_pieces=0)
    old, new = Tokenizer.from_file(str(tokenizer_json)), Tokenizer.from_str(text)
    for given in CORPUS:
        assert old.encode(given, "red shoe").tokens == new.encode(given, "red shoe").tokens
    vocabulary = new.get_vocab()
    assert {"shoe", "shoes", "red", "running"} <= set(vocabulary)
    assert not {"zebra", "##bra", "redder", "[unused0]", "##ning"} & set(vocabulary)
    assert sorted(vocabulary.values()) == list(range(pruned.after))
    assert pruned.before == old.get_vocab_size()
    pieces = old.get_vocab()
    assert [pieces[piece] for piece in sorted(vocabulary, key=vocabulary.__getitem__)] == pruned.new_ids


def test_no_text_becomes_unknown(tokenizer_json: Path) -> None:
    from exporting.vocabulary import prune

    old = Tokenizer.from_file(str(tokenizer_json))
    new = Tokenizer.from_str(prune(tokenizer_json, CORPUS, keep_pieces=0)[0])
    for given in ("zebra", "redder runs", "дом", "жж é日", "zebraбra", "домми zoo"):
        assert new.encode(given).tokens.count("[UNK]") <= old.encode(given).tokens.count("[UNK]"), given
    assert new.encode("zebra", add_special_tokens=False).tokens == ["z", "##e", "##b", "##r", "##a"]
    assert old.encode("δ", add_special_tokens=False).tokens == ["[UNK]"]


def test_by_default_latin_pieces_stay_and_other_scripts_only_where_letters_need_them(tokenizer_json: Path) -> None:
    from exporting.vocabulary import prune

    data = json.loads(tokenizer_json.read_text())
    numbers = data["model"]["vocab"]
    for piece in ("д", "##о", "##м", "##и"):  # now these letters have pieces of their own
        numbers[piece] = len(numbers)
    tokenizer_json.write_text(json.dumps(data))
    kept = Tokenizer.from_str(prune(tokenizer_json, CORPUS)[0]).get_vocab()
    assert {"zebra", "redder", "##ning"} <= set(kept)
    assert "дом" not in kept
    fewer = Tokenizer.from_str(prune(tokenizer_json, CORPUS, keep_pieces=0)[0]).get_vocab()
    some = Tokenizer.from_str(prune(tokenizer_json, CORPUS, keep_pieces=len(fewer) + 2)[0]).get_vocab()
    assert len(some) == len(fewer) + 2


def test_held_out_texts_tell_what_changes(tokenizer_json: Path) -> None:
    from exporting.vocabulary import HELD_OUT, prune

    texts = sorted([*(f"shoe {number:02}" for number in range(2 * HELD_OUT - 1)), "zebra"])
    assert texts.index("zebra") % HELD_OUT == HELD_OUT - 1
    text, pruned = prune(tokenizer_json, texts, keep_pieces=0)
    assert (pruned.held_out, pruned.changed, pruned.unknown) == (2, 1, 0)
    assert "zebra" in Tokenizer.from_str(text).get_vocab()  # measured without it, then kept for it


def test_a_corpus_is_read_from_lines_and_from_json(tmp_path: Path) -> None:
    from exporting.common import ExportError
    from exporting.vocabulary import read_corpus

    plain, packed, other = tmp_path / "a.txt", tmp_path / "b.jsonl.gz", tmp_path / "c.csv"
    plain.write_text("one\ntwo\n")
    packed.write_bytes(gzip.compress(b'{"title": "three", "price": 4, "image": "https://x/y", "more": ["four"]}\n'))
    assert list(read_corpus([plain, packed])) == ["one", "two", "three", "four"]
    other.write_text("x")
    with pytest.raises(ExportError, match=r"c\.csv: a corpus is"):
        list(read_corpus([other]))
    plain.with_suffix(".jsonl").write_text("no json\n")
    with pytest.raises(ExportError, match="line 1: no JSON"):
        list(read_corpus([tmp_path / "a.jsonl"]))


def test_other_kinds_of_tokenizers_are_refused(tmp_path: Path) -> None:
    from exporting.common import ExportError
    from exporting.vocabulary import prune

    path = tmp_path / "tokenizer.json"
    Tokenizer(models.BPE()).save(str(path))
    with pytest.raises(ExportError, match="of a BPE tokenizer cannot be pruned"):
        prune(path, CORPUS)


def test_an_empty_corpus_is_refused(tokenizer_json: Path) -> None:
    from exporting.common import ExportError
    from exporting.vocabulary import prune

    with pytest.raises(ExportError, match="has no text"):
        prune(tokenizer_json, [""])
