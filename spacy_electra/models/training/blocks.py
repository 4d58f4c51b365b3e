"""How the sequences of a batch are divided for threads that train side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..sharing import cut_evenly, share_evenly

# About as many rows of a batch go through a network by themselves, and no batch of
# fewer than these is divided.
ROWS_OF_A_BLOCK = 1024
FEWEST_ROWS_OF_BLOCKS = 512
# All that is done with a row beside attention costs as much as attention to about so
# many others, in ELECTRA-small.
SCORES_OF_A_ROW = 1024
# How much more the largest block may cost where each is a run of the batch, which has
# fewer lengths to pad to.
_MORE_OF_RUNS = 1.03


class Block(NamedTuple):
    """Some of the sequences of a batch.

    Args:
        lengths: Rows of each.
        start: Their first row, where the sequences of each block lie end to end.
        stop: The row after their last one.
        cost: Of a pass over its rows, in scores of a sequence.
    """

    lengths: tuple[int, ...]
    start: int
    stop: int
    cost: int


class Blocks(NamedTuple):
    """The blocks of a batch.

    Args:
        parts: The blocks.
        order: The row of the batch that each of their rows is, int64 [T]; None where
            they lie as in the batch.
        places: Where each row of the batch is among theirs, int64 [T]; None likewise.
    """

    parts: Sequence[Block]
    order: Tensor | None = None
    places: Tensor | None = None


def divide(lengths: Sequence[int]) -> Blocks:
    """Divide them into blocks of about one cost.

    The blocks depend on the lengths alone, and are two, or a multiple of two, or one of
    few rows.

    Args:
        lengths: Rows of each sequence, none of them 0.
    """
    total = sum(lengths)
    count = 1
    if total >= FEWEST_ROWS_OF_BLOCKS:
        count = 2 * max(1, round(total / 2 / ROWS_OF_A_BLOCK))
    costs = [length * (SCORES_OF_A_ROW + length) for length in lengths]
    shares = _shares(costs, count) if lengths else []
    parts, stop = [], 0
    for sequences in shares:
        inside = tuple(lengths[sequence] for sequence in sequences)
        start, stop = stop, stop + sum(inside)
        cost = sum(costs[sequence] for sequence in sequences)
        parts.append(Block(inside, start, stop, cost))
    if [n for sequences in shares for n in sequences] == list(range(len(lengths))):
        return Blocks(parts)
    starts = np.cumsum(lengths) - lengths
    order = np.concatenate(
        [
            np.arange(starts[sequence], starts[sequence] + lengths[sequence])
            for sequences in shares
            for sequence in sequences
        ]
    )
    return Blocks(parts, torch.from_numpy(order), torch.from_numpy(order.argsort()))


def _shares(costs: Sequence[int], count: int) -> list[list[int]]:
    """Runs of sequences, which are of about one length, unless others are more even."""
    candidates = cut_evenly(costs, count), share_evenly(costs, count)
    runs, others = (
        max(sum(costs[n] for n in share) for share in shares) for shares in candidates
    )
    return candidates[runs > others * _MORE_OF_RUNS]
