"""Where the rows of pieces of spans stand: in a table, in padded arrays, in tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from spacy.tokens import Doc, Span

from ..tokenization.alignment import Integers, Pieces, joined
from ..tokenization.ends import heads
from ..tokenization.windows import SPECIALS, Windows


@dataclass(frozen=True)
class SpanTable:
    """One row a piece: of each span its [CLS], its pieces and its [SEP].

    A span that runs in several windows has the [CLS] of the first, the [SEP] of the
    last, and each piece from the window that gives it the most context.

    Args:
        rows: Row of each of them among the rows of the windows, int64 [R].
        ids: Piece ids, int64 [R].
        lengths: Rows of each span, int64 [S].
        is_piece: Whether a row is no [CLS] or [SEP], bool [R].
    """

    rows: Integers
    ids: Integers
    lengths: Integers
    is_piece: np.ndarray


def make_table(pieces: Sequence[Pieces], windows: Windows) -> SpanTable:
    """Put the windows of each span together.

    Args:
        pieces: Of each span.
        windows: Over them.
    """
    per_span = windows.windows_per_text
    last = per_span.cumsum() - 1
    first = last - per_span + 1
    lengths = joined(pieces).counts + SPECIALS
    starts = lengths.cumsum() - lengths
    is_piece = np.ones(int(lengths.sum()), dtype=bool)
    is_piece[starts] = False
    is_piece[starts + lengths - 1] = False
    rows = np.empty(len(is_piece), dtype=np.int64)
    rows[starts] = windows.cls_rows[first]
    rows[starts + lengths - 1] = windows.sep_rows[last]
    rows[is_piece] = windows.piece_rows
    return SpanTable(rows, windows.input_ids[rows], lengths, is_piece)


@dataclass(frozen=True)
class Layout:
    """Where the rows of a table stand in one array for each Doc, end to end.

    The array of a Doc has the shape [spans, width].

    Args:
        places: Of each row, int64 [R].
        starts: Place where each Doc begins, and the number of places, int64 [D + 1].
        widths: Width of each Doc's array, int64 [D].
    """

    places: Integers
    starts: Integers
    widths: Integers

    @property
    def size(self) -> int:
        """Number of places."""
        return int(self.starts[-1])

    @property
    def width(self) -> int:
        """Width of the widest array."""
        return int(self.widths.max(initial=0))


def padded_layout(lengths: Integers, spans_per_doc: Integers) -> Layout:
    """Every span as wide as the longest of all."""
    width = int(lengths.max(initial=0))
    heads = np.arange(len(lengths)) * width
    within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    return Layout(
        places=np.repeat(heads, lengths) + within,
        starts=np.concatenate([[0], spans_per_doc.cumsum()]) * width,
        widths=np.full(len(spans_per_doc), width, dtype=np.int64),
    )


def packed_layout(lengths: Integers) -> Layout:
    """One span a Doc, as wide as it is long."""
    return Layout(
        places=np.arange(lengths.sum()),
        starts=np.concatenate([[0], lengths.cumsum()]),
        widths=lengths,
    )


def rows_of_doc_tokens(
    docs: Sequence[Doc],
    spans: Sequence[Span],
    span_docs: Integers,
    pieces: Sequence[Pieces],
    lengths: Integers,
) -> tuple[Integers, Integers]:
    """Rows of the table that each token of all Docs has, from every span it is in.

    Args:
        docs: D Docs.
        spans: S spans of them, those of a Doc together.
        span_docs: Index of the Doc of each span, int64 [S].
        pieces: Of each span.
        lengths: Rows of each span in the table, int64 [S].

    Returns:
        The rows, ascending for each token, and how many each token has, int64.
    """
    token_counts = np.array([len(doc) for doc in docs], dtype=np.int64)
    total = int(token_counts.sum())
    if not spans:
        return np.zeros(0, dtype=np.int64), np.zeros(total, dtype=np.int64)
    doc_begins = token_counts.cumsum() - token_counts
    texts = joined(pieces)
    # From rows without [CLS] and [SEP] to those of the table.
    shifts = np.repeat(heads(lengths) + 1 - heads(texts.counts), texts.token_counts)
    rows = texts.rows + np.repeat(shifts, texts.sizes)
    span_tokens = texts.token_counts
    first = doc_begins[span_docs] + np.array([span.start for span in spans])
    within = np.arange(span_tokens.sum()) - np.repeat(heads(span_tokens), span_tokens)
    token = np.repeat(first, span_tokens) + within
    token = np.repeat(token, texts.sizes)
    # Spans come in the order of the table, so a stable sort keeps rows ascending.
    order = np.argsort(token, kind="stable")
    return rows[order], np.bincount(token, minlength=total).astype(np.int64)
