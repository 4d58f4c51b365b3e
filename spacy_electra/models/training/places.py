"""Where rows go for attention while a CPU trains, and where they come from.

Query, key and value of each head of each sequence lie end to end there, sequences of
about one length side by side and padded to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Sequences are taken to be of a multiple of so many rows: torch's softmax and its
# gradient take half the time, or less, where nothing is left after whole vectors. And
# oneDNN compiles a kernel for each new length.
_STEP = 16
# A group of sequences more takes as long as so many scores more.
_SCORES_OF_A_GROUP = 1 << 16


@dataclass(frozen=True, eq=False)
class Group:
    """Sequences of about one length, of one block.

    Args:
        length: Rows that each of them is taken to have.
        count: How many they are, times the heads.
        bias: Minus infinity for keys that are padding, or not to be seen, else 0;
            float32 [count or 1, length or 1, length]; None for nothing.
    """

    length: int
    count: int
    bias: Tensor | None

    def bias_of(self, part: slice) -> Tensor | None:
        """That of some of them."""
        if self.bias is None or len(self.bias) == 1:
            return self.bias
        return self.bias[part]


@dataclass(frozen=True, eq=False)
class Places:
    """Where rows go for attention, and where they come from.

    The rows of one kind (queries, say), R in all, are those of each head of each
    sequence, with padding, group by group. Numbers below count rows of d values, the
    width of a head.

    Args:
        groups: They follow each other, those of a block too.
        scores: How many each block has, by sequence, head, query and key.
        sources: The row of [T, 3 heads, d] that each row of [3, R, d] takes; some row
            where it is padding. int64 [3 R].
        places: The row of [R, d] for each of [T, heads, d], int64 [T heads].
        gradient_sources: The row of [T + 1, heads, d] that each row of [R, d] takes,
            of which the last ones, for padding, are to be zero. int64 [R].
        gradient_places: The row of [3 R, d] for each of [T, 3 heads, d], int64
            [3 heads T].
    """

    groups: Sequence[Group]
    scores: Sequence[int]
    sources: Tensor
    places: Tensor
    gradient_sources: Tensor
    gradient_places: Tensor

    @classmethod
    def of(cls, blocks: Sequence[Sequence[int]], heads: int, causal: bool) -> Places:
        """For sequences that lie end to end.

        Args:
            blocks: Lengths of the sequences of each block.
            heads: Number of heads.
            causal: Whether a piece sees only those before it and itself.
        """
        groups: list[Group] = []
        # The row of each place, by sequence, head and row; -1 is padding.
        found = [np.zeros((0, heads, 1), dtype=np.int64)]
        scores, first, done = [], 0, 0
        for lengths in blocks:
            sizes = np.array(lengths, dtype=np.int64)
            starts = first + sizes.cumsum() - sizes
            first += int(sizes.sum())
            rounded = _rounded(sizes, heads)
            of_block = []
            for length in np.unique(rounded[sizes > 0]).tolist():
                own = (rounded == length) & (sizes > 0)
                is_real = np.arange(length) < sizes[own, None]
                rows = np.where(is_real, starts[own, None] + np.arange(length), -1)
                found.append(np.repeat(rows[:, None], heads, axis=1))
                bias = _bias(is_real, heads, causal)
                of_block.append(Group(length, len(is_real) * heads, bias))
                done += found[-1].size
            groups += of_block
            scores.append(sum(group.count * group.length**2 for group in of_block))
        numbers = np.arange(heads)[:, None]
        head = np.concatenate(
            [np.broadcast_to(numbers, p.shape).ravel() for p in found]
        )
        row = np.concatenate([part.ravel() for part in found])
        real, kinds = np.flatnonzero(row >= 0), np.arange(3)[:, None]
        places = np.zeros((first, heads), dtype=np.int64)
        places[row[real], head[real]] = real
        indices = (
            (row.clip(0) * 3 + kinds) * heads + head,
            places,
            np.where(row >= 0, row, first) * heads + head,
            places[:, None] + done * kinds,
        )
        return cls(
            groups, scores, *(torch.from_numpy(index.ravel()) for index in indices)
        )


def _rounded(sizes: NDArray[np.int64], heads: int) -> NDArray[np.int64]:
    """The length that each sequence is taken to have."""
    rounded = -(-sizes // _STEP) * _STEP
    for shorter, longer in pairwise(np.unique(rounded[sizes > 0]).tolist()):
        own = rounded == shorter
        if own.sum() * heads * (longer**2 - shorter**2) <= _SCORES_OF_A_GROUP:
            rounded[own] = longer
    return rounded


def _bias(is_real: NDArray[np.bool_], heads: int, causal: bool) -> Tensor | None:
    """What is added to the scores of sequences [n, length]; see ``Group``."""
    if causal:
        # Padding comes after all that a row sees.
        length = is_real.shape[1]
        return torch.full((1, length, length), -math.inf).triu_(1)
    if is_real.all():
        return None
    hidden = torch.from_numpy(~np.repeat(is_real, heads, axis=0))[:, None]
    return torch.zeros(hidden.shape).masked_fill_(hidden, -math.inf)
