"""Parts a long document into several that a model reads whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.scorer.types import Document, Segment

Span = tuple[int, int, bool]
"""A token: where it starts and ends in the text, and whether a word starts with it."""


def part(document: Document, limit: int, most: int, spans: Callable[[str], Sequence[Span]]) -> list[Document]:
    """Return the parts of a document, itself alone if the model reads it whole; the first is its beginning.

    The piece with the most tokens is parted, between words where it can be, and without a gap. What stands before and
    behind it, such as a title, is in each part; where that takes more than half of the room, only in the first.

    Args:
        document: its pieces, each already cut to its own limit of tokens.
        limit: so many tokens the model reads.
        most: at most so many parts; what is left then is not read.
        spans: returns a text's tokens in order.
    """
    tokens = [spans(piece.text) for piece in document]
    counts = [len(one) for one in tokens]
    if most < 2 or limit < 1 or sum(counts) <= limit:
        return [document]
    longest = counts.index(max(counts))
    around = sum(counts) - counts[longest]
    repeated = around <= limit // 2
    before, after = document[:longest], document[longest + 1 :]
    text = document[longest].text
    parts: list[Document] = []
    start = 0
    while start < counts[longest] and len(parts) < most:
        with_context = repeated or not parts
        room = max(1, limit - around) if with_context else limit
        end = _word_end(tokens[longest], start, min(start + room, counts[longest]))
        piece = Segment(text[tokens[longest][start][0] : tokens[longest][end - 1][1]])
        parts.append((*before, piece, *after) if with_context else (piece,))
        start = end
    return parts


def _word_end(tokens: Sequence[Span], start: int, end: int) -> int:
    """Return the last position up to ``end`` at which a word starts or the text ends; ``end`` where there is none."""
    position = end
    while start < position < len(tokens) and not tokens[position][2]:
        position -= 1
    return position if position > start else end
