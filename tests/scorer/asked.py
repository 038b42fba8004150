"""What a reader of texts asks the tokenizers library for."""

from __future__ import annotations

from typing import Any

from proxy.scorer.tokens import TextReader


class Asked:
    """The tokenizer and the model of a reader, with a note of the texts that they are asked for."""

    def __init__(self, reader: TextReader) -> None:
        self.texts: list[str] = []
        self._tokenizer, self._model = reader._tokenizer, reader._model
        reader._tokenizer = reader._model = self

    def encode(self, text: str, add_special_tokens: bool) -> Any:
        self.texts.append(text)
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens)

    def tokenize(self, word: str) -> Any:
        self.texts.append(word)
        return self._model.tokenize(word)
