"""Texts and tokens as the proxy sends them to a model: its own renderer and its own way of cutting, no second one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from proxy.core.doc_fields import as_template
from proxy.core.document import render
from proxy.scorer.onnx_model import OnnxPairModel
from proxy.scorer.types import Document, Segment
from proxy.settings import Template

Fields = Mapping[str, Sequence[str]]
"""The values of a document's fields."""

DOCUMENT_TOKENS = 128
"""The proxy's default for the setting ``document_tokens``."""


def template_of(fields: Sequence[str]) -> Template:
    """Return the template that the proxy makes of a search over these fields, the most boosted first."""
    return as_template(list(fields), DOCUMENT_TOKENS)


def document_of(template: Template, fields: Fields) -> Document:
    """Render a document. One without any of the fields is an empty text."""
    return render(template, fields, DOCUMENT_TOKENS) or (Segment(""),)


def plain_text(template: Template, fields: Fields) -> str:
    """Return a document's text before it is cut by tokens."""
    return "".join(segment.text for segment in document_of(template, fields))


def some_template(sets: Sequence[tuple[Sequence[str], float]], rng: random.Random) -> Template:
    """Return the template of a set of fields chosen by weight, in its order or, one time in three, in another."""
    fields = list(rng.choices([fields for fields, _ in sets], [weight for _, weight in sets])[0])
    if len(fields) > 1 and rng.random() < 1 / 3:
        rng.shuffle(fields)
    return template_of(fields)


class Tokens(NamedTuple):
    """The tokens of a pair and the part that each is of, shapes [tokens]; a tenth of the memory of an `Encoding`."""

    ids: npt.NDArray[np.int32]
    type_ids: npt.NDArray[np.int8]


class _NoGraph:
    def run(self, output_names: Any, input_feed: Mapping[str, npt.NDArray[Any]]) -> Any:
        raise AssertionError("an encoder has no graph")


class PairEncoder:
    """Turns pairs into a model's input exactly as `proxy.scorer.onnx_model.OnnxPairModel` does when serving."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        """Take the tokenizer of a model folder.

        Args:
            folder: holds ``tokenizer.json``.
            max_tokens: longest pair, special tokens included.
        """
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._model = OnnxPairModel(_NoGraph(), {}, self._tokenizer, max_tokens, "")

    def encode(self, query: str, document: Document, document_tokens: int = DOCUMENT_TOKENS) -> Tokens:
        """Return the tokens of a pair."""
        encoding = self._model.encode(query, document, document_tokens)
        return Tokens(np.array(encoding.ids, np.int32), np.array(encoding.type_ids, np.int8))


def as_batch(
    encodings: Sequence[Tokens], pad: int = 0, pairs: int = 0, tokens: int = 0
) -> dict[str, npt.NDArray[np.int64]]:
    """Return the arrays of a padded batch, shapes [pairs, tokens]: ids, mask and types.

    Args:
        encodings: the pairs.
        pad: id of the padding token.
        pairs: fill up to so many, by pairs of one padding token.
        tokens: pad to so many, and not just to the longest.
    """
    shape = (max(pairs, len(encodings)), max(tokens, *(len(encoding.ids) for encoding in encodings)))
    batch = {
        "input_ids": np.full(shape, pad, dtype=np.int64),
        "attention_mask": np.zeros(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }
    batch["attention_mask"][len(encodings) :, 0] = 1
    for row, encoding in enumerate(encodings):
        length = len(encoding.ids)
        batch["input_ids"][row, :length] = encoding.ids
        batch["attention_mask"][row, :length] = 1
        batch["token_type_ids"][row, :length] = encoding.type_ids
    return batch
