"""What one thread does of a pass over the layers while a CPU trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor

from .dropout import INTEGERS, draw_seed, keeping_bits
from .packing import AttentionLayout
from .scratch import Scratch
from .streams import run_in_streams
from .training_attention import Attention
from .training_blocks import Block
from .training_places import Places
from .training_state import Layer, Masks

T = TypeVar("T")
R = TypeVar("R")

# Cost of the largest share over that of a mean one: others wait for it, if not on the
# way back, where they compute gradients of weights meanwhile.
_MOST_OF_A_SHARE = 1.4


@dataclass(frozen=True)
class Share:
    """Some blocks, one after the other in all operations.

    Args:
        blocks: They follow each other.
        seeds: Of the masks of each block, one a kind.
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

    def masks(
        self, layers: Sequence[Layer], width: int, dtype: torch.dtype
    ) -> list[Masks]:
        """Those of all layers, drawn at once.

        Args:
            layers: The layers, from the lowest.
            width: Of a row.
            dtype: Of the rows.
        """
        of_blocks = [
            self._masks_of_block(number, layers, width, dtype)
            for number in range(len(self.blocks))
        ]
        return [
            Masks(*map(_joined, zip(*of_layer, strict=True)))
            for of_layer in zip(*of_blocks, strict=True)
        ]

    def _masks_of_block(
        self, number: int, layers: Sequence[Layer], width: int, dtype: torch.dtype
    ) -> list[tuple[Tensor | None, ...]]:
        """All kinds of a layer, layer by layer."""
        block, seeds = self.blocks[number], self.seeds[number]
        rows = (block.stop - block.start, width)
        scores = [self._places_of(layer.heads).scores[number] for layer in layers]
        of_scores = [
            (layer.attention_dropout, (count,))
            for layer, count in zip(layers, scores, strict=True)
        ]
        after = [[(layer.dropouts[n], rows) for layer in layers] for n in range(2)]
        return list(
            zip(
                _drawn(of_scores, seeds[0], torch.int8),
                _drawn(after[0], seeds[1], INTEGERS[dtype]),
                _drawn(after[1], seeds[2], INTEGERS[dtype]),
                strict=True,
            )
        )


def share_out(layout: AttentionLayout) -> list[Share]:
    """One a thread, where the blocks can be divided so; else one; none without rows.

    The random numbers are those of the blocks, however many threads there are.
    """
    blocks, threads = layout.blocks.parts, torch.get_num_threads()
    if not blocks:
        return []
    seeds = [[draw_seed() for _ in Masks._fields] for _ in blocks]
    size = max(1, len(blocks) // threads)
    parts = [slice(first, first + size) for first in range(0, len(blocks), size)]
    costs = [sum(block.cost for block in blocks[part]) for part in parts]
    if len(parts) != threads or max(costs) * threads > _MOST_OF_A_SHARE * sum(costs):
        parts = [slice(0, len(blocks))]
    return [
        Share(
            blocks[part],
            seeds[part],
            layout.causal,
            layout.scratch if len(parts) == 1 else Scratch(),
        )
        for part in parts
    ]


def run_shares(compute: Callable[[T], R], shares: Sequence[T]) -> list[R]:
    """Compute something for each share, side by side where there are several."""
    if len(shares) > 1:
        return run_in_streams(compute, shares)
    return [compute(share) for share in shares]


def _drawn(
    wanted: Sequence[tuple[float, tuple[int, ...]]], seed: int, integers: torch.dtype
) -> list[Tensor | None]:
    """What dropout keeps in each layer, where neighbours are mostly alike.

    Args:
        wanted: Of each layer, the share to drop and the shape.
        seed: Of the random numbers.
        integers: Dtype of the result.
    """
    found: list[Tensor | None] = []
    for (p, shape), run in groupby(wanted):
        count = len(list(run))
        if p:
            bits = keeping_bits((count, *shape), p, seed + len(found))
            found += bits.to(integers).unbind(0)
        else:
            found += [None] * count
    return found


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Those of all blocks, of which all or none are there."""
    there = [part for part in parts if part is not None]
    if len(there) < 2:
        return there[0] if there else None
    return torch.cat(there)
