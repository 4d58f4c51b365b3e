"""A moving average of weights, which often does better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .distributed import divided_like


class WeightAverage:
    """Exponential moving average of a module's weights (Polyak and Juditsky, 1992).

    The decay of step t is at most (1 + t) / (10 + t), so that the first, random weights
    are soon forgotten, as in TensorFlow's ``ExponentialMovingAverage``.

    Args:
        module: Its weights that learn are averaged.
        decay: Share of the average that stays each step.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._weights: dict[str, Tensor] = {
            name: parameter
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self._average = {
            name: weight.detach().clone() for name, weight in self._weights.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        average, weights = list(self._average.values()), list(self._weights.values())
        torch._foreach_lerp_(average, weights, 1 - decay)

    @torch.no_grad()
    def restart(self) -> None:
        """Begin with the weights of now, as if no step had been."""
        self.steps = 0
        for name, weight in self._weights.items():
            self._average[name].copy_(weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module with the average for its weights, for as long as this lasts."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def tensors(self) -> dict[str, Tensor]:
        """All that ``load`` needs."""
        return {**self._average, "steps": torch.tensor(self.steps)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what ``tensors`` gave."""
        self.steps = int(tensors["steps"])
        for name, average in self._average.items():
            average.copy_(divided_like(average, tensors[name]))

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            kept = weight.clone()
            weight.copy_(self._average[name])
            self._average[name].copy_(kept)
