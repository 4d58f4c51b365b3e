"""Which pieces the generator has to predict, and what it sees in their place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.packing import PackedBatch


@dataclass(frozen=True)
class Masked:
    """A batch with pieces to predict.

    Args:
        batch: What the generator sees.
        rows: Rows to predict, int64 [M], ascending.
        originals: What stood there, int64 [M].
    """

    batch: PackedBatch
    rows: Tensor
    originals: Tensor


@dataclass(frozen=True)
class Masking:
    """Masking of the reference implementation (BERT's, with other shares).

    Of each sequence the same share of pieces is chosen, at least one; [MASK] takes the
    place of most of them and the rest stay as they are.

    Args:
        mask_id: Id of [MASK].
        special_ids: Ids that are never chosen.
        share: Share of a sequence's pieces to predict.
        share_masked: Share of those whose place [MASK] takes.
    """

    mask_id: int
    special_ids: tuple[int, ...]
    share: float = 0.15
    share_masked: float = 0.85

    def __call__(self, batch: PackedBatch, random: torch.Generator) -> Masked:
        """Choose and mask pieces of a batch [T].

        Args:
            batch: On the CPU, where ``random`` is.
            random: Decides; its state alone determines the outcome.
        """
        ids = batch.input_ids
        lengths = torch.tensor(batch.lengths)
        sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        special = torch.isin(ids, torch.tensor(self.special_ids))
        ordinary = torch.zeros(len(lengths), dtype=torch.long)
        ordinary.index_add_(0, sequence, (~special).long())
        wanted = (ordinary * self.share).round().long().clamp(min=1)
        wanted = torch.minimum(wanted, ordinary)
        # A random order within each sequence, specials last: the first few are chosen.
        draw = torch.rand(len(ids), generator=random, dtype=torch.float64)
        order = (sequence + draw.where(~special, torch.ones_like(draw))).argsort()
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(ids))
        start = (lengths.cumsum(0) - lengths)[sequence]
        rows = ((rank - start < wanted[sequence]) & ~special).nonzero().squeeze(-1)
        hidden = torch.rand(len(rows), generator=random) < self.share_masked
        masked_ids = ids.clone()
        masked_ids[rows[hidden]] = self.mask_id
        return Masked(batch.with_ids(masked_ids), rows, ids[rows])
