"""A deterministic stand-in for a model: for tests, and for seeing the proxy work without weights."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable

from proxy.scorer.chunks import part
from proxy.scorer.types import Document, Segment

_WORD = re.compile(r"\S+")


class DummyModel:
    """Scores a pair by the share of the query's words that stand in the document; a digest of the pair breaks ties."""

    max_document_tokens = 512

    def __init__(self, delay_s: float = 0.0, fault: Callable[[str, str], float | None] | None = None) -> None:
        """Make a model.

        Args:
            delay_s: how long each pair takes.
            fault: called with query and document text; a number it returns is the logit, and it may raise.
        """
        self.fingerprint = "dummy"
        self._delay_s = delay_s
        self._fault = fault

    def score(self, query: str, document: Document, document_tokens: int) -> float:
        """Return the pair's logit, about -4 to 5."""
        text = self.visible_text(query, document, document_tokens)
        if self._delay_s:
            time.sleep(self._delay_s)
        if self._fault is not None and (logit := self._fault(query, text)) is not None:
            return logit
        wanted = set(query.casefold().split())
        shared = len(wanted & set(text.casefold().split())) / max(1, len(wanted))
        digest = hashlib.blake2b(f"{query}\0{text}".encode(errors="replace"), digest_size=4).digest()
        return 8.0 * shared - 4.0 + int.from_bytes(digest, "big") / 2**32

    def chunks(self, query: str, document: Document, document_tokens: int, most: int) -> list[Document]:
        """Return a document's parts; a word is a token."""
        cut = tuple(
            piece if piece.max_tokens is None else Segment(" ".join(piece.text.split()[: piece.max_tokens]))
            for piece in document
        )
        return part(cut, document_tokens, most, lambda text: [(*word.span(), True) for word in _WORD.finditer(text)])

    def visible_text(self, query: str, document: Document, document_tokens: int) -> str:
        """Return the document's text, cut after ``document_tokens`` words."""
        words: list[str] = []
        for segment in document:
            words += segment.text.split()[: segment.max_tokens]
        return " ".join(words[:document_tokens])
