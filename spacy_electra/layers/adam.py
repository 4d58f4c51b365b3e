"""Thinc's Adam for all weights of a network at once, through torch's fused kernel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from thinc.api import Optimizer, get_current_ops
from torch import Tensor
from torch.optim.adamw import adamw

Key = tuple[int, str]


@dataclass(frozen=True)
class Part:
    """A weight, or the rows of one that an optimizer takes for a weight of its own.

    Args:
        key: What the optimizer knows it by.
        values: Are changed in their place, float32 [...].
        gradient: May be changed, of the same shape.
        scale: What its learning rate is multiplied by.
    """

    key: Key
    values: Tensor
    gradient: Tensor
    scale: float = 1.0


def is_plain_adam(optimizer: Optimizer, parts: Sequence[Part]) -> bool:
    """Whether ``step`` does with these weights what the optimizer would do."""
    return (
        type(optimizer) is Optimizer
        and not optimizer.use_radam
        and optimizer.b1 > 0.0
        and optimizer.b2 > 0.0
        and (optimizer.L2 == 0.0 or optimizer.L2_is_weight_decay)
        and all(
            part.values.device.type == "cpu" and part.values.dtype == torch.float32
            for part in parts
        )
    )


def step(optimizer: Optimizer, parts: Sequence[Part]) -> None:
    """What calling the optimizer with each part does, but for rounding.

    NumPy goes over each weight ten times, one weight after the other, on one thread.
    The moments, the counts of updates and the averages stay those of the optimizer, so
    it can be saved, or go on by itself, at any time.

    Args:
        optimizer: One for which ``is_plain_adam`` holds.
        parts: Each once.
    """
    _clip([part.gradient for part in parts], optimizer.grad_clip)
    alike: dict[tuple[int, float], list[Part]] = defaultdict(list)
    for part in parts:
        optimizer.nr_update[part.key] += 1
        alike[optimizer.nr_update[part.key], part.scale].append(part)
    for (number, scale), group in alike.items():
        steps = [torch.tensor(float(number - 1)) for _ in group]
        # Thinc's weights decay after the step, torch's before it.
        decay = scale * optimizer.learn_rate * optimizer.L2
        rate = scale * optimizer.learn_rate * (1 - decay)
        adamw(
            [part.values for part in group],
            [part.gradient for part in group],
            [_moment(optimizer.mom1, part) for part in group],
            [_moment(optimizer.mom2, part) for part in group],
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=optimizer.b1,
            beta2=optimizer.b2,
            lr=rate,
            weight_decay=decay / rate if rate else 0.0,
            # Thinc adds it before the correction of the second moment, torch after.
            eps=optimizer.eps / (1 - optimizer.b2**number) ** 0.5,
            maximize=False,
        )
    averages: Any = optimizer.averages
    if averages is not None:
        for part in parts:
            values = part.values.numpy()
            average = averages.setdefault(part.key, np.zeros_like(values))
            number = optimizer.nr_update[part.key]
            get_current_ops().update_averages(average, values, number)


def _clip(gradients: list[Tensor], limit: float) -> None:
    """Scale each gradient whose norm is larger down to it; 0 for no limit."""
    if not limit or not gradients:
        return
    norms = torch.stack(torch._foreach_norm(gradients))
    factors = (limit / norms.clamp(min=limit)).tolist()
    large = [number for number, factor in enumerate(factors) if factor < 1.0]
    if large:
        torch._foreach_mul_(
            [gradients[number] for number in large],
            [factors[number] for number in large],
        )


def _moment(moments: Any, part: Part) -> Tensor:
    """The optimizer's own memory; zeros where it has none yet."""
    found = moments.get(part.key)
    if found is None:
        found = np.zeros(part.values.numel(), dtype="float32")
    # Loaded from a file it may be read-only.
    if not found.flags.writeable:
        found = found.copy()
    moments[part.key] = found
    return torch.from_numpy(found).view(part.values.shape)
