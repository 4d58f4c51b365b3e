"""What the layers are made of, take and keep while a CPU trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

# Matrix and bias of queries, keys and values, of what attention gives, of its norm, of
# the way up, of the way down, and of the last norm.
WEIGHTS = 12
PRODUCTS, NORMS = (0, 2, 6, 8), (4, 10)


class Layer(NamedTuple):
    """What a layer is beside its weights.

    Args:
        heads: Number of heads.
        attention_dropout: Share of attention weights to drop.
        dropouts: Share of values to drop after attention and after the feed-forward
            part.
        eps: Of the layer norms.
        gelu: Which GELU it has, "none" or "tanh", as torch names them.
    """

    heads: int
    attention_dropout: float
    dropouts: tuple[float, float]
    eps: float
    gelu: str

    @property
    def scales(self) -> tuple[float, float, float, float]:
        """What the four products give is multiplied by, where not dropped."""
        first, second = (1 / (1 - p) for p in self.dropouts)
        return 1.0, first, 1.0, second


class Masks(NamedTuple):
    """What dropout keeps in a layer, in each of some blocks.

    Args:
        attention: Of the attention weights, int8 [S]; None where it keeps all.
        after_attention: Of the rows after attention, int8 [T, H]; None where it keeps
            all.
        after_all: The same after the feed-forward part.
    """

    attention: Tensor | None
    after_attention: Tensor | None
    after_all: Tensor | None


class Weights(NamedTuple):
    """Those of a layer, as its operations take them.

    Args:
        matrices: Of the four products.
        norms: Weight and bias of the first one, then those of the second.
        biases: Of the products; none on the way back.
    """

    matrices: Sequence[Tensor]
    norms: Sequence[Tensor]
    biases: Sequence[Tensor] = ()


class Rows(NamedTuple):
    """What the four products of a layer take, or the gradients of what they give.

    Args:
        projected: Of queries, keys and values: float [T, H], or [T, 3 H].
        output: Of what comes from attention.
        up: To the width of the feed-forward part.
        down: Back from it.
    """

    projected: Tensor
    output: Tensor
    up: Tensor
    down: Tensor

    def of(self, rows: slice) -> Rows:
        """Some of them."""
        return Rows(*(matrix[rows] for matrix in self))


class Saved(NamedTuple):
    """What the way back needs of a layer, beside what the products took.

    Args:
        sums: In front of both norms, float [T, H].
        expanded: In front of GELU, float [T, I].
        statistics: Of the rows of both norms, float [T, 1].
        split: What attention gives.
        weights: The same.
        masks: What dropout kept.
    """

    sums: tuple[Tensor, Tensor]
    expanded: Tensor
    statistics: tuple[Tensor, Tensor, Tensor, Tensor]
    split: Tensor
    weights: Tensor
    masks: Masks

    def flat(self) -> list[Tensor | None]:
        """In a row, for autograd to keep."""
        first = (*self.sums, self.expanded, *self.statistics)
        return [*first, self.split, self.weights, *self.masks]

    @classmethod
    def of(cls, flat: tuple[Any, ...]) -> Saved:
        """From what ``flat`` gave."""
        return cls(
            flat[:2], flat[2], flat[3:7], flat[7], flat[8], Masks(*flat[9:SAVED])
        )


SAVED = 9 + len(Masks._fields)
