"""What one thread does of a pass over the layers while a CPU trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

import torch
from torch import Tensor

from ..dropout import draw_seed, keeping_bits
from ..packing import AttentionLayout
from ..streams import on_all_threads, run_in_streams, thread_count
from .attention import Attention
from .blocks import Block
from .places import Places
from .scratch import Scratch
from .state import Layer, Masks

T = TypeVar("T")
R = TypeVar("R")

# Cost of the largest share over that of a mean one: others wait for it, if not on the
# way back, where they compute gradients of weights meanwhile.
_MOST_OF_A_SHARE = 1.4
# Where the states of a layer are no more values, operators take no longer than Python
# takes to call them. As it runs one thread at a time, all share each operator then.
_FEW_VALUES = 1 << 18


@dataclass(frozen=True)
class Share:
    """Some blocks, one after the other in all operations.

    Args:
        blocks: They follow each other.
        seeds: Of the masks of each layer and block.
        causal: Whether a piece sees only those before it.
        scratch: Memory to work in.
    """

    blocks: Sequence[Block]
    seeds: Sequence[Sequence[int]]
    causal: bool
    scratch: Scratch
    _places: dict[int, Places] = field(default_factory=dict)
    _attentions: dict[tuple[int, int, float], Attention] = field(default_factory=dict)

    @property
    def rows(self) -> slice:
        """Of all rows."""
        return slice(self.blocks[0].start, self.blocks[-1].stop)

    def attention(self, layer: Layer, width: int, dtype: torch.dtype) -> Attention:
        """Of a layer.

        Args:
            layer: The layer.
            width: Of all of its heads.
            dtype: Of the rows.
        """
        depth, dropout = width // layer.heads, layer.attention_dropout
        key = (layer.heads, depth, dropout)
        if key not in self._attentions:
            places = self._places_of(layer.heads)
            made = Attention(places, depth, dropout, dtype, self.scratch)
            self._attentions[key] = made
        return self._attentions[key]

    def _places_of(self, heads: int) -> Places:
        if heads not in self._places:
            lengths = [block.lengths for block in self.blocks]
            self._places[heads] = Places.of(lengths, heads, self.causal)
        return self._places[heads]

    def masks(self, number: int, layer: Layer, width: int) -> Masks:
        """What dropout keeps in a layer.

        Args:
            number: Of the layer.
            layer: The layer.
            width: Of the rows that come to it.
        """
        scores = self._places_of(layer.heads).scores
        probabilities = (layer.attention_dropout, *layer.dropouts)
        of_blocks: list[list[Tensor | None]] = []
        for block, count, seed in zip(
            self.blocks, scores, self.seeds[number], strict=True
        ):
            size = (block.stop - block.start) * width
            bits: list[Tensor | None] = []
            kinds = zip(probabilities, (count, size, size), strict=True)
            # Kinds of which as much is dropped are drawn at once.
            for p, run in groupby(kinds, itemgetter(0)):
                sizes = [size for _, size in run]
                bits += _drawn(sizes, p, seed + len(bits))
            of_blocks.append(bits)
        attention, *after = (_joined(parts) for parts in zip(*of_blocks, strict=True))
        first, second = (
            None if bits is None else bits.view(-1, width) for bits in after
        )
        return Masks(attention, first, second)


def share_out(layout: AttentionLayout, layers: int, width: int) -> list[Share]:
    """One a thread, where that is worth it; else one; none without rows.

    The random numbers are those of a layer and a block, however many threads there are,
    and whether layers are passed at once or one after the other.

    Args:
        layout: Where the sequences are.
        layers: How many are passed.
        width: Of the rows.
    """
    blocks, threads = layout.blocks.parts, thread_count()
    if not blocks:
        return []
    seeds = [[draw_seed() for _ in blocks] for _ in range(layers)]
    size = max(1, len(blocks) // threads)
    parts = [slice(first, first + size) for first in range(0, len(blocks), size)]
    costs = [sum(block.cost for block in blocks[part]) for part in parts]
    is_even = len(parts) == threads and (
        max(costs) * threads <= _MOST_OF_A_SHARE * sum(costs)
    )
    if not is_even or blocks[-1].stop * width <= _FEW_VALUES:
        parts = [slice(0, len(blocks))]
    return [
        Share(
            blocks[part],
            [of_layer[part] for of_layer in seeds],
            layout.causal,
            layout.scratch if len(parts) == 1 else Scratch(),
        )
        for part in parts
    ]


def run_shares(compute: Callable[[T], R], shares: Sequence[T]) -> list[R]:
    """Compute something for each share, side by side where there are several."""
    if len(shares) > 1:
        return run_in_streams(compute, shares)
    with on_all_threads():
        return [compute(share) for share in shares]


def _drawn(sizes: Sequence[int], p: float, seed: int) -> Sequence[Tensor | None]:
    """What dropout keeps of some values, int8 [size] each; None where it keeps all."""
    if not p:
        return [None] * len(sizes)
    return keeping_bits((sum(sizes),), p, seed).split_with_sizes(list(sizes))


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Those of all blocks, of which all or none are there."""
    there = [part for part in parts if part is not None]
    if len(there) < 2:
        return there[0] if there else None
    return torch.cat(there)
