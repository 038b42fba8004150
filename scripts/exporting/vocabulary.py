"""Prunes a WordPiece vocabulary to a corpus: fewer pieces, fewer rows of the embedding table, the same tokens.

Kept are special tokens, every single character with its ``##`` form, and the pieces that tokenizing the corpus gives.
WordPiece takes the longest piece that fits. A piece that the corpus never needed is never the longest that fits in
it, so that the corpus is tokenized as before; and a word that could be spelled can still be, letter by letter at worst.
"""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tqdm import tqdm

from .common import ExportError

HELD_OUT = 10
"""Every so-manieth text of the corpus is kept apart, to see on how many the tokens change."""
_LONGEST_TEXT = 20_000
_PART = 2_000


@dataclass(frozen=True)
class Pruned:
    """What pruning did."""

    before: int
    after: int
    texts: int
    held_out: int
    changed: int
    """Held-out texts whose tokens are others than before."""
    unknown: int
    """Held-out texts with an unknown token that was not there before."""
    exact: bool
    """Whether all texts of the corpus were seen to get the same tokens."""
    new_ids: list[int]
    """Old number of each kept piece, in the new order."""

    def lines(self) -> list[str]:
        """Return it as lines of text."""
        share = 100 * self.changed / max(self.held_out, 1)
        return [
            f"vocabulary: {self.after} of {self.before} pieces kept"
            + (f"; all {self.texts} corpus texts get the same tokens as before" if self.exact else ""),
            f"pruned without every {HELD_OUT}th text: of these {self.held_out} {self.changed} ({share:.1f} %) get "
            f"other tokens than before, {self.unknown} an unknown token that they had not",
        ]


def read_corpus(paths: Sequence[Path]) -> Iterator[str]:
    """Yield texts: lines of .txt, every string but addresses in the objects of .jsonl, either with .gz.

    Raises:
        ExportError: a file is neither.
    """
    for path in paths:
        kind = [suffix for suffix in path.suffixes if suffix != ".gz"][-1:]
        if kind not in ([".txt"], [".jsonl"]):
            raise ExportError(f"{path}: a corpus is a .txt or .jsonl file, with .gz or without")
        opener = gzip.open if path.suffix == ".gz" else open
        number = 0
        try:
            with opener(path, "rt", encoding="utf-8") as file:
                for number, line in enumerate(file, 1):  # noqa: B007 - errors say it
                    yield from [line.strip()] if kind == [".txt"] else _strings(json.loads(line))
        except UnicodeDecodeError as error:
            raise ExportError(f"{path}, behind line {number}: no UTF-8 text: {error}") from error
        except ValueError as error:
            raise ExportError(f"{path}, line {number}: no JSON: {error}") from error
        except (EOFError, gzip.BadGzipFile) as error:
            raise ExportError(f"{path}, behind line {number}: it is cut short or no gzip: {error}") from error


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if not value.startswith(("http://", "https://")):
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def prune(
    path: Path, corpus: Iterable[str], keep_pieces: int | None = None, least_count: int = 1
) -> tuple[str, Pruned]:
    """Prune a tokenizer.json.

    Held-out texts tell what pruning does to texts that it has not seen; then they too are kept whole.

    Args:
        path: the tokenizer.
        corpus: texts in the language at hand.
        keep_pieces: beside what is needed, pieces of Latin script (or of none: digits, signs) are kept in the order of
            the vocabulary, usually that of their frequency, until there are so many; None: all of them.
        least_count: a piece that the corpus has less often is not kept for its sake. Above 1, the corpus is no longer
            tokenized as before.

    Returns:
        The new tokenizer.json, and what was done.

    Raises:
        ExportError: the tokenizer is no WordPiece, or the corpus is empty, or the corpus' tokens changed.
    """
    data = json.loads(path.read_bytes())
    model = data["model"]
    if model.get("type") != "WordPiece":
        raise ExportError(
            f"the vocabulary of a {model.get('type') or 'unknown'} tokenizer cannot be pruned; only WordPiece (BERT, "
            "MiniLM, ELECTRA, MPNet) can: leave out --prune-vocabulary"
        )
    old = _plain(path.read_text(encoding="utf-8"))
    texts = sorted({text[:_LONGEST_TEXT] for text in corpus if text})
    if not texts:
        raise ExportError("the corpus for --prune-vocabulary has no text")
    tokens = _tokens(old, texts)
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)

    def made(known: Sequence[Sequence[str]]) -> tuple[str, list[int]]:
        counts = Counter(piece for text in known for piece in text)
        kept = _kept(data, pieces, counts, keep_pieces, least_count)
        ids = [number for number, piece in enumerate(pieces) if piece in kept]
        numbers = {pieces[number]: position for position, number in enumerate(ids)}
        return _renumber(json.loads(path.read_bytes()), numbers), ids

    held = slice(HELD_OUT - 1, None, HELD_OUT)
    seen = [each for number, each in enumerate(tokens, 1) if number % HELD_OUT]
    tried = _tokens(_plain(made(seen)[0]), texts[held])
    unknown = model["unk_token"]
    changed = sum(before != after for before, after in zip(tokens[held], tried, strict=True))
    lost = sum(after.count(unknown) > before.count(unknown) for before, after in zip(tokens[held], tried, strict=True))
    text, ids = made(tokens)
    if least_count <= 1:
        for given, before, after in zip(texts, tokens, _tokens(_plain(text), texts), strict=True):
            if before != after:
                raise ExportError(f"pruning changed the tokens of {given[:60]!r}: {before[:12]} to {after[:12]}")
    return text, Pruned(len(pieces), len(ids), len(texts), len(tried), changed, lost, least_count <= 1, ids)


def _tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[str]]:
    """Return each text's tokens; in parts, to show progress and to keep few encodings at a time."""
    found: list[list[str]] = []
    for start in tqdm(range(0, len(texts), _PART), desc="tokenize the corpus", unit="part", leave=False):
        encodings = tokenizer.encode_batch(list(texts[start : start + _PART]), add_special_tokens=False)
        found += [encoding.tokens for encoding in encodings]
    return found


def _plain(text: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _kept(data: dict[str, Any], pieces: list[str], counts: Counter[str], keep: int | None, least: int) -> set[str]:
    prefix = data["model"].get("continuing_subword_prefix", "##")
    known = set(pieces)
    kept = {token["content"] for token in data.get("added_tokens") or []} | {data["model"]["unk_token"]}
    for piece in pieces:
        begun = piece != prefix and piece.startswith(prefix)
        bare = piece.removeprefix(prefix) if begun else piece
        forms = [prefix + letter for letter in bare] if begun else [bare[0], *(prefix + letter for letter in bare[1:])]
        # where a letter has no piece of its own, the pieces that hold it are the only way to spell it
        spells_alone = any(form not in known for form in forms) and not _is_placeholder(piece)
        if len(bare) == 1 or spells_alone or counts[piece] >= max(least, 1):
            kept.add(piece)
    for piece in pieces:
        if keep is not None and len(kept) >= keep:
            break
        if _is_latin(piece.removeprefix(prefix)) and not _is_placeholder(piece):
            kept.add(piece)
    return kept & known


def _is_placeholder(piece: str) -> bool:
    return piece.startswith("[unused") and piece.endswith("]")


def _is_latin(piece: str) -> bool:
    """Return whether every letter is a Latin one; signs and digits belong to every script."""
    return all(not letter.isalpha() or unicodedata.name(letter, "").startswith("LATIN") for letter in piece)


def _renumber(data: dict[str, Any], numbers: dict[str, int]) -> str:
    data["model"]["vocab"] = numbers
    data["added_tokens"] = [
        token | {"id": numbers[token["content"]]}
        for token in data.get("added_tokens") or []
        if token["content"] in numbers
    ]
    post = data.get("post_processor") or {}
    for special in (post.get("special_tokens") or {}).values():
        special["ids"] = [numbers[token] for token in special["tokens"]]
    for name in ("sep", "cls"):
        if name in post:
            post[name] = [post[name][0], numbers[post[name][0]]]
    return json.dumps(data, ensure_ascii=False) + "\n"
