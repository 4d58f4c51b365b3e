"""Pieces of Docs, which of them make up each spaCy token, and what is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span
from thinc.types import Ints1d, Ragged

from .marks import reach_marks
from .wordpiece import ElectraTokenizer, Encoding

Integers = NDArray[np.int64]
# More than this of a text unknown, and what a model says of it means nothing.
_MOSTLY = 0.5
# A name or an emoji alone says nothing of a checkpoint.
_FEWEST_PIECES = 3


@dataclass(frozen=True)
class Pieces:
    """The pieces of one Doc.

    Args:
        ids: int64 [n].
        offsets: First character of each piece in ``doc.text`` and the one after its
            last, int64 [n, 2]. Marks that the tokenizer drops, or makes one character
            with the one before them, belong to the piece of that character.
        alignment: Row i holds the indices of the pieces that share a character with
            token i, ascending; none for white space.
        unk_id: Id of the unknown piece.
    """

    ids: Integers
    offsets: Integers
    alignment: Ragged
    unk_id: int = -1

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Which tokens have pieces, all of them unknown, bool [tokens]."""
        return unknown_tokens(self.ids, self.alignment, self.unk_id)


def align(docs: Sequence[Doc], tokenizer: ElectraTokenizer) -> list[Pieces]:
    """Tokenize Docs and find the pieces of each spaCy token.

    Texts are tokenized whole, so the pieces are those of the tokenizer alone, whatever
    the spaCy tokens are. A piece that spans two tokens belongs to both. Where the
    tokenizer takes words instead, the spaCy tokens are these.

    Args:
        docs: Any number, empty ones among them; one that comes several times is
            tokenized once.
        tokenizer: Makes the pieces.

    Returns:
        One ``Pieces`` a Doc.
    """
    different = {id(doc): doc for doc in docs}
    if len(different) < len(docs):
        each = align(list(different.values()), tokenizer)
        by_id = dict(zip(different, each, strict=True))
        return [by_id[id(doc)] for doc in docs]
    if tokenizer.takes_words:
        tokens = [[token.text for token in doc] for doc in docs]
        return _pieces_of_words(tokens, [token_starts(doc) for doc in docs], tokenizer)
    counts = np.array([len(doc) for doc in docs], dtype=np.int64)
    return _align_texts([doc.text for doc in docs], _bounds(docs), counts, tokenizer)


def align_spans(spans: Sequence[Span], tokenizer: ElectraTokenizer) -> list[Pieces]:
    """As ``align``, for spans: each is a text of its own.

    Args:
        spans: Of any Docs, overlapping or not; those of a Doc stand together.
        tokenizer: Makes the pieces.

    Returns:
        One ``Pieces`` a span; offsets count from its first character, and the
        alignment has a row for each of its tokens.
    """
    if tokenizer.takes_words:
        tokens = [[token.text for token in span] for span in spans]
        starts = [
            np.array([token.idx - span.start_char for token in span], dtype=np.int64)
            for span in spans
        ]
        return _pieces_of_words(tokens, starts, tokenizer)
    texts, parts = [], []
    doc = None
    for span in spans:
        if span.doc is not doc:
            # A Doc makes its text anew each time that it is asked.
            doc, whole = span.doc, span.doc.text
            bounds = _bounds([doc])
        own = slice(span.start, span.end)
        first = bounds.starts[span.start] if len(span) else 0
        texts.append(whole[span.start_char : span.end_char])
        parts.append(
            (bounds.starts[own] - first, bounds.sizes[own], bounds.is_space[own])
        )
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    together = _Bounds(*columns) if parts else _bounds([])
    counts = np.array([len(span) for span in spans], dtype=np.int64)
    return _align_texts(texts, together, counts, tokenizer)


def _pieces_of_words(
    tokens: Sequence[Sequence[str]],
    starts: Sequence[Integers],
    tokenizer: ElectraTokenizer,
) -> list[Pieces]:
    """Pieces of texts whose tokens are the words: none spans two of them.

    Args:
        tokens: Of each text.
        starts: First character of each token in its text.
        tokenizer: Cuts the words into pieces.
    """
    pieces = []
    for number, encoding in enumerate(tokenizer.encode_words(tokens)):
        words = encoding.words
        assert words is not None
        lengths = np.bincount(words, minlength=len(tokens[number])).astype("i")
        places = cast(Ints1d, np.arange(len(words), dtype="i"))
        alignment = Ragged(places, cast(Ints1d, lengths))
        own = tokens[number]
        # The words with a blank between them: whether their text has one or not, no
        # piece goes beyond its word.
        apart = np.cumsum([0] + [len(word) + 1 for word in own])[words][:, None]
        offsets = reach_marks(encoding.offsets + apart, " ".join(own)) - apart
        offsets += starts[number][words][:, None]
        unk_id = tokenizer.unk_token_id
        pieces.append(Pieces(encoding.ids, offsets, alignment, unk_id))
    return pieces


def _align_texts(
    texts: Sequence[str],
    bounds: _Bounds,
    token_counts: Integers,
    tokenizer: ElectraTokenizer,
) -> list[Pieces]:
    """Pieces of texts, given where each of their tokens is.

    Args:
        texts: Any number.
        bounds: Of the tokens of all texts.
        token_counts: Tokens of each text.
        tokenizer: Makes the pieces.
    """
    if not texts:
        return []
    encodings = tokenizer.encode_batch(texts)
    # All texts are aligned at once, as if they stood in one row with a gap of a
    # character between them.
    gaps = np.cumsum([0] + [len(text) + 1 for text in texts[:-1]])
    piece_counts = np.array([len(encoding.ids) for encoding in encodings])
    piece_gaps = np.repeat(gaps, piece_counts)[:, None]
    apart = np.concatenate([encoding.offsets for encoding in encodings]) + piece_gaps
    whole = " ".join(texts)
    offsets = apart if whole.isascii() else reach_marks(apart, whole)
    if offsets is not apart:
        each = np.split(offsets - piece_gaps, np.cumsum(piece_counts)[:-1])
        encodings = [
            replace(encoding, offsets=own)
            for encoding, own in zip(encodings, each, strict=True)
        ]
    starts = bounds.starts + np.repeat(gaps, token_counts)
    ends = starts + bounds.sizes
    # Several pieces may come from one character (a syllable of Hangul is normalized to
    # its letters), but neither their starts nor their ends ever go back.
    first = np.searchsorted(offsets[:, 1], starts, side="right")
    after = np.searchsorted(offsets[:, 0], ends, side="left")
    lengths = np.maximum(after - first, 0)
    # The tokenizer drops some white space (a form feed) inside of a piece.
    lengths[bounds.is_space] = 0
    return _split_by_doc(
        encodings, first, lengths, piece_counts, token_counts, tokenizer.unk_token_id
    )


def token_starts(doc: Doc) -> Integers:
    """First character of each token of a Doc, int64 [len(doc)]."""
    return _bounds([doc]).starts


class _Bounds(NamedTuple):
    """Where the tokens of texts are, one text after the other.

    Args:
        starts: First character of each token in its own text, int64 [n].
        sizes: Characters of each token, int64 [n].
        is_space: Which tokens are white space, bool [n].
    """

    starts: Integers
    sizes: Integers
    is_space: NDArray[np.bool_]


def _bounds(docs: Sequence[Doc]) -> _Bounds:
    rows = [doc.to_array(["LENGTH", "SPACY", "IS_SPACE"]) for doc in docs]
    table = np.concatenate([np.zeros((0, 3), dtype=np.uint64), *rows])
    sizes, blanks, is_space = table.astype(np.int64).T
    with_blank = sizes + blanks
    starts = with_blank.cumsum() - with_blank
    counts = np.array([len(part) for part in rows], dtype=np.int64)
    # Where each text begins among all; one without tokens begins nowhere.
    heads = (counts.cumsum() - counts)[counts > 0]
    starts -= np.repeat(starts[heads], counts[counts > 0])
    return _Bounds(starts, sizes, is_space.astype(bool))


def _split_by_doc(
    encodings: Sequence[Encoding],
    first: Integers,
    lengths: Integers,
    piece_counts: Integers,
    token_counts: Integers,
    unk_id: int,
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
        pieces.append(Pieces(encoding.ids, encoding.offsets, alignment, unk_id))
        token_start = token_end
    return pieces


def unknown_share(ids: Integers, unk_id: int) -> float:
    """Share of pieces that are unknown, 0 where there are none."""
    return int(np.count_nonzero(ids == unk_id)) / max(len(ids), 1)


def mostly_unknown(texts: Sequence[Integers], unk_id: int) -> tuple[int, float] | None:
    """The text of which most is unknown, if it is more than half of it.

    Args:
        texts: Piece ids of each text.
        unk_id: Id of the unknown piece.

    Returns:
        Which text it is, and its share; None where there is no such text.
    """
    shares = [
        unknown_share(ids, unk_id) if len(ids) >= _FEWEST_PIECES else 0.0
        for ids in texts
    ]
    worst = int(np.argmax(shares)) if shares else 0
    if not shares or shares[worst] <= _MOSTLY:
        return None
    return worst, shares[worst]


def unknown_tokens(ids: Integers, alignment: Ragged, unk_id: int) -> NDArray[np.bool_]:
    """Which tokens have pieces, all of them unknown, bool [tokens].

    Args:
        ids: Of the pieces of a Doc.
        alignment: Indices of the pieces of each token.
        unk_id: Id of the unknown piece.
    """
    lengths = np.asarray(alignment.lengths)
    if not (ids == unk_id).any():
        return np.zeros(len(lengths), dtype=bool)
    known = np.asarray(ids != unk_id)[np.asarray(alignment.dataXd).reshape(-1)]
    ends = lengths.cumsum()
    counts = np.concatenate([[0], known.cumsum()])
    return (lengths > 0) & (counts[ends] == counts[ends - lengths])
