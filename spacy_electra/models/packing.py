"""Batches without padding: sequences end to end, and runs that share a call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from ..errors import Errors
from .training.blocks import Blocks, divide
from .training.scratch import Scratch

# A call costs some tens of microseconds on a CPU, whatever is in it. So sequences of
# nearly one length share a call, padded, where each length by itself has few rows.
FEW_ROWS = 1024
# The fused kernel takes longer with a mask, so there only the shortest share a call.
FEW_ROWS_FUSED = 128
# Shortest over longest of those that share a call.
LEAST_RATIO = 0.7


@dataclass(frozen=True)
class PackedBatch:
    """Sequences of pieces, end to end, without padding.

    Consecutive sequences of about one length share an attention call, so a batch whose
    sequences are sorted by length is the fastest; any order is right.

    Args:
        input_ids: Piece ids, int64 [T].
        token_type_ids: Segment of each piece, int64 [T].
        position_ids: Position of each piece in its sequence, int64 [T].
        lengths: Number of pieces of each sequence, in order; they add up to T.

    Raises:
        ValueError: If the lengths do not add up to T.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    lengths: Sequence[int]

    def __post_init__(self) -> None:
        total = sum(self.lengths)
        if total != self.input_ids.shape[0]:
            raise ValueError(Errors.SE006(total=total, rows=self.input_ids.shape[0]))

    @classmethod
    def from_sequences(
        cls, sequences: Sequence[Tensor], token_types: Sequence[Tensor] | None = None
    ) -> PackedBatch:
        """Pack sequences in the order given.

        Args:
            sequences: Piece ids of each, int64 [L].
            token_types: Segment of each piece of each sequence, int64 [L]; without
                them all pieces are of segment 0.

        Raises:
            ValueError: If the token types are more or fewer than the pieces.
        """
        lengths = [len(sequence) for sequence in sequences]
        ids = torch.cat(list(sequences)) if sequences else torch.empty(0).long()
        positions = [torch.arange(n, device=ids.device) for n in lengths]
        types = torch.zeros_like(ids)
        if token_types is not None:
            found = [len(part) for part in token_types]
            if found != lengths:
                raise ValueError(
                    Errors.SE003(
                        name="token_types",
                        requirement=f"of the lengths of the sequences, {lengths}",
                        value=found,
                    )
                )
            types = torch.cat([types[:0], *token_types])
        return cls(
            input_ids=ids,
            token_type_ids=types,
            position_ids=torch.cat(positions) if positions else ids,
            lengths=lengths,
        )

    @property
    def rows(self) -> int:
        """T, the rows of all sequences."""
        return self.input_ids.shape[0]

    @property
    def first_rows(self) -> Tensor:
        """Row of the first piece of each sequence, int64 [B]."""
        lengths = torch.tensor(self.lengths, dtype=torch.int64)
        return (lengths.cumsum(0) - lengths).to(self.input_ids.device)

    def with_ids(self, input_ids: Tensor) -> PackedBatch:
        """The same batch with other pieces."""
        return PackedBatch(
            input_ids, self.token_type_ids, self.position_ids, self.lengths
        )

    def to(self, device: torch.device | str) -> PackedBatch:
        """The same batch on some device."""
        own = self.input_ids.device
        if own == device or own == torch.device(device):
            return self
        return PackedBatch(
            self.input_ids.to(device, non_blocking=True),
            self.token_type_ids.to(device, non_blocking=True),
            self.position_ids.to(device, non_blocking=True),
            self.lengths,
        )


@dataclass(frozen=True)
class AttentionLayout:
    """How the rows of a batch fall into sequences, for attention.

    Args:
        segments: Runs that share a call; they cover all rows, in order.
        bias: Added to the scores, float [B, 1, Q, K]; only where there is one segment
            (a padded batch).
        causal: Whether a piece sees only those before it.
        eager: Whether to compute attention weights explicitly, as returned weights,
            head masks and relative positions need.
        head_masks: What each head's weights are multiplied by, float [layers, heads].
        cumulative_lengths: Where each sequence starts, int32 [B + 1], for kernels
            that take sequences of any length at once; None where there is no such
            kernel.
        longest: Longest sequence.
        scratch: Memory that the layers use one after the other.
    """

    segments: Sequence[Segment]
    bias: Tensor | None = None
    causal: bool = False
    eager: bool = False
    head_masks: Tensor | None = None
    cumulative_lengths: Tensor | None = None
    longest: int = 0
    scratch: Scratch = field(default_factory=Scratch, compare=False, repr=False)

    @cached_property
    def blocks(self) -> Blocks:
        """What threads that train side by side take."""
        return divide([n for segment in self.segments for n in segment.lengths])


def split_by_tokens(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Group sequences into batches of at most ``max_tokens`` pieces.

    Sequences are sorted by length, so that neighbours share an attention call. A
    sequence longer than ``max_tokens`` has a batch of its own.

    Args:
        lengths: Number of pieces of each sequence.
        max_tokens: Most pieces a batch.

    Returns:
        Indices into ``lengths``, one list a batch; each index stands in one of them.
    """
    if max_tokens < 1:
        raise ValueError(
            Errors.SE003(
                name="max_tokens", requirement="a positive int", value=max_tokens
            )
        )
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not batches or lengths[index] > room:
            batches.append([])
            room = max_tokens
        batches[-1].append(index)
        room -= lengths[index]
    return batches


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
        if not rows.requires_grad:
            return rows.index_select(0, self.sources)
        padded: Tensor = _Pad.apply(rows, self.sources, self.places)
        return padded

    def unpad(self, padded: Tensor) -> Tensor:
        """Float [count * length, n] -> [rows, n]."""
        if not padded.requires_grad:
            return padded.index_select(0, self.places)
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


def segments_of(
    lengths: Sequence[int], padded: bool = False, few_rows: int | None = None
) -> list[Segment]:
    """Runs of consecutive sequences that share a call.

    Args:
        lengths: Rows of each sequence; those of none are left out.
        padded: Whether sequences of nearly one length may share a call; else only those
            of the same do.
        few_rows: Most rows of a call that they share; ``FEW_ROWS`` where None.

    Returns:
        They cover all rows, in order.
    """
    runs = [tuple(run) for length, run in groupby(lengths) if length]
    segments = []
    start = 0
    few_rows = FEW_ROWS if few_rows is None else few_rows
    for run in _joined(runs, few_rows) if padded else runs:
        segments.append(Segment(start, run))
        start += segments[-1].rows
    return segments


def _joined(
    runs: Sequence[tuple[int, ...]], few_rows: int
) -> Iterator[tuple[int, ...]]:
    """Join neighbours that are small and of nearly one length."""
    joined: tuple[int, ...] = ()
    for run in runs:
        shortest, longest = min((*joined, *run)), max((*joined, *run))
        fits = longest * (len(joined) + len(run)) <= few_rows
        if joined and not (fits and shortest >= LEAST_RATIO * longest):
            yield joined
            joined = ()
        joined += run
    if joined:
        yield joined
