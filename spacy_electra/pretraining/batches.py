"""Training sequences and their order, a pure function of seed and epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import Errors
from ..models.packing import PackedBatch
from .corpus.shards import Shards

# Apart from the numbers of epochs, which seed the order.
_CUTTING = 2**32
# Pieces of the shortest sequences that are cut short on purpose.
_SHORTEST = 8
_SENTENCE_ENDS = (".", "!", "?")
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
        batch_tokens: Pieces a batch, about (within ``length``), in place of
            ``batch_size``; 0 for none.
        cls_id: Id of [CLS].
        sep_id: Id of [SEP].
        seed: Of the order.
    """

    shards: Shards
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    batch_size: int
    batch_tokens: int
    cls_id: int
    sep_id: int
    seed: int

    @classmethod
    def from_shards(
        cls,
        shards: Shards,
        *,
        length: int,
        batch_size: int,
        seed: int,
        batch_tokens: int = 0,
        short_share: float = 0.0,
    ) -> SequenceBatches:
        """Cut a corpus.

        Args:
            shards: The corpus.
            length: Pieces a sequence.
            batch_size: Sequences a batch.
            seed: Of the order, and of what is cut short.
            batch_tokens: Pieces a batch, in place of ``batch_size``; 0 for none.
            short_share: Share of the sequences to cut into short ones.

        Raises:
            ValueError: If there are fewer sequences than one batch takes.
        """
        if 0 < batch_tokens < length:
            requirement = f"0 or at least data.length={length}"
            raise ValueError(
                Errors.SE003(
                    name="data.batch_tokens",
                    requirement=requirement,
                    value=batch_tokens,
                )
            )
        room = length - 2
        starts, sizes = _cut(shards.offsets[:-1], shards.offsets[1:], room)
        if short_share:
            random = np.random.default_rng((seed, _CUTTING))
            chosen = random.random(len(starts)) < short_share
            begins = starts[chosen]
            # Every length is as likely; a part may grow by half to end a sentence.
            most = max(room // 2, _SHORTEST)
            lengths = random.integers(_SHORTEST, most + 1, len(begins))
            short = _cut_at_sentences(begins, begins + sizes[chosen], lengths, shards)
            starts = np.concatenate([starts[~chosen], short[0]])
            sizes = np.concatenate([sizes[~chosen], short[1]])
        keep = sizes >= min(_FEWEST_PIECES, room)
        starts, sizes = starts[keep], sizes[keep]
        pieces = int((sizes + 2).sum())
        if batch_tokens and pieces < batch_tokens:
            raise ValueError(Errors.SE421(found=pieces, batch_tokens=batch_tokens))
        if not batch_tokens and len(starts) < batch_size:
            raise ValueError(Errors.SE408(found=len(starts), batch_size=batch_size))
        tokenizer = shards.tokenizer
        return cls(
            shards=shards,
            starts=starts,
            sizes=sizes,
            batch_size=batch_size,
            batch_tokens=batch_tokens,
            cls_id=tokenizer.cls_token_id,
            sep_id=tokenizer.sep_token_id,
            seed=seed,
        )

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches; what is left over comes in another epoch's order."""
        if self.batch_tokens:
            return int((self.sizes + 2).sum()) // self.batch_tokens
        return len(self.starts) // self.batch_size

    def __getitem__(self, number: int) -> PackedBatch:
        """A batch, counted over all epochs."""
        chosen = self._chosen(number)
        chosen = chosen[np.argsort(self.sizes[chosen], kind="stable")]
        sequences = []
        for index in chosen:
            start, size = self.starts[index], self.sizes[index]
            ids = np.empty(size + 2, dtype=np.int64)
            ids[0], ids[-1] = self.cls_id, self.sep_id
            ids[1:-1] = self.shards.ids[start : start + size]
            if ids.max() >= len(self.shards.counts):
                raise self.shards.damaged("an id lies beyond the vocabulary")
            sequences.append(torch.from_numpy(ids))
        return PackedBatch.from_sequences(sequences)

    def tokens(self, number: int) -> int:
        """Number of pieces of a batch, which need not be read for it."""
        return int((self.sizes[self._chosen(number)] + 2).sum())

    def _chosen(self, number: int) -> NDArray[np.int64]:
        """The sequences of a batch."""
        epoch, within = divmod(number, self.batches_per_epoch)
        order, ends = self._order(epoch)
        if self.batch_tokens:
            # A sequence belongs to the batch in which its last piece falls.
            limits = np.array([within, within + 1]) * self.batch_tokens
            first, last = np.searchsorted(ends, limits, side="right")
        else:
            first, last = within * self.batch_size, (within + 1) * self.batch_size
        return order[first:last]

    def _order(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Order of the sequences, and where in it each one ends, in pieces."""
        cached: tuple[int, Any] | None = getattr(self, "_cached", None)
        if cached is None or cached[0] != epoch:
            random = np.random.default_rng((self.seed, epoch))
            order = random.permutation(len(self.starts))
            ends = np.cumsum(self.sizes[order] + 2) if self.batch_tokens else order
            cached = (epoch, (order, ends))
            object.__setattr__(self, "_cached", cached)
        result: tuple[NDArray[np.int64], NDArray[np.int64]] = cached[1]
        return result


def _cut(
    begins: NDArray[np.int64], ends: NDArray[np.int64], room: int | NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut spans [N] into parts of ``room`` ids, one number or one for each span.

    Returns:
        First id and number of ids of each part; the last part of a span is what
        remains.
    """
    rooms = np.broadcast_to(room, begins.shape)
    parts = -(-(ends - begins) // rooms)
    first = np.cumsum(parts) - parts
    within = np.arange(parts.sum()) - np.repeat(first, parts)
    rooms = np.repeat(rooms, parts)
    starts = np.repeat(begins, parts) + within * rooms
    return starts, np.minimum(np.repeat(ends, parts) - starts, rooms)


def _cut_at_sentences(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    lengths: NDArray[np.int64],
    shards: Shards,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut spans [N] into parts of about ``lengths`` ids, between sentences if possible.

    A cut moves on to the next place where a sentence begins, unless that comes after
    the next cut. Nothing is lost: the part before it grows.

    Returns:
        First id and number of ids of each part.
    """
    starts, sizes = _cut(begins, ends, lengths)
    vocab = shards.tokenizer.vocab
    final = [vocab[text] for text in _SENTENCE_ENDS if text in vocab]
    sentences = np.flatnonzero(np.isin(shards.ids, final)) + 1
    if not len(sentences):
        return starts, sizes
    following = np.searchsorted(sentences, starts).clip(max=len(sentences) - 1)
    sentence = sentences[following]
    movable = ~np.isin(starts, begins) & (sentence >= starts)
    movable &= sentence < starts + sizes - _FEWEST_PIECES
    moved = np.where(movable, sentence, starts)
    grown = np.append((moved - starts)[1:], 0)
    return moved, starts + sizes + grown - moved
