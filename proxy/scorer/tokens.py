"""Turns texts into a model's tokens, and the tokens of a query and of a document into the input for the pair.

The tokens are those of the ``tokenizers`` library. They take a good part of the time that a small graph takes, and
most words have been read before: where a word's tokens hang on nothing around it, they are remembered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

_WORDS_KEPT = 1 << 15
_LONGEST_KEPT = 32
"""Characters of a word that is remembered: with the number above they bound the memory to some 20 MB a model."""
# For words that are all ASCII: elsewhere an accent may follow, which belongs to the letter before it.
_ASCII_WORDS = re.compile("[A-Za-z0-9]+|[^A-Za-z0-9]")
_PROBES = ("a", "1", "あ", "я")
"""A tokenizer knows one of these letters."""
Tokens = tuple[tuple[int, ...], tuple[int, ...]]
"""The ids of a text's tokens, and where each ends in it, in characters."""


class PairTokens(NamedTuple):
    """A pair as a model gets it; shapes [tokens]."""

    ids: list[int]
    type_ids: list[int]


class TextReader:
    """Reads texts with a tokenizer. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Take a tokenizer that neither truncates nor pads, and to which special tokens in a text are text."""
        self._tokenizer = tokenizer
        self._by_words = _splits_at_spaces(tokenizer)
        self._model = tokenizer.model
        self._lowers = self._by_words and tokenizer.normalizer.lowercase
        self._word = lru_cache(_WORDS_KEPT)(self._read_word)

    def read(self, text: str, limit: int) -> tuple[str, Sequence[int]]:
        """Return a text's first ``limit`` tokens, and the text up to the last of them; all of it if it has no more."""
        ids: list[int] = []
        start = end = 0
        for word in text.replace("\n", " ").split(" ") if self._by_words else [text]:
            kept = self._by_words and len(word) <= _LONGEST_KEPT
            found, ends = self._word(word) if kept else self._read(word)
            room = limit - len(ids)
            if len(found) > room:
                ids += found[:room]
                return text[: start + ends[room - 1] if room else end], ids
            if found:
                ids += found
                end = start + ends[-1]
            start += len(word) + 1
        return text, ids

    def _read_word(self, word: str) -> Tokens:
        """Return the tokens of what stands between two spaces: several words where it has ASCII's punctuation."""
        parts = _ASCII_WORDS.findall(word) if word.isascii() and word.isprintable() else []
        if not parts:
            return self._read(word)
        if len(parts) == 1:  # a third of the time: nothing but the case is to be normalized, and nothing to be split
            tokens = self._model.tokenize(word.lower() if self._lowers else word)
            return tuple(token.id for token in tokens), tuple(token.offsets[1] for token in tokens)
        ids: list[int] = []
        ends: list[int] = []
        start = 0
        for part in parts:
            found = self._word(part)
            ids += found[0]
            ends += [start + end for end in found[1]]
            start += len(part)
        return tuple(ids), tuple(ends)

    def _read(self, text: str) -> Tokens:
        """Return a text's tokens, and where each ends in it, in characters."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return tuple(encoding.ids), tuple(end for _, end in encoding.offsets)


def _splits_at_spaces(tokenizer: Tokenizer) -> bool:
    """Return whether tokens between spaces are the same whatever stands around these: so it is with BERT's parts."""
    return (
        isinstance(tokenizer.normalizer, BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.model, WordPiece)
        and all(token.special for token in tokenizer.get_added_tokens_decoder().values())
    )


class PairFrame:
    """What a tokenizer's post-processor puts around and between the two texts of a pair."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """See where the tokens of two texts come to stand."""
        pairs = (tokenizer.encode(probe, probe) for probe in _PROBES)
        seen = next((pair for pair in pairs if {0, 1} <= set(pair.sequence_ids)), None)
        if seen is None:
            raise ValueError(f"it makes no tokens of {', '.join(map(repr, _PROBES))}")
        tokens = zip(seen.sequence_ids, seen.type_ids, seen.ids, strict=True)
        runs = groupby(tokens, key=lambda token: token[:2])
        self._parts = [(*part, [token for _, _, token in run]) for part, run in runs]

    def join(self, query: Sequence[int], document: Sequence[int]) -> PairTokens:
        """Return the pair of two texts."""
        ids: list[int] = []
        type_ids: list[int] = []
        for sequence, type_id, own in self._parts:
            part = own if sequence is None else document if sequence else query
            ids += part
            type_ids += [type_id] * len(part)
        return PairTokens(ids, type_ids)
