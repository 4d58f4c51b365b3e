"""Text that the vocabulary has no pieces for: how much, and when to speak of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from thinc.types import Ragged

from .encoding import Integers

# More than this of a text unknown, and what a model says of it means nothing.
_MOSTLY = 0.5
# More than this of a corpus unknown, and something is wrong with it or the vocabulary.
MUCH_OF_CORPUS = 0.2
# A name or an emoji alone says nothing of a checkpoint.
_FEWEST_PIECES = 3


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
