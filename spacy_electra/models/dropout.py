"""Dropout whose masks cost little on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Numbers are drawn with 64 bits and used as eight int8 each.
_PARTS = 8
_LOWEST, _VALUES = -128, 256
INTEGERS = {
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}


class Dropout(nn.Module):
    """As ``torch.nn.Dropout``, through ``drop``.

    Args:
        p: Probability that a value is dropped.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Float [...] -> the same shape."""
        return drop(values, self.p, self.training)


def drop(values: Tensor, p: float, training: bool = True) -> Tensor:
    """Set values to 0 with probability ``p`` and divide the others by 1 - p.

    Torch draws a random number for each value, which on a CPU takes several times as
    long as all else that a layer does between its matrix products. Here one draw of 64
    bits serves eight values, and the mask is applied by integer arithmetic. Torch's
    generator gives the seed of each call's random numbers, so its state alone
    determines them.

    Args:
        values: float [...].
        p: Probability that a value is dropped, 0 to 1.
        training: Whether to drop anything at all.

    Returns:
        float [...].
    """
    if not training or p == 0.0:
        return values
    if values.device.type != "cpu" or values.dtype not in INTEGERS or p == 1.0:
        return F.dropout(values, p, training)
    dropped: Tensor = _Dropout.apply(values, keeping_bits(values.shape, p), 1 / (1 - p))
    return dropped


def draw_seed() -> int:
    """A seed for ``keeping_bits``, from torch's generator."""
    return int(torch.randint(1 << 62, ()))


def keeping_bits(shape: Sequence[int], p: float, seed: int | None = None) -> Tensor:
    """All bits set where a value is kept, none where it is dropped: int8 [...].

    A byte is below a limit with a probability that is a multiple of 2^-8. So the limit
    is one higher for a part of the values that begins at a random place and is as large
    as makes the probability ``p`` for each value.

    Args:
        shape: Of the values.
        p: Probability that a value is dropped, below 1.
        seed: Of the random numbers; torch's generator gives one where there is none.
    """
    number = math.prod(shape)
    random = np.random.SFC64(draw_seed() if seed is None else seed)
    drawn = random.random_raw(1 - (-number // _PARTS))
    limit, rest = divmod((1 - p) * _VALUES, 1.0)
    higher = round(rest * number)
    # The last word is no values'.
    start = int(drawn[-1] >> 1) % max(number, 1)
    bits = torch.from_numpy(drawn.view(np.int8))[:number]
    stop = start + higher
    # What goes beyond the end goes on at the beginning.
    bounds = [max(stop - number, 0), start, min(stop, number), number]
    begin = 0
    for end, is_higher in zip(bounds, (1, 0, 1, 0), strict=True):
        if end > begin:
            _compare(bits[begin:end], int(limit) + is_higher + _LOWEST)
        begin = end
    return bits.view(*shape)


def _compare(drawn: Tensor, limit: int) -> None:
    """-1, which has all bits set, in place of what is below a limit, 0 for others."""
    if limit == _LOWEST:
        drawn.zero_()
    elif limit == _LOWEST + _VALUES:
        drawn.fill_(-1)
    else:
        drawn.clamp_(limit - 1, limit).sub_(limit)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, keeping: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(keeping)
        ctx.scale = scale
        return keep(values, keeping).mul_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (keeping,) = ctx.saved_tensors
        return keep(gradient, keeping).mul_(ctx.scale), None, None


def keep(values: Tensor, keeping: Tensor) -> Tensor:
    """Set values to 0 where no bits are set, and leave the others as they are.

    Args:
        values: float [...].
        keeping: What ``keeping_bits`` gave, [...].
    """
    kept = torch.empty(values.shape, dtype=values.dtype)
    integers = words(values.contiguous())
    torch.bitwise_and(integers, keeping.to(integers.dtype), out=words(kept))
    return kept


def words(values: Tensor) -> Tensor:
    """The same memory as integers, [...]."""
    return values.view(INTEGERS[values.dtype])
