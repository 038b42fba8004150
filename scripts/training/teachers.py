"""Teachers: what scores pairs that nobody labelled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from training.corpus import Corpus, LexicalIndex
from training.models import best_device
from training.negation import Mention, find_negation, mention
from training.texts import plain_text, template_of

Vectors = npt.NDArray[np.float32]

_COSINE, _LEXICAL = 10.0, 2.0
"""Of a logit: a cosine over 0.5 times 10, and BM25 as a share of the query's best times 2. Fitting pairs then have
logits around 3, unrelated ones around -4, which is where the labels' own loss puts them."""
_EXCLUDED, _DENIED = -4.0, 1.0
"""Added where a text has what the query excludes, or denies it."""


class BiEncoder:
    """Embeds texts: the mean over the tokens, length 1."""

    def __init__(self, name: str) -> None:
        """Load it from a folder or by a hub's id."""
        self._tokenizer = AutoTokenizer.from_pretrained(name)
        self._model = AutoModel.from_pretrained(name).eval().to(best_device())

    def embed(self, texts: Sequence[str], what: str) -> Vectors:
        """Return vectors of texts of up to 64 tokens; shape [texts, width]."""
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        vectors = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        for start in tqdm(range(0, len(order), 64), desc=what, unit="batch", mininterval=5):
            where = order[start : start + 64]
            inputs = self._tokenizer(
                [texts[number] for number in where], truncation=True, max_length=64, padding=True, return_tensors="pt"
            ).to(self._model.device)
            with torch.no_grad():
                hidden = self._model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1)
            vectors[where] = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).cpu().numpy()
        return vectors


class GeneralTeacher:
    """Says of a pair what a bi-encoder and BM25 say of it together, and heeds what a query excludes."""

    def __init__(self, corpus: Corpus, encoder: str, cache: Path, fields: Sequence[str]) -> None:
        """Embed all documents.

        Args:
            corpus: its documents are embedded and indexed.
            encoder: folder or id of the bi-encoder (mean pooling).
            cache: folder that keeps the documents' vectors.
            fields: what of a document is looked at.
        """
        template = template_of(fields)
        self.texts = {identity: plain_text(template, document) for identity, document in corpus.documents.items()}
        self.index = LexicalIndex(corpus.documents, fields)
        self._encoder = BiEncoder(encoder)
        self._vectors = self._embed_once(encoder, cache)

    def _embed_once(self, encoder: str, cache: Path) -> Vectors:
        texts = list(self.texts.values())
        digest = hashlib.sha256("\n".join([Path(encoder).name, *texts]).encode()).hexdigest()[:16]
        kept = cache / f"vectors-{digest}.npy"
        if kept.is_file():
            vectors: Vectors = np.load(kept)
            return vectors
        vectors = self._encoder.embed(texts, "embed documents")
        cache.mkdir(parents=True, exist_ok=True)
        save_array(kept, vectors)
        return vectors

    def prepare(self, queries: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vector of what each query wants, the excluded part left out."""
        wanted = [_wanted(query) for query in queries]
        return dict(zip(queries, self._encoder.embed(wanted, "embed queries"), strict=True))

    def views(self, query: str, vector: Vectors) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """Return BM25's scores of all documents for what is wanted, and their cosines; shapes [documents]."""
        return self.index.scores(_wanted(query)), self._vectors @ vector

    def logits(
        self, query: str, lexical: npt.NDArray[np.float64], cosine: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Return the logits of all documents from their views, what they exclude not yet heeded."""
        return _COSINE * (cosine - 0.5) + _LEXICAL * lexical / max(1e-9, float(lexical.max()))

    def heed(self, query: str, identity: str, logit: float) -> float:
        """Return a logit, changed by what the document says of what the query excludes."""
        negation = find_negation(query)
        if negation is None:
            return logit
        said = mention(self.texts[identity], negation.excluded)
        return logit + {Mention.HAS: _EXCLUDED, Mention.DENIES: _DENIED, Mention.SILENT: 0.0}[said]


def save_array(path: Path, array: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> None:
    """Write an array; one that is cut short never stands under its name."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, array)
    os.replace(part, path)


def _wanted(query: str) -> str:
    negation = find_negation(query)
    return negation.wanted if negation else query
