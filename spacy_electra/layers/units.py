"""What a head over an encoder looks at: from the rows of pieces to rows of its units.

A unit is what the head gives one output for: a piece, a token, a window. The functions
work on tensors, so that gradients need no code of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..tokenization.alignment import Integers, Pieces
from .pooling import max_over_pieces, rows_of_tokens
from .types import PieceStates


class Units(Protocol):
    """A way from pieces to units.

    Attributes:
        reads_cls: Whether the head looks at the [CLS] of each window; otherwise at
            pieces.
    """

    reads_cls: bool

    def inputs(self, states: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """The rows that the head gets, float [R, H].

        Args:
            states: One row per piece of all texts, float [N, H]; or per window.
            pieces: Of each text.
        """
        ...

    def outputs(self, logits: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """One row per unit of all texts, float [U, ...].

        Args:
            logits: What the head gave for its rows, float [R, ...].
            pieces: Of each text.
        """
        ...

    def sizes(self, encoded: PieceStates) -> Sequence[int]:
        """How many units each text has; they add up to U."""
        ...


class EveryPiece:
    """One output per piece."""

    reads_cls = False

    def inputs(self, states: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """All pieces."""
        return states

    def outputs(self, logits: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """What the head gave."""
        return logits

    def sizes(self, encoded: PieceStates) -> Sequence[int]:
        """Pieces of each text."""
        return [len(part) for part in encoded.pieces]


class WindowCls:
    """One output per window, from its [CLS]."""

    reads_cls = True

    def inputs(self, states: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """All windows."""
        return states

    def outputs(self, logits: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """What the head gave."""
        return logits

    def sizes(self, encoded: PieceStates) -> Sequence[int]:
        """Windows of each text."""
        return [int(count) for count in encoded.windows_per_doc]


class _PerToken:
    reads_cls = False

    def sizes(self, encoded: PieceStates) -> Sequence[int]:
        """Tokens of each text."""
        return [len(part.alignment.lengths) for part in encoded.pieces]


class LargestPiece(_PerToken):
    """One output per token: the largest of its pieces, minus infinity without any.

    The head gives one number per piece.
    """

    def inputs(self, states: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """All pieces."""
        return states

    def outputs(self, logits: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """The largest per token, float [U]."""
        values = logits.detach().cpu().numpy()
        _, rows = max_over_pieces(values, pieces, empty=-np.inf)
        return _in_places(logits[_tensor(rows[rows >= 0], logits)], rows >= 0, -np.inf)


class FirstPiece(_PerToken):
    """One output per token, from its first piece; zeros for a token without any."""

    def inputs(self, states: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """The first piece of each token that has one."""
        rows, lengths = rows_of_tokens(pieces)
        first = (lengths.cumsum() - lengths)[lengths > 0]
        return states.index_select(0, _tensor(rows[first], states))

    def outputs(self, logits: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """What the head gave, and zeros between."""
        return _in_places(logits, rows_of_tokens(pieces)[1] > 0)


class MeanPiece(_PerToken):
    """One output per token, from the mean of its pieces; zeros without any."""

    def inputs(self, states: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """The mean of each token that has a piece."""
        rows, lengths = rows_of_tokens(pieces)
        counts = lengths[lengths > 0]
        token = _tensor(np.repeat(np.arange(len(counts)), counts), states)
        sums = states.new_zeros((len(counts), states.shape[1]))
        sums = sums.index_add(0, token, states.index_select(0, _tensor(rows, states)))
        return sums / _tensor(counts, states)[:, None]

    def outputs(self, logits: Tensor, pieces: Sequence[Pieces]) -> Tensor:
        """What the head gave, and zeros between."""
        return _in_places(logits, rows_of_tokens(pieces)[1] > 0)


def _tensor(values: Integers, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device)


def _in_places(rows: Tensor, filled: NDArray[np.bool_], empty: float = 0.0) -> Tensor:
    """Rows in the places that are to be filled, and a value in the others."""
    if filled.all():
        return rows
    whole = rows.new_full((len(filled), *rows.shape[1:]), empty)
    return whole.index_copy(0, _tensor(np.flatnonzero(filled), rows), rows)


LARGEST_PIECE, FIRST_PIECE, MEAN = LargestPiece(), FirstPiece(), MeanPiece()
WINDOW_CLS, EVERY_PIECE = WindowCls(), EveryPiece()
