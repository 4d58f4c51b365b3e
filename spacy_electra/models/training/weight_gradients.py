"""Gradients of matrices while a CPU trains, by whichever thread has time for them.

The gradient of a matrix is a product over all rows, and nothing in a backward pass
waits for it, as opposed to the gradients of rows, which go from layer to layer. So
threads that pass the layers side by side, each with rows of its own, leave it to the
one that is ahead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Condition

import torch
from torch import Tensor

Shapes = tuple[tuple[int, int], ...]
# Is given the number of the thread, of the layer and of the matrix in it, and the
# gradient of all rows of that matrix' product.
Compute = Callable[[int, int, int, Tensor], None]


class WeightGradients:
    """Hands out what is to be computed.

    Args:
        shapes: For each layer that is passed, the first one first, those of the
            gradients of the rows that its matrices give.
        dtype: Of the rows.
        threads: How many pass the layers.
        compute: Computes the gradient of a matrix.
    """

    def __init__(
        self,
        shapes: Sequence[Shapes],
        dtype: torch.dtype,
        threads: int,
        compute: Compute,
    ) -> None:
        self._shapes, self._dtype, self._compute = shapes, dtype, compute
        self._todo = [
            (layer, matrix)
            for layer, of in enumerate(shapes)
            for matrix in range(len(of))
        ]
        # How much of the former is to be done once so many layers are passed.
        self._ready = [0]
        for of in shapes:
            self._ready.append(self._ready[-1] + len(of))
        self._begun = 0
        self._passed = [0] * threads
        self._taken = 0
        self._has_failed = False
        self._changed = Condition()
        self._rows: dict[int, Sequence[Tensor]] = {}
        self._left = [len(of) for of in shapes]
        self._free: dict[Shapes, list[Sequence[Tensor]]] = defaultdict(list)

    @contextmanager
    def thread(self, number: int) -> Iterator[None]:
        """Let a thread pass all layers, and then do what is left.

        It waits for no other that fails, or has not begun: all of a pool may be busy.
        """
        with self._changed:
            self._begun += 1
        try:
            yield
            while self._do_next(number, waits=True):
                pass
        except BaseException:
            with self._changed:
                self._has_failed = True
                self._changed.notify_all()
            raise

    def rows(self, layer: int) -> Sequence[Tensor]:
        """Where the threads write the gradients of the rows that each matrix gives."""
        with self._changed:
            if layer not in self._rows:
                shapes = self._shapes[layer]
                free = self._free[shapes]
                self._rows[layer] = (
                    free.pop()
                    if free
                    else [torch.empty(shape, dtype=self._dtype) for shape in shapes]
                )
            return self._rows[layer]

    def passed(self, number: int) -> None:
        """Note that a thread has passed another layer, and let it do what it can."""
        with self._changed:
            self._passed[number] += 1
            self._changed.notify_all()
        while self._do_next(number, waits=False):
            pass

    def _do_next(self, number: int, waits: bool) -> bool:
        """Whether there was something to do for a thread."""
        taken = self._take(number, waits)
        if taken is None:
            return False
        layer, matrix = taken
        self._compute(number, layer, matrix, self._rows[layer][matrix])
        with self._changed:
            self._left[layer] -= 1
            if not self._left[layer]:
                self._free[self._shapes[layer]].append(self._rows.pop(layer))
        return True

    def _take(self, number: int, waits: bool) -> tuple[int, int] | None:
        """What a thread is to do; nothing where it has fallen behind others.

        Args:
            number: Of the thread.
            waits: Whether to wait until there is something, or never will be.
        """
        with self._changed:
            while not self._has_failed:
                is_behind = self._passed[number] < max(self._passed)
                if self._taken < self._ready[min(self._passed)] and not is_behind:
                    self._taken += 1
                    return self._todo[self._taken - 1]
                all_begun = self._begun == len(self._passed)
                if not (waits and all_begun) or self._taken == len(self._todo):
                    break
                self._changed.wait()
        return None
