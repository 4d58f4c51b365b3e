"""Dropout whose masks cost little on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Numbers are drawn as int64 and used as four int16 each.
_PARTS = 4
_HALF_RANGE = 1 << 14
_SIGN_BIT = 15
_INTEGERS = {
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
    torch.float32: torch.int32,
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
    rounded to a multiple of 2^-15. Random numbers are those of torch's generator.

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
    dropped: Tensor = _Dropout.apply(values, _keeping_bits(values, p), 1 / (1 - p))
    return dropped


def _keeping_bits(values: Tensor, p: float) -> Tensor:
    """All bits set where a value is kept, none where it is dropped: int16 [...]."""
    number = values.numel()
    drawn = torch.empty(-(-number // _PARTS), dtype=torch.int64)
    drawn.random_(torch.iinfo(torch.int64).min, None)
    bits = drawn.view(torch.int16)[:number].view(values.shape)
    # A uniform number of 15 bits less the limit is negative where it lies below it, and
    # its sign spreads over all bits.
    limit = round((1 - p) * 2 * _HALF_RANGE) - _HALF_RANGE
    return bits.bitwise_right_shift_(1).sub_(limit).bitwise_right_shift_(_SIGN_BIT)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, keeping: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(keeping)
        ctx.scale = scale
        return _apply(values, keeping, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (keeping,) = ctx.saved_tensors
        return _apply(gradient, keeping, ctx.scale), None, None


def _apply(values: Tensor, keeping: Tensor, scale: float) -> Tensor:
    integer = _INTEGERS[values.dtype]
    kept = values.contiguous().view(integer) & keeping.to(integer)
    return kept.view(values.dtype).mul_(scale)
