"""Softmax over a vocabulary: its loss, a few rows at a time, in the cache of a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import exact_dtype

# Float32 values of a part: 1 MiB, what the second-level cache of a core holds. A part
# that has to be fetched from memory again takes three times as long.
_VALUES_OF_A_PART = 1 << 18


def rows_of_a_part(logits: Tensor) -> int:
    """How many rows of scores [M, V] to compute with at a time, at least one."""
    if logits.device.type != "cpu":
        return max(1, len(logits))
    # Each thread has its own cache.
    values = _VALUES_OF_A_PART * torch.get_num_threads()
    return max(1, values // max(1, logits.shape[-1]))


def exact(values: Tensor) -> Tensor:
    """Values as float32, in which softmax is computed, or float64 as they are."""
    return values.to(exact_dtype(values.dtype))


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Minus the logarithm of what a softmax gives to one class of each row, nats.

    As ``torch.nn.functional.cross_entropy`` with ``reduction="none"``, computed in
    float32. On a CPU nothing of the scores' size is written but their gradient, and
    that in their own precision: written to memory, the softmax of 300 x 30,522 scores
    takes longer than all layers of a small generator.

    Args:
        logits: Scores, float [M, V].
        targets: Classes, int64 [M].

    Returns:
        float32 [M] (float64 of scores in float64).
    """
    if logits.device.type != "cpu":
        return F.cross_entropy(exact(logits), targets, reduction="none")
    losses: Tensor = _CrossEntropy.apply(logits, targets)
    return losses


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        size = rows_of_a_part(logits)
        # The gradient of a row's loss is made of the same softmax.
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        losses = []
        for start in range(0, max(1, len(logits)), size):
            rows = slice(start, start + size)
            scores, own = exact(logits[rows]), targets[rows, None]
            best, right = scores.amax(-1), scores.gather(1, own).squeeze(1)
            shares = torch.softmax(scores, dim=-1)
            # The share of the best is one over the sum of what all are beside it.
            losses.append(best - right - shares.amax(-1).log())
            if gradient is not None:
                shares.scatter_add_(1, own, shares.new_full(own.shape, -1.0))
                gradient[rows] = shares
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return torch.cat(losses)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        scale = upstream[:, None]
        if len(upstream) and bool((upstream == upstream[0]).all()):
            # As of a mean: torch multiplies bf16 by one number without rounding it.
            return gradient * float(upstream[0]), None
        result, size = torch.empty_like(gradient), rows_of_a_part(gradient)
        parts = (values.split(size) for values in (gradient, scale, result))
        for part, own, into in zip(*parts, strict=True):
            into.copy_(exact(part) * own)
        return result, None


@torch.no_grad()
def is_best(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether one class of each row has the largest score, the first of equal ones.

    Args:
        logits: Scores, float [M, V].
        targets: Classes, int64 [M].

    Returns:
        bool [M].
    """
    # The largest value is found many times as fast as its place.
    best = logits.gather(1, targets[:, None]).squeeze(1) == logits.amax(-1)
    rows = best.nonzero().squeeze(1)
    best[rows] = logits[rows].float().argmax(-1) == targets[rows]
    return best
