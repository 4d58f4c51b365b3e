"""Pieces of texts, which of them make up each spaCy token, and what is unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast, overload

import numpy as np
from numpy.typing import NDArray
from thinc.types import Ints1d, Ragged

from .batch_encoding import Integers
from .ends import heads, spread

# More than this of a text unknown, and what a model says of it means nothing.
_MOSTLY = 0.5
# A name or an emoji alone says nothing of a checkpoint.
_FEWEST_PIECES = 3
NO_IDS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Pieces:
    """The pieces of one text.

    Args:
        ids: int64 [n].
        offsets: First character of each piece in the text and the one after its
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


class Alignment(NamedTuple):
    """Where the pieces of several texts are, and which belong to each token.

    Args:
        offsets: As those of ``Pieces``, int64 [N, 2].
        rows: Of each token of all texts its pieces, counted from the first piece of
            the first text, int64 [R].
        sizes: How many of these each token has, int64 [tokens].
    """

    offsets: Integers
    rows: Integers
    sizes: Integers


class AlignedTexts(Sequence[Pieces]):
    """The pieces of several texts, end to end.

    It is the sequence of their ``Pieces`` as well, which are made as they are asked
    for: to make thousands of them takes longer than to find what is in them. A network
    needs the ids alone, so the rest is found when somebody asks.

    Args:
        ids: int64 [N].
        counts: Pieces of each text, int64 [texts].
        token_counts: Tokens of each text, int64 [texts].
        unk_ids: Id of the unknown piece in each text.
        align: Finds the rest.
    """

    def __init__(
        self,
        ids: Integers,
        counts: Integers,
        token_counts: Integers,
        unk_ids: Sequence[int],
        align: Callable[[], Alignment],
    ) -> None:
        self.ids, self.counts = ids, counts
        self.token_counts, self.unk_ids = token_counts, unk_ids
        self._found: Alignment | Callable[[], Alignment] = align

    @property
    def _alignment(self) -> Alignment:
        found = self._found
        if not isinstance(found, Alignment):
            # What it was found from goes.
            self._found = found = found()
        return found

    @property
    def offsets(self) -> Integers:
        """See ``Alignment``, as of the next two."""
        return self._alignment.offsets

    @property
    def rows(self) -> Integers:
        """Pieces of each token, int64 [R]."""
        return self._alignment.rows

    @property
    def sizes(self) -> Integers:
        """How many each token has, int64 [tokens]."""
        return self._alignment.sizes

    def __len__(self) -> int:
        return len(self.counts)

    @overload
    def __getitem__(self, index: int) -> Pieces: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pieces]: ...

    def __getitem__(self, index: int | slice) -> Pieces | list[Pieces]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [self._text(number) for number in numbers]
        return self._text(numbers)

    def __iter__(self) -> Iterator[Pieces]:
        return map(self._text, range(len(self)))

    def _text(self, number: int) -> Pieces:
        pieces, tokens, rows = (
            slice(*ends[number : number + 2]) for ends in self._ends
        )
        own = (self.rows[rows] - pieces.start).astype("i")
        sizes = self.sizes[tokens].astype("i")
        return Pieces(
            self.ids[pieces],
            self.offsets[pieces],
            Ragged(cast(Ints1d, own), cast(Ints1d, sizes)),
            self.unk_ids[number],
        )

    @cached_property
    def _ends(self) -> list[list[int]]:
        """Where the pieces, the tokens and the rows of each text begin and end."""
        token_ends = np.append(0, self.token_counts.cumsum())
        row_ends = np.append(0, self.sizes.cumsum())[token_ends]
        piece_ends = np.append(0, self.counts.cumsum())
        return [ends.tolist() for ends in (piece_ends, token_ends, row_ends)]

    @cached_property
    def is_known(self) -> NDArray[np.bool_]:
        """Which pieces are not the unknown one, bool [N]."""
        return self.ids != spread(np.array(self.unk_ids), self.counts)

    @property
    def unknown(self) -> Integers:
        """Which tokens of all texts have pieces, all of them unknown, ascending."""
        if self.is_known.all():
            return NO_IDS
        return np.flatnonzero(_without_known(self.is_known[self.rows], self.sizes))

    @property
    def mostly_unknown(self) -> tuple[int, float] | None:
        """The text of which most is unknown, as the function of that name has it."""
        # A text alone has few pieces, which a list finds sooner.
        if len(self) == 1 and self.unk_ids[0] not in self.ids.tolist():
            return None
        return None if self.is_known.all() else _most(~self.is_known, self.counts)


def joined(texts: Sequence[Pieces]) -> AlignedTexts:
    """Texts end to end, wherever their pieces come from."""
    if isinstance(texts, AlignedTexts):
        return texts
    counts = np.array([len(text) for text in texts], dtype=np.int64)
    alignments = [text.alignment for text in texts]
    row_counts = np.array([len(a.dataXd) for a in alignments], dtype=np.int64)

    def align() -> Alignment:
        rows = np.concatenate([NO_IDS, *(a.dataXd.reshape((-1,)) for a in alignments)])
        rows += heads(counts).repeat(row_counts)
        no_offsets = NO_IDS.reshape(0, 2)
        return Alignment(
            offsets=np.concatenate([no_offsets, *(t.offsets for t in texts)]),
            rows=rows,
            sizes=np.concatenate([NO_IDS, *(a.lengths for a in alignments)]),
        )

    return AlignedTexts(
        ids=np.concatenate([NO_IDS, *(text.ids for text in texts)]),
        counts=counts,
        token_counts=np.array([len(a.lengths) for a in alignments], dtype=np.int64),
        unk_ids=[text.unk_id for text in texts],
        align=align,
    )


def mostly_unknown(texts: Sequence[Integers], unk_id: int) -> tuple[int, float] | None:
    """The text of which most is unknown, if it is more than half of it.

    Args:
        texts: Piece ids of each text.
        unk_id: Id of the unknown piece.

    Returns:
        Which text it is, and its share; None where there is no such text.
    """
    counts = np.array([len(ids) for ids in texts], dtype=np.int64)
    return _most(np.concatenate([NO_IDS, *texts]) == unk_id, counts)


def _most(is_unknown: NDArray[np.bool_], counts: Integers) -> tuple[int, float] | None:
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
        ids: Of the pieces of a text.
        alignment: Indices of the pieces of each token.
        unk_id: Id of the unknown piece.
    """
    lengths = np.asarray(alignment.lengths)
    is_known = np.asarray(ids != unk_id)
    if is_known.all():
        return np.zeros(len(lengths), dtype=bool)
    return _without_known(is_known[np.asarray(alignment.dataXd).reshape(-1)], lengths)


def _without_known(known: NDArray[np.bool_], lengths: Integers) -> NDArray[np.bool_]:
    """Which tokens have pieces, none of them known.

    Args:
        known: Whether each piece of each token is known.
        lengths: How many each token has.
    """
    ends = lengths.cumsum()
    counts = np.append(0, known.cumsum())
    return (lengths > 0) & (counts[ends] == counts[ends - lengths])
