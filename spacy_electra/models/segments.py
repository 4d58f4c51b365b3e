"""Runs of sequences that share an attention call, and the padding that some need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

# A call costs some tens of microseconds on a CPU, whatever is in it. So sequences of
# nearly one length share a call, padded, where each length by itself has few rows.
FEW_ROWS = 1024
# Shortest over longest of those that share a call.
LEAST_RATIO = 0.7


@dataclass(frozen=True)
class Segment:
    """A run of sequences that attention takes at once, as if of one length.

    Args:
        start: Its first row.
        lengths: Rows of each sequence.
    """

    start: int
    lengths: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of sequences."""
        return len(self.lengths)

    @cached_property
    def length(self) -> int:
        """Rows of the longest."""
        return max(self.lengths)

    @cached_property
    def rows(self) -> int:
        """Rows of all."""
        return sum(self.lengths)

    @cached_property
    def padding(self) -> Padding | None:
        """What lies beside the rows where not all are of one length."""
        if self.rows == self.count * self.length:
            return None
        lengths = torch.tensor(self.lengths)
        is_real = torch.arange(self.length) < lengths[:, None]
        places = is_real.view(-1).nonzero().squeeze(-1)
        sources = torch.zeros(is_real.numel(), dtype=torch.int64)
        sources[places] = torch.arange(self.rows)
        bias = torch.zeros(is_real.shape).masked_fill_(~is_real, -torch.inf)
        return Padding(sources, places, bias[:, None, None])


@dataclass(frozen=True)
class Padding:
    """Sequences of several lengths laid out as if of one.

    Args:
        sources: The row that each place takes, int64 [count * length]; the first one
            where there is none.
        places: Where each row goes, int64 [rows].
        bias: Minus infinity for keys that are padding, else 0, float32
            [count, 1, 1, length].
    """

    sources: Tensor
    places: Tensor
    bias: Tensor

    def pad(self, rows: Tensor) -> Tensor:
        """Float [rows, n] -> [count * length, n]."""
        padded: Tensor = _Pad.apply(rows, self.sources, self.places)
        return padded

    def unpad(self, padded: Tensor) -> Tensor:
        """Float [count * length, n] -> [rows, n]."""
        rows: Tensor = _Unpad.apply(padded, self.places)
        return rows


class _Pad(torch.autograd.Function):
    """Nothing comes back from padding, so the way back need not add rows up."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sources: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return rows.index_select(0, sources)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


class _Unpad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, padded: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.count = len(padded)
        return padded.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        padded = gradient.new_zeros(ctx.count, gradient.shape[1])
        return padded.index_copy_(0, places, gradient), None


def segments_of(lengths: Sequence[int], padded: bool = False) -> list[Segment]:
    """Runs of consecutive sequences that share a call.

    Args:
        lengths: Rows of each sequence; those of none are left out.
        padded: Whether sequences of nearly one length may share a call; else only those
            of the same do.

    Returns:
        They cover all rows, in order.
    """
    runs = [tuple(run) for length, run in groupby(lengths) if length]
    segments = []
    start = 0
    for run in _joined(runs) if padded else runs:
        segments.append(Segment(start, run))
        start += segments[-1].rows
    return segments


def _joined(runs: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    """Join neighbours that are small and of nearly one length."""
    joined: tuple[int, ...] = ()
    for run in runs:
        shortest, longest = min((*joined, *run)), max((*joined, *run))
        fits = longest * (len(joined) + len(run)) <= FEW_ROWS
        if joined and not (fits and shortest >= LEAST_RATIO * longest):
            yield joined
            joined = ()
        joined += run
    if joined:
        yield joined
