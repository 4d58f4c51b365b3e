"""Thinc's Adam for all weights of a network at once, through torch's fused kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from thinc.api import Optimizer, get_current_ops
from torch import Tensor
from torch.optim.adamw import adamw

from ..models.sharing import share_evenly
from ..models.streams import run_in_streams, thread_count

Key = tuple[int, str]

# With fewer values, one thread changes all of them.
_FEWEST_VALUES = 1 << 20


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
    for part in parts:
        optimizer.nr_update[part.key] += 1
    sizes = [part.values.numel() for part in parts]
    threads = thread_count() if sum(sizes) >= _FEWEST_VALUES else 1
    shares = [
        _moments(optimizer, [parts[n] for n in own])
        for own in share_evenly(sizes, threads)
    ]
    if threads > 1:
        # To share out each of some hundred weights, the threads would have to wait for
        # each other as often.
        run_in_streams(partial(_step, optimizer), shares)
    else:
        for share in shares:
            _step(optimizer, share)
    averages: Any = optimizer.averages
    if averages is not None:
        for part in parts:
            values = part.values.numpy()
            average = averages.setdefault(part.key, np.zeros_like(values))
            number = optimizer.nr_update[part.key]
            get_current_ops().update_averages(average, values, number)


class _Alike(NamedTuple):
    """Weights that have been changed as often, and at the same rate.

    Args:
        updates: How often, this time included.
        scale: What their learning rate is multiplied by.
        values: The weights.
        gradients: Theirs.
        first: Their first moments.
        second: Their second moments.
    """

    updates: int
    scale: float
    values: list[Tensor]
    gradients: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]


def _moments(optimizer: Optimizer, parts: Sequence[Part]) -> list[_Alike]:
    """Parts with the moments that the optimizer has for them."""
    found: dict[tuple[int, float], _Alike] = {}
    for part in parts:
        key = (optimizer.nr_update[part.key], part.scale)
        alike = found.setdefault(key, _Alike(*key, [], [], [], []))
        alike.values.append(part.values)
        alike.gradients.append(part.gradient)
        alike.first.append(_moment(optimizer.mom1, part))
        alike.second.append(_moment(optimizer.mom2, part))
    return list(found.values())


def _step(optimizer: Optimizer, share: Sequence[_Alike]) -> None:
    for updates, scale, values, gradients, first, second in share:
        _clip(gradients, optimizer.grad_clip)
        # Thinc's weights decay after the step, torch's before it.
        decay = scale * optimizer.learn_rate * optimizer.L2
        rate = scale * optimizer.learn_rate * (1 - decay)
        adamw(
            values,
            gradients,
            first,
            second,
            [],
            list(torch.full((len(values),), updates - 1.0).unbind()),
            fused=True,
            amsgrad=False,
            beta1=optimizer.b1,
            beta2=optimizer.b2,
            lr=rate,
            weight_decay=decay / rate if rate else 0.0,
            # Thinc adds it before the correction of the second moment, torch after.
            eps=optimizer.eps / (1 - optimizer.b2**updates) ** 0.5,
            maximize=False,
        )


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
