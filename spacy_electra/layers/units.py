"""What a head over an encoder looks at: from the rows of pieces to rows of its units.

A unit is what the head gives one output for: a piece, a token, a window. The functions
work on tensors, so that gradients need no code of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..tokenization.alignment import Integers, Pieces, joined
from .types import PieceStates


class Units(Protocol):
    """A way from pieces to units.

    Attributes:
        reads_cls: Whether the head looks at the [CLS] of windows as well.
    """

    reads_cls: bool

    def inputs(
        self, states: Tensor, cls_states: Tensor, encoded: PieceStates
    ) -> Tensor:
        """The rows that the head gets, float [R, H].

        Args:
            states: Those of ``encoded``, as a tensor.
            cls_states: Likewise; none where the head does not look at them.
            encoded: What the encoder gave.
        """
        ...

    def outputs(self, logits: Tensor, encoded: PieceStates) -> Tensor:
        """One row per unit of all texts, float [U, ...].

        Args:
            logits: What the head gave for its rows, float [R, ...].
            encoded: What the encoder gave.
        """
        ...

    def results(self, outputs: Any, encoded: PieceStates) -> Any:
        """What the model gives: an array per text, or one of all texts.

        Args:
            outputs: One row per unit of all texts, as an array.
            encoded: What the encoder gave.
        """
        ...


class _Arrays:
    """One array per text."""

    reads_cls = False

    def sizes(self, encoded: PieceStates) -> Sequence[int]:
        """How many units each text has."""
        raise NotImplementedError

    def results(self, outputs: Any, encoded: PieceStates) -> list[Any]:
        """The rows of each text."""
        ends = [0, *accumulate(self.sizes(encoded))]
        return [outputs[start:end] for start, end in pairwise(ends)]


class EveryPiece(_Arrays):
    """One output per piece."""

    def inputs(
        self, states: Tensor, cls_states: Tensor, encoded: PieceStates
    ) -> Tensor:
        """All pieces."""
        return states

    def outputs(self, logits: Tensor, encoded: PieceStates) -> Tensor:
        """What the head gave."""
        return logits

    def sizes(self, encoded: PieceStates) -> Sequence[int]:
        """Pieces of each text."""
        sizes: list[int] = joined(encoded.pieces).counts.tolist()
        return sizes


class WindowCls(_Arrays):
    """One output per window, from its [CLS]."""

    reads_cls = True

    def inputs(
        self, states: Tensor, cls_states: Tensor, encoded: PieceStates
    ) -> Tensor:
        """All windows."""
        return cls_states

    def outputs(self, logits: Tensor, encoded: PieceStates) -> Tensor:
        """What the head gave."""
        return logits

    def sizes(self, encoded: PieceStates) -> Sequence[int]:
        """Windows of each text."""
        return [int(count) for count in encoded.windows_per_doc]


class MeanWindow(WindowCls):
    """One output per text: the mean over its windows of what the head gives for each.

    Every window counts alike, so no part of a long text is left out. The outputs of all
    texts are one array.
    """

    def outputs(self, logits: Tensor, encoded: PieceStates) -> Tensor:
        """Means, float [texts, ...]."""
        counts = np.array(self.sizes(encoded), dtype=np.int64)
        text = _tensor(np.repeat(np.arange(len(counts)), counts), logits)
        sums = logits.new_zeros((len(counts), *logits.shape[1:]))
        sums = sums.index_add(0, text, logits)
        return sums / _tensor(counts, logits).view(-1, *[1] * (logits.dim() - 1))

    def results(self, outputs: Any, encoded: PieceStates) -> Any:
        """One row per text."""
        return outputs


@dataclass(frozen=True)
class PlaceOutputs:
    """What a head gave for the places of one text.

    Args:
        values: For each window, in order, one row of its [CLS] and one of each piece
            that has its state from there, float [W + n, ...].
        window_sizes: Rows of each window, int64 [W].
        seen: First piece that stands in each window, whether it is read there or not,
            and the one after the last, int64 [W, 2].
        pieces: Of the text, n.
    """

    values: Any
    window_sizes: Integers
    seen: Integers
    pieces: Pieces

    @property
    def cls_rows(self) -> Integers:
        """Row of each window's [CLS], int64 [W]."""
        return np.cumsum(self.window_sizes) - self.window_sizes

    @property
    def piece_rows(self) -> Integers:
        """Row of each piece, int64 [n]."""
        return np.delete(np.arange(self.window_sizes.sum()), self.cls_rows)


class EveryPlace:
    """One output per place where an answer may begin: every piece, and every [CLS]."""

    reads_cls = True

    def inputs(
        self, states: Tensor, cls_states: Tensor, encoded: PieceStates
    ) -> Tensor:
        """Each window's [CLS], and after it the pieces that are read there."""
        sizes = _window_sizes(encoded)
        # Before the pieces of each window stands its [CLS].
        places = np.arange(len(states)) + len(cls_states)
        before = np.cumsum(sizes - 1) - (sizes - 1)
        rows = np.insert(places, before, np.arange(len(cls_states)))
        both = torch.cat([cls_states, states])
        return both.index_select(0, _tensor(rows, states))

    def outputs(self, logits: Tensor, encoded: PieceStates) -> Tensor:
        """What the head gave."""
        return logits

    def results(self, outputs: Any, encoded: PieceStates) -> list[PlaceOutputs]:
        """The places of each text."""
        assert encoded.windows is not None
        sizes = _window_sizes(encoded)
        seen = np.stack([encoded.windows.starts, encoded.windows.ends], axis=1)
        found = []
        window = row = 0
        for count, pieces in zip(encoded.windows_per_doc, encoded.pieces, strict=True):
            own = slice(window, window + int(count))
            values = outputs[row : row + int(sizes[own].sum())]
            found.append(PlaceOutputs(values, sizes[own], seen[own], pieces))
            window, row = own.stop, row + len(values)
        return found


def _window_sizes(encoded: PieceStates) -> Integers:
    """Rows of each window: its [CLS], and the pieces that are read there."""
    assert encoded.windows is not None
    return encoded.windows.pieces_read + 1


class _PerToken(_Arrays):
    def sizes(self, encoded: PieceStates) -> Sequence[int]:
        """Tokens of each text."""
        sizes: list[int] = joined(encoded.pieces).token_counts.tolist()
        return sizes


class LargestPiece(_PerToken):
    """One output per token: the largest of its pieces, minus infinity without any.

    The head gives one number per piece. What it gives for unknown pieces says nothing
    of the word, so a token of these alone counts as one without any.
    """

    def inputs(
        self, states: Tensor, cls_states: Tensor, encoded: PieceStates
    ) -> Tensor:
        """All pieces."""
        return states

    def outputs(self, logits: Tensor, encoded: PieceStates) -> Tensor:
        """The largest per token, float [U]."""
        values = logits.detach().cpu().numpy()
        texts = joined(encoded.pieces)
        _, rows = max_over_pieces(values, texts, empty=-np.inf)
        rows[texts.unknown] = -1
        return _in_places(logits[_tensor(rows[rows >= 0], logits)], rows >= 0, -np.inf)


class FirstPiece(_PerToken):
    """One output per token, from its first piece; zeros for a token without any."""

    def inputs(
        self, states: Tensor, cls_states: Tensor, encoded: PieceStates
    ) -> Tensor:
        """The first piece of each token that has one."""
        rows, lengths = rows_of_tokens(encoded.pieces)
        first = (lengths.cumsum() - lengths)[lengths > 0]
        return states.index_select(0, _tensor(rows[first], states))

    def outputs(self, logits: Tensor, encoded: PieceStates) -> Tensor:
        """What the head gave, and zeros between."""
        return _in_places(logits, rows_of_tokens(encoded.pieces)[1] > 0)


class MeanPiece(_PerToken):
    """One output per token, from the mean of its pieces; zeros without any."""

    def inputs(
        self, states: Tensor, cls_states: Tensor, encoded: PieceStates
    ) -> Tensor:
        """The mean of each token that has a piece."""
        rows, lengths = rows_of_tokens(encoded.pieces)
        counts = lengths[lengths > 0]
        token = _tensor(np.repeat(np.arange(len(counts)), counts), states)
        sums = states.new_zeros((len(counts), states.shape[1]))
        sums = sums.index_add(0, token, states.index_select(0, _tensor(rows, states)))
        return sums / _tensor(counts, states)[:, None]

    def outputs(self, logits: Tensor, encoded: PieceStates) -> Tensor:
        """What the head gave, and zeros between."""
        return _in_places(logits, rows_of_tokens(encoded.pieces)[1] > 0)


def rows_of_tokens(pieces: Sequence[Pieces]) -> tuple[Integers, Integers]:
    """Which rows of a table with one row a piece each token of all Docs has.

    Args:
        pieces: Of each Doc, in the order of the table.

    Returns:
        The rows of all tokens, one after the other, and how many each token has.
    """
    texts = joined(pieces)
    return texts.rows, texts.sizes


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


def _tensor(values: Integers, like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like.device)


def _in_places(rows: Tensor, filled: NDArray[np.bool_], empty: float = 0.0) -> Tensor:
    """Rows in the places that are to be filled, and a value in the others."""
    if filled.all():
        return rows
    whole = rows.new_full((len(filled), *rows.shape[1:]), empty)
    return whole.index_copy(0, _tensor(np.flatnonzero(filled), rows), rows)


LARGEST_PIECE, FIRST_PIECE, MEAN = LargestPiece(), FirstPiece(), MeanPiece()
WINDOW_CLS, MEAN_WINDOW = WindowCls(), MeanWindow()
EVERY_PIECE, EVERY_PLACE = EveryPiece(), EveryPlace()
