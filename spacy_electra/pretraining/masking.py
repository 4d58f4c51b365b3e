"""Which pieces the generator has to predict, and what it sees in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..models.packing import PackedBatch
from ..tokenization.wordpiece import ElectraTokenizer


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
        continues: Which pieces continue a word, bool [V]. Where it is given, words are
            chosen whole, as in the whole-word masking of BERT's later checkpoints, and
            a sequence may give up to one word more than its share.
    """

    mask_id: int
    special_ids: tuple[int, ...]
    share: float = 0.15
    share_masked: float = 0.85
    continues: Tensor | None = None

    @classmethod
    def from_tokenizer(
        cls, tokenizer: ElectraTokenizer, *, whole_words: bool = False, **shares: Any
    ) -> Masking:
        """With the special pieces of a tokenizer, and its words."""
        continues = torch.from_numpy(tokenizer.continuations) if whole_words else None
        return cls(
            mask_id=tokenizer.mask_token_id,
            special_ids=tuple(tokenizer.all_special_ids),
            continues=continues,
            **shares,
        )

    def __call__(self, batch: PackedBatch, random: torch.Generator) -> Masked:
        """Choose and mask pieces of a batch [T].

        Args:
            batch: On the CPU, where ``random`` is.
            random: Decides; its state alone determines the outcome.
        """
        ids = batch.input_ids
        lengths = torch.tensor(batch.lengths, dtype=torch.long)
        sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        special = torch.isin(ids, torch.tensor(self.special_ids))
        ordinary = torch.zeros(len(lengths), dtype=torch.long)
        ordinary.index_add_(0, sequence, (~special).long())
        wanted = (ordinary * self.share).round().long().clamp(min=1)
        wanted = torch.minimum(wanted, ordinary)
        # A random order within each sequence, specials last: the first few are chosen.
        draw = torch.rand(len(ids), generator=random, dtype=torch.float64)
        word = self._words(ids, special)
        if word is not None:
            draw = draw[word]
        draw = draw.where(~special, torch.ones_like(draw))
        order = (sequence + draw).argsort(stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(ids))
        start = (lengths.cumsum(0) - lengths)[sequence]
        chosen = (rank - start < wanted[sequence]) & ~special
        if word is None:
            rows = chosen.nonzero().squeeze(-1)
            hidden = torch.rand(len(rows), generator=random) < self.share_masked
        else:
            whole = torch.zeros_like(chosen).index_fill(0, word[chosen], True)
            rows = (whole[word] & ~special).nonzero().squeeze(-1)
            hides = torch.rand(len(ids), generator=random) < self.share_masked
            hidden = hides[word[rows]]
        masked_ids = ids.clone()
        masked_ids[rows[hidden]] = self.mask_id
        return Masked(batch.with_ids(masked_ids), rows, ids[rows])

    def _words(self, ids: Tensor, special: Tensor) -> Tensor | None:
        """Number of the word that each piece belongs to, where words matter."""
        if self.continues is None:
            return None
        begins = special | ~self.continues[ids] | special.roll(1)
        return begins.cumsum(0) - 1
