"""Batches without padding: all sequences end to end, and what attention must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import Errors
from .segments import Segment


@dataclass(frozen=True)
class PackedBatch:
    """Sequences of pieces, one behind the other, without padding.

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
        """The same batch on another device."""
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
    """

    segments: Sequence[Segment]
    bias: Tensor | None = None
    causal: bool = False
    eager: bool = False
    head_masks: Tensor | None = None
    cumulative_lengths: Tensor | None = None
    longest: int = 0


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
