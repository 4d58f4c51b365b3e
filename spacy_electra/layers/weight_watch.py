"""Whether the weights of a network are still those that something was made of."""

from __future__ import annotations

from itertools import chain
from operator import attrgetter, is_
from typing import Any

from torch import Tensor, nn

_version = attrgetter("_version")


class WeightWatch:
    """Remembers the weights of a network, without a copy.

    Where somebody else holds the network, they may change by hand, written to in place
    or replaced, alone or with their module. Each short text asks, when little of this
    is in the processor's caches, so the lists are made once, and no step of Python is
    taken for a weight.

    Args:
        network: Holds them.
    """

    def __init__(self, network: nn.Module) -> None:
        modules = list(network.modules())
        owned: list[dict[str, Any]] = [
            *(module._parameters for module in modules),
            *(module._modules for module in modules),
        ]
        self._owned = [part for part in owned if part]
        self._parts = self._find_parts()
        self._weights = [part for part in self._parts if isinstance(part, Tensor)]
        self._state = self._read_state()

    def is_unchanged(self) -> bool:
        """Whether all weights are those that they were."""
        parts = self._find_parts()
        return (
            len(parts) == len(self._parts)
            and all(map(is_, parts, self._parts))
            and self._read_state() == self._state
        )

    def _find_parts(self) -> list[Any]:
        return [*chain.from_iterable(map(dict.values, self._owned))]

    def _read_state(self) -> list[int]:
        """Where each weight lies, and how often it was written to."""
        places = map(Tensor.data_ptr, self._weights)
        return [*places, *map(_version, self._weights)]
