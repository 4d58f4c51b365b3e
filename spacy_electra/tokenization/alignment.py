"""Pieces of Docs, and which of them make up each spaCy token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span
from thinc.types import Ints1d, Ragged

from .wordpiece import ElectraTokenizer, Encoding

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """The pieces of one Doc.

    Args:
        ids: int64 [n].
        offsets: First character of each piece in ``doc.text`` and the one behind its
            last, int64 [n, 2].
        alignment: Row i holds the indices of the pieces that share a character with
            token i, ascending; none for white space.
    """

    ids: Integers
    offsets: Integers
    alignment: Ragged

    def __len__(self) -> int:
        return len(self.ids)


def align(docs: Sequence[Doc], tokenizer: ElectraTokenizer) -> list[Pieces]:
    """Tokenize Docs and find the pieces of each spaCy token.

    Texts are tokenized whole, so the pieces are those of the tokenizer alone, whatever
    the spaCy tokens are. A piece that spans two tokens belongs to both.

    Args:
        docs: Any number, empty ones among them.
        tokenizer: Makes the pieces.

    Returns:
        One ``Pieces`` a Doc.
    """
    bounds = [_bounds(doc) for doc in docs]
    return _align_texts([doc.text for doc in docs], bounds, tokenizer)


def align_spans(spans: Sequence[Span], tokenizer: ElectraTokenizer) -> list[Pieces]:
    """As ``align``, for spans: each is a text of its own.

    Args:
        spans: Of any Docs, overlapping or not; those of a Doc stand together.
        tokenizer: Makes the pieces.

    Returns:
        One ``Pieces`` a span; offsets count from its first character, and the
        alignment has a row for each of its tokens.
    """
    texts, bounds = [], []
    doc = None
    for span in spans:
        if span.doc is not doc:
            # A Doc makes its text anew each time that it is asked.
            doc, whole = span.doc, span.doc.text
            tokens = _bounds(doc)
        own = slice(span.start, span.end)
        first = tokens.starts[span.start] if len(span) else 0
        texts.append(whole[span.start_char : span.end_char])
        bounds.append(
            _Bounds(tokens.starts[own] - first, tokens.sizes[own], tokens.is_space[own])
        )
    return _align_texts(texts, bounds, tokenizer)


def _align_texts(
    texts: Sequence[str],
    bounds: Sequence[_Bounds],
    tokenizer: ElectraTokenizer,
) -> list[Pieces]:
    """Pieces of texts, given where each of their tokens is."""
    if not texts:
        return []
    encodings = tokenizer.encode_batch(texts)
    # All texts are aligned at once, as if they stood in one row with a gap of a
    # character between them.
    gaps = np.cumsum([0] + [len(text) + 1 for text in texts[:-1]])
    piece_counts = np.array([len(encoding) for encoding in encodings])
    piece_gaps = np.repeat(gaps, piece_counts)[:, None]
    offsets = np.concatenate([encoding.offsets for encoding in encodings]) + piece_gaps
    token_counts = np.array([len(tokens.starts) for tokens in bounds])
    starts = np.concatenate([tokens.starts for tokens in bounds])
    starts += np.repeat(gaps, token_counts)
    ends = starts + np.concatenate([tokens.sizes for tokens in bounds])
    # Several pieces may come from one character (a syllable of Hangul is normalized to
    # its letters), but neither their starts nor their ends ever go back.
    first = np.searchsorted(offsets[:, 1], starts, side="right")
    behind = np.searchsorted(offsets[:, 0], ends, side="left")
    lengths = np.maximum(behind - first, 0)
    # The tokenizer drops some white space (a form feed) inside of a piece.
    lengths[np.concatenate([tokens.is_space for tokens in bounds])] = 0
    return _split_by_doc(encodings, first, lengths, piece_counts, token_counts)


def token_starts(doc: Doc) -> Integers:
    """First character of each token of a Doc, int64 [len(doc)]."""
    return _bounds(doc).starts


class _Bounds(NamedTuple):
    """Where tokens are: first characters, lengths, and which are white space."""

    starts: Integers
    sizes: Integers
    is_space: NDArray[np.bool_]


def _bounds(doc: Doc) -> _Bounds:
    columns = doc.to_array(["LENGTH", "SPACY", "IS_SPACE"]).astype(np.int64).T
    sizes, blanks, is_space = columns
    with_blank = sizes + blanks
    return _Bounds(with_blank.cumsum() - with_blank, sizes, is_space.astype(bool))


def _split_by_doc(
    encodings: Sequence[Encoding],
    first: Integers,
    lengths: Integers,
    piece_counts: Integers,
    token_counts: Integers,
) -> list[Pieces]:
    """Cut the alignment of all Docs into one of each, counted from its own pieces."""
    piece_begins = np.cumsum(piece_counts) - piece_counts
    own_first = first - np.repeat(piece_begins, token_counts)
    within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    data = (np.repeat(own_first, lengths) + within).astype("i")
    token_ends = token_counts.cumsum()
    data_ends = np.concatenate([[0], lengths.cumsum()])[
        np.concatenate([[0], token_ends])
    ]
    lengths = lengths.astype("i")
    pieces = []
    token_start = 0
    for number, encoding in enumerate(encodings):
        token_end = int(token_ends[number])
        alignment = Ragged(
            data[data_ends[number] : data_ends[number + 1]],
            cast(Ints1d, lengths[token_start:token_end]),
        )
        pieces.append(Pieces(encoding.ids, encoding.offsets, alignment))
        token_start = token_end
    return pieces
