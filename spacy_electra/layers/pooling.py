"""From a value for each piece to one for each spaCy token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..tokenization.alignment import Integers, Pieces


def rows_of_tokens(pieces: Sequence[Pieces]) -> tuple[Integers, Integers]:
    """Which rows of a table with one row a piece each token of all Docs has.

    Args:
        pieces: Of each Doc, in the order of the table.

    Returns:
        The rows of all tokens, one after the other, and how many each token has.
    """
    if not pieces:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    counts = np.array([len(part) for part in pieces], dtype=np.int64)
    sizes = [len(part.alignment.dataXd) for part in pieces]
    begins = np.repeat(counts.cumsum() - counts, sizes)
    data = np.concatenate([part.alignment.dataXd for part in pieces])
    lengths = np.concatenate([part.alignment.lengths for part in pieces])
    return data.astype(np.int64) + begins, lengths.astype(np.int64)


def max_over_pieces(
    values: NDArray[np.float32], pieces: Sequence[Pieces], empty: float
) -> tuple[NDArray[np.float32], Integers]:
    """The largest value among the pieces of each token.

    Args:
        values: One a piece of every Doc, float32 [N].
        pieces: Of each Doc.
        empty: Value of a token without pieces.

    Returns:
        One value a token of every Doc, float32 [M], and the row that it comes from,
        int64 [M], -1 for a token without pieces.
    """
    data, lengths = rows_of_tokens(pieces)
    largest = np.full(len(lengths), empty, dtype=np.float32)
    rows = np.full(len(lengths), -1, dtype=np.int64)
    filled = lengths > 0
    if filled.any():
        own = values[data]
        starts = (lengths.cumsum() - lengths)[filled]
        largest[filled] = np.maximum.reduceat(own, starts)
        # The first of equals, so that a gradient has one place to go.
        token = np.repeat(np.arange(len(lengths)), lengths)
        places = np.flatnonzero(own == largest[token])
        rows[token[places[::-1]]] = data[places[::-1]]
    return largest, rows
