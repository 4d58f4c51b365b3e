"""Dropout whose masks cost little on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Numbers are drawn with 64 bits and used as four int16 each.
_PARTS = 4
_LOWEST, _HIGHEST = torch.iinfo(torch.int16).min, torch.iinfo(torch.int16).max
_INTEGERS = {
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
    bits serves four values, and the mask is applied by integer arithmetic. ``p`` is
    rounded to a multiple of 2^-16. Torch's generator gives the seed of each call's
    random numbers, so its state alone determines them.

    Args:
        values: float [...].
        p: Probability that a value is dropped, 0 to 1.
        training: Whether to drop anything at all.

    Returns:
        float [...].
    """
    if not training or p == 0.0:
        return values
    if values.device.type != "cpu" or values.dtype not in _INTEGERS or p == 1.0:
        return F.dropout(values, p, training)
    dropped: Tensor = _Dropout.apply(values, keeping_bits(values, p), 1 / (1 - p))
    return dropped


def keeping_bits(values: Tensor, p: float) -> Tensor:
    """All bits set where a value is kept, none where it is dropped: int16 [...].

    Args:
        values: On the CPU, of which only the shape counts.
        p: Probability that a value is dropped, below 1.
    """
    number = values.numel()
    seed = int(torch.randint(1 << 62, ()))
    drawn = np.random.SFC64(seed).random_raw(-(-number // _PARTS))
    bits = torch.from_numpy(drawn.view(np.int16))[:number].view(values.shape)
    # Of the numbers from the lowest up to the limit comes -1, all bits; of others 0.
    limit = round((1 - p) * (_HIGHEST - _LOWEST + 1)) + _LOWEST
    limit = min(max(limit, _LOWEST + 1), _HIGHEST)
    return bits.clamp_(limit - 1, limit).sub_(limit)


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


def keep(values: Tensor, keeping: Tensor, into: Tensor | None = None) -> Tensor:
    """Set values to 0 where no bits are set, and leave the others as they are.

    Args:
        values: float [...].
        keeping: What ``keeping_bits`` gave, [...].
        into: Where the result goes, contiguous; may be ``values``.
    """
    integers = values.contiguous().view(_INTEGERS[values.dtype])
    bits = keeping.to(integers.dtype)
    if into is None:
        return (integers & bits).view(values.dtype)
    torch.bitwise_and(integers, bits, out=into.view(integers.dtype))
    return into
