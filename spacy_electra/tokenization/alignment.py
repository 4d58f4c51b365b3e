"""Pieces of Docs, which of them make up each spaCy token, and what is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span
from thinc.types import Ints1d, Ragged

from .bounds import Bounds, Integers, bounds_of, heads, spread, token_starts
from .chunks import ChunkCache
from .marks import reach_marks
from .wordpiece import ElectraTokenizer

# More than this of a text unknown, and what a model says of it means nothing.
_MOSTLY = 0.5
# A name or an emoji alone says nothing of a checkpoint.
_FEWEST_PIECES = 3
_NO_IDS = np.zeros(0, dtype=np.int64)


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
    bounds = bounds_of(docs)
    if tokenizer.chunks is None:
        row = _row_of_texts([doc.text for doc in docs], tokenizer)
    else:
        row = _row_of_chunks(docs, bounds, tokenizer.chunks)
    return _align(row, bounds, tokenizer.unk_token_id)


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
    return _align(row, bounds, tokenizer.unk_token_id)


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
        offsets: In the row, int64 [n, 2].
        counts: Pieces of each text, int64 [texts].
        begins: Where in the row each text begins, int64 [texts].
    """

    ids: Integers
    offsets: Integers
    counts: Integers
    begins: Integers


def _row_of_texts(texts: Sequence[str], tokenizer: ElectraTokenizer) -> _Row:
    """The row of texts, each of which is tokenized as a whole."""
    encodings = tokenizer.encode_batch(texts)
    counts = np.array([len(encoding) for encoding in encodings], dtype=np.int64)
    begins = heads(np.array([len(text) + 1 for text in texts], dtype=np.int64))
    ids = np.concatenate([_NO_IDS, *(encoding.ids for encoding in encodings)])
    offsets = [np.zeros((0, 2), dtype=np.int64)]
    offsets += [encoding.offsets for encoding in encodings]
    apart = np.concatenate(offsets) + np.repeat(begins, counts)[:, None]
    return _Row(ids, reach_marks(apart, " ".join(texts)), counts, begins)


def _row_of_chunks(docs: Sequence[Doc], bounds: Bounds, chunks: ChunkCache) -> _Row:
    """The same row, of texts that are looked up chunk by chunk.

    Args:
        docs: That of each text.
        bounds: Of the tokens of all texts.
        chunks: Knows pieces by the hashes of tokens.
    """
    counts = bounds.counts
    begins = bounds.text_begins()
    is_last = bounds.blanks.copy()
    is_last[counts.cumsum()[counts > 0] - 1] = True
    ends = is_last.nonzero()[0] + 1
    firsts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    hashes = bounds.orths.tobytes()
    stops = (ends * bounds.orths.itemsize).tolist()
    keys = [hashes[start:stop] for start, stop in pairwise([0, *stops])]

    def text_of_chunks() -> Integers:
        return np.repeat(np.arange(len(counts)), counts)[firsts]

    def texts_of(places: list[int]) -> list[str]:
        orths = bounds.orths.tolist()
        columns = (text_of_chunks()[places], firsts[places], ends[places])
        return [
            "".join(map(docs[number].vocab.strings.__getitem__, orths[start:end]))
            for number, start, end in zip(*(c.tolist() for c in columns), strict=True)
        ]

    rows, sizes = chunks.pieces_of(keys, texts_of)
    starts = (bounds.starts + spread(begins, counts))[firsts]
    offsets = rows[:, 1:] + starts.repeat(sizes)[:, None]
    ids = rows[:, 0].astype(np.int64)
    if len(counts) == 1:
        return _Row(ids, offsets, np.array([len(ids)]), begins)
    per_text = np.bincount(text_of_chunks(), weights=sizes, minlength=len(counts))
    return _Row(ids, offsets, per_text.astype(np.int64), begins)


def _align(row: _Row, bounds: Bounds, unk_id: int) -> list[Pieces]:
    """The pieces of each text, given those of all and where their tokens are."""
    starts = bounds.starts + spread(row.begins, bounds.counts)
    ends = starts + bounds.sizes
    # Several pieces may come from one character (a syllable of Hangul is normalized to
    # its letters), but neither their starts nor their ends ever go back.
    first = row.offsets[:, 1].searchsorted(starts, side="right")
    after = row.offsets[:, 0].searchsorted(ends, side="left")
    lengths = np.maximum(after - first, 0)
    # The tokenizer drops some white space (a form feed) inside of a piece.
    lengths[bounds.is_space] = 0
    own_first = first - spread(heads(row.counts), bounds.counts)
    # Where among all indices of pieces those of a token begin, and the first of them.
    places = heads(lengths)
    data = np.arange(lengths.sum()) + (own_first - places).repeat(lengths)
    data = data.astype("i")
    offsets = row.offsets - spread(row.begins, row.counts)[:, None]
    if len(row.counts) == 1:
        alignment = Ragged(cast(Ints1d, data), cast(Ints1d, lengths.astype("i")))
        return [Pieces(row.ids, offsets, alignment, unk_id)]

    # Where the part of each text begins, and where the last one ends.
    token_ends = np.concatenate([[0], bounds.counts.cumsum()])
    data_ends = np.concatenate([[0], lengths.cumsum()])[token_ends]
    piece_ends = np.concatenate([[0], row.counts.cumsum()])
    own = (
        [slice(*pair) for pair in pairwise(part.tolist())]
        for part in (piece_ends, data_ends, token_ends)
    )
    lengths = lengths.astype("i")
    return [
        Pieces(
            row.ids[pieces],
            offsets[pieces],
            Ragged(data[rows], cast(Ints1d, lengths[tokens])),
            unk_id,
        )
        for pieces, rows, tokens in zip(*own, strict=True)
    ]


def mostly_unknown(texts: Sequence[Integers], unk_id: int) -> tuple[int, float] | None:
    """The text of which most is unknown, if it is more than half of it.

    Args:
        texts: Piece ids of each text.
        unk_id: Id of the unknown piece.

    Returns:
        Which text it is, and its share; None where there is no such text.
    """
    counts = np.array([len(ids) for ids in texts], dtype=np.int64)
    is_unknown = np.concatenate([_NO_IDS, *texts]) == unk_id
    if not is_unknown.any():
        return None
    text = np.repeat(np.arange(len(counts)), counts)
    unknown = np.bincount(text[is_unknown], minlength=len(counts))
    shares = np.where(counts < _FEWEST_PIECES, 0.0, unknown / np.maximum(counts, 1))
    worst = int(np.argmax(shares))
    return (worst, float(shares[worst])) if shares[worst] > _MOSTLY else None


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


def unknown_of_all(pieces: Sequence[Pieces]) -> Integers:
    """Which tokens of all Docs are unknown, as ``Pieces.unknown`` has it of one.

    Returns:
        Their numbers, from the first token of the first Doc on, int64.
    """
    ids = np.concatenate([_NO_IDS, *(part.ids for part in pieces)])
    unk_ids = {part.unk_id for part in pieces}
    if not np.isin(ids, [*unk_ids]).any():
        return _NO_IDS
    return np.flatnonzero(np.concatenate([part.unknown for part in pieces]))
