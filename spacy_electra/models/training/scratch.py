"""Memory for what is needed for a moment while a CPU trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Scratch:
    """Gives the same memory for the same purpose each time.

    While a forward pass keeps more and more for the backward pass, new memory lies
    where nothing was before, and not in a cache: to write 2 MiB there takes longer than
    to compute what is written. What comes from here is overwritten by what is asked for
    next under the same name, so it must not be kept.
    """

    def __init__(self) -> None:
        self._memory: dict[tuple[str, torch.dtype], Tensor] = {}
        self._views: dict[tuple[Any, ...], Tensor] = {}

    def take(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Memory on the CPU with anything in it.

        Args:
            name: What it is for.
            shape: Its shape.
            dtype: Its dtype.
        """
        key = (name, dtype, *shape)
        view = self._views.get(key)
        if view is None:
            memory = self._memory_for(name, dtype, math.prod(shape))
            view = self._views[key] = memory.view(shape)
        return view

    def _memory_for(self, name: str, dtype: torch.dtype, size: int) -> Tensor:
        found = self._memory.get((name, dtype))
        if found is None or found.numel() < size:
            found = self._memory[name, dtype] = torch.empty(size, dtype=dtype)
        return found[:size]
