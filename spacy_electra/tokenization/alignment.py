"""Which pieces of a text make up each spaCy token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import numpy as np
from spacy.tokens import Doc, Span
from thinc.types import Ints1d, Ragged

from .aligned import (
    NO_IDS,
    AlignedTexts,
    Alignment,
    Pieces,
    joined,
    mostly_unknown,
    unknown_tokens,
)
from .batch_encoding import Integers
from .bounds import Bounds, bounds_of, token_starts
from .chunks import ChunkCache
from .ends import heads, spread
from .marks import reach_marks
from .runs import ChunkRow
from .wordpiece import ElectraTokenizer

__all__ = [
    "AlignedTexts",
    "Integers",
    "Pieces",
    "align",
    "align_spans",
    "joined",
    "mostly_unknown",
    "unknown_tokens",
]


def align(docs: Sequence[Doc], tokenizer: ElectraTokenizer) -> Sequence[Pieces]:
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
    bounds = bounds_of(docs)
    if tokenizer.chunks is None:
        row = _row_of_texts([doc.text for doc in docs], tokenizer)
    else:
        row = _row_of_chunks(docs, bounds, tokenizer.chunks)
    return _texts(row, bounds, tokenizer.unk_token_id)


def align_spans(spans: Sequence[Span], tokenizer: ElectraTokenizer) -> Sequence[Pieces]:
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
    docs = list({id(span.doc): span.doc for span in spans}.values())
    begins_of_docs = heads(
        np.array([len(doc) for doc in docs], dtype=np.int64)
    ).tolist()
    begins = dict(zip(map(id, docs), begins_of_docs, strict=True))
    firsts = [begins[id(span.doc)] + span.start for span in spans]
    counts = np.array([len(span) for span in spans], dtype=np.int64)
    bounds = bounds_of(docs).of_texts(np.array(firsts, dtype=np.int64), counts)
    if tokenizer.chunks is None:
        # A Doc makes its text anew each time that it is asked.
        texts = {id(doc): doc.text for doc in docs}
        own = [texts[id(s.doc)][s.start_char : s.end_char] for s in spans]
        row = _row_of_texts(own, tokenizer)
    else:
        row = _row_of_chunks([span.doc for span in spans], bounds, tokenizer.chunks)
    return _texts(row, bounds, tokenizer.unk_token_id)


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


class _Row(NamedTuple):
    """The pieces of several texts, as if these stood in one row with gaps between.

    Args:
        ids: int64 [n].
        counts: Pieces of each text, int64 [texts].
        begins: Where in the row each text begins, int64 [texts].
        offsets: Finds their places in the row, int64 [n, 2].
    """

    ids: Integers
    counts: Integers
    begins: Integers
    offsets: Callable[[], Integers]


def _row_of_texts(texts: Sequence[str], tokenizer: ElectraTokenizer) -> _Row:
    """The row of texts, each of which is tokenized as a whole."""
    encodings = tokenizer.encode_batch(texts)
    counts = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
    begins = heads(np.array([len(text) + 1 for text in texts], dtype=np.int64))
    ids = np.concatenate([NO_IDS, *(encoding.ids for encoding in encodings)])

    def offsets() -> Integers:
        parts = [np.zeros((0, 2), dtype=np.int64)]
        parts += [encoding.offsets for encoding in encodings]
        apart = np.concatenate(parts) + np.repeat(begins, counts)[:, None]
        return reach_marks(apart, " ".join(texts))

    return _Row(ids, counts, begins, offsets)


def _row_of_chunks(docs: Sequence[Doc], bounds: Bounds, chunks: ChunkCache) -> _Row:
    """The same row, of texts that are looked up chunk by chunk."""
    found = ChunkRow(docs, bounds, chunks)
    return _Row(found.ids, found.counts, bounds.text_begins, found.offsets)


def _texts(row: _Row, bounds: Bounds, unk_id: int) -> AlignedTexts:
    """The pieces of each text, given those of all and where their tokens are."""
    return AlignedTexts(
        ids=row.ids,
        counts=row.counts,
        token_counts=bounds.counts,
        unk_ids=[unk_id] * len(row.counts),
        align=partial(_align, row, bounds),
    )


def _align(row: _Row, bounds: Bounds) -> Alignment:
    offsets = row.offsets()
    starts = bounds.starts + spread(row.begins, bounds.counts)
    ends = starts + bounds.sizes
    # Several pieces may come from one character (a syllable of Hangul is normalized to
    # its letters), but neither their starts nor their ends ever go back.
    first = offsets[:, 1].searchsorted(starts, side="right")
    after = offsets[:, 0].searchsorted(ends, side="left")
    sizes = np.maximum(after - first, 0)
    # The tokenizer drops some white space (a form feed) inside of a piece.
    sizes[bounds.is_space] = 0
    return Alignment(
        offsets=offsets - spread(row.begins, row.counts)[:, None],
        rows=np.arange(sizes.sum()) + (first - heads(sizes)).repeat(sizes),
        sizes=sizes,
    )
