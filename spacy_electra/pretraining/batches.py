"""Training sequences and their order, a pure function of seed and epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Errors
from ..models.packing import PackedBatch
from .shards import Shards

# A sequence of fewer pieces has too little context to learn from.
_FEWEST_PIECES = 4


@dataclass(frozen=True)
class SequenceBatches:
    """Batches of sequences cut from a tokenized corpus.

    A document is cut into sequences of ``length`` pieces, [CLS] and [SEP] among them;
    its last one is as long as what remains. Batch k is the same in every run with the
    same corpus and seed, so a resumed run needs to know nothing but k.

    Args:
        shards: The corpus.
        starts: First id of each sequence, int64 [N].
        sizes: Number of ids of each sequence, without specials, int64 [N].
        batch_size: Sequences a batch.
        cls_id: Id of [CLS].
        sep_id: Id of [SEP].
        seed: Of the order.
    """

    shards: Shards
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    batch_size: int
    cls_id: int
    sep_id: int
    seed: int

    @classmethod
    def from_shards(
        cls, shards: Shards, *, length: int, batch_size: int, seed: int
    ) -> SequenceBatches:
        """Cut a corpus.

        Raises:
            ValueError: If there are fewer sequences than one batch takes.
        """
        room = length - 2
        begins, ends = shards.offsets[:-1], shards.offsets[1:]
        per_document = -(-(ends - begins) // room)
        first = np.cumsum(per_document) - per_document
        within = np.arange(per_document.sum()) - np.repeat(first, per_document)
        starts = np.repeat(begins, per_document) + within * room
        sizes = np.minimum(np.repeat(ends, per_document) - starts, room)
        keep = sizes >= min(_FEWEST_PIECES, room)
        starts, sizes = starts[keep], sizes[keep]
        if len(starts) < batch_size:
            raise ValueError(Errors.SE408(found=len(starts), batch_size=batch_size))
        tokenizer = shards.tokenizer
        return cls(
            shards=shards,
            starts=starts,
            sizes=sizes,
            batch_size=batch_size,
            cls_id=tokenizer.cls_token_id,
            sep_id=tokenizer.sep_token_id,
            seed=seed,
        )

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches; what is left over comes in another epoch's order."""
        return len(self.starts) // self.batch_size

    def __getitem__(self, step: int) -> PackedBatch:
        """The batch of a step, counted over all epochs."""
        epoch, number = divmod(step, self.batches_per_epoch)
        order = self._order(epoch)
        chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
        chosen = chosen[np.argsort(self.sizes[chosen], kind="stable")]
        sequences = []
        for index in chosen:
            start, size = self.starts[index], self.sizes[index]
            ids = np.empty(size + 2, dtype=np.int64)
            ids[0], ids[-1] = self.cls_id, self.sep_id
            ids[1:-1] = self.shards.ids[start : start + size]
            sequences.append(torch.from_numpy(ids))
        return PackedBatch.from_sequences(sequences)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        cached: tuple[int, NDArray[np.int64]] | None = getattr(self, "_cached", None)
        if cached is None or cached[0] != epoch:
            random = np.random.default_rng((self.seed, epoch))
            cached = (epoch, random.permutation(len(self.starts)))
            object.__setattr__(self, "_cached", cached)
        return cached[1]
