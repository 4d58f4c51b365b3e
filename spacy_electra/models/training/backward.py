"""The way back through all layers while a CPU trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ..dropout import words
from ..precision import exact_dtype
from .scratch import Scratch
from .share import Share, run_shares
from .state import (
    NORMS,
    PRODUCTS,
    SAVED,
    WEIGHTS,
    Layer,
    Rows,
    Saved,
    Weights,
)
from .weight_gradients import WeightGradients


class Backward:
    """The way back through all layers."""

    def __init__(self, ctx: Any, upstream: Tensor) -> None:
        self.shares: Sequence[Share] = ctx.shares
        self.layers: Sequence[Layer] = ctx.layers
        self.upstream = upstream
        self._dtypes = ctx.dtypes
        self._needs_below = ctx.needs_input_grad[0]
        self._wanted = ctx.needs_input_grad[4:]
        left = iter(ctx.saved_tensors)
        count = len(self.layers)
        self._weights = [
            Weights(_some(left, len(PRODUCTS)), _some(left, 2 * len(NORMS)))
            for _ in range(count)
        ]
        self._taken = [Rows(*_some(left, len(Rows._fields))) for _ in range(count)]
        self._saved = [
            [Saved.of(_some(left, SAVED)) for _ in range(count)] for _ in self.shares
        ]
        self._found: list[Tensor | None] = [None] * len(self._wanted)

    def run(self) -> tuple[Tensor | None, list[Tensor | None]]:
        """The gradients of the rows below the first layer, and of the weights."""
        # What lies below the lowest layer that learns is left alone.
        lowest = 0
        if not self._needs_below:
            lowest = self._wanted.index(True) // WEIGHTS
        order = range(len(self.layers) - 1, lowest - 1, -1)
        below = torch.empty_like(self.upstream) if self._needs_below else None
        number_of_rows = len(self.upstream)

        def compute(thread: int, place: int, matrix: int, rows: Tensor) -> None:
            self._note(self.shares[thread].scratch, order[place], matrix, rows)

        gradients = WeightGradients(
            [
                tuple((number_of_rows, len(m)) for m in self._weights[n].matrices)
                for n in order
            ],
            self.upstream.dtype,
            len(self.shares),
            compute,
        )

        @torch.no_grad()
        def pass_down(number: int) -> list[Sequence[Tensor | None]]:
            share = self.shares[number]
            rows, norms = self.upstream[share.rows], []
            with gradients.thread(number):
                for place, layer in enumerate(order):
                    into = Rows(*gradients.rows(place)).of(share.rows)
                    rows, of_norms = self._layer(number, layer, rows, into)
                    norms.append(of_norms)
                    gradients.passed(number)
                if below is not None:
                    below[share.rows] = rows
            return norms

        for norms in run_shares(pass_down, range(len(self.shares))):
            for layer, of_norms in zip(order, norms, strict=True):
                self._add_norms(layer, of_norms)
        return below, self._found

    def _layer(
        self, thread: int, number: int, upstream: Tensor, into: Rows
    ) -> tuple[Tensor, Sequence[Tensor | None]]:
        """Pass a layer.

        Args:
            thread: Number of the share.
            number: Of the layer.
            upstream: The gradient of the rows after the layer.
            into: Takes the gradients of what the products gave.

        Returns:
            The gradient of the rows before the layer, and those of the norms.
        """
        share, layer = self.shares[thread], self.layers[number]
        saved, weights = self._saved[thread][number], self._weights[number]
        scratch, masks = share.scratch, saved.masks
        projected, output, up, down = weights.matrices
        wanted = [self._wanted[place] for place in _norm_places(number)]
        summed, *last = _norm_gradient(
            upstream,
            saved.sums[1],
            weights.norms[2:],
            saved.statistics[2:],
            wanted[2:],
            scratch,
        )
        _keep(summed, masks.after_all, into.down)
        torch.mm(into.down, down, out=into.up)
        torch.ops.aten.gelu_backward.grad_input(
            into.up, saved.expanded, approximate=layer.gelu, grad_input=into.up
        )
        summed, *first = _norm_gradient(
            summed.addmm_(into.up, up),
            saved.sums[0],
            weights.norms[:2],
            saved.statistics[:2],
            wanted[:2],
            scratch,
        )
        _keep(summed, masks.after_attention, into.output)
        width = output.shape[1]
        with_zeros = scratch.take("states", (len(summed) + 1, width), summed.dtype)
        torch.mm(into.output, output, out=with_zeros[:-1])
        with_zeros[-1].zero_()
        share.attention(layer, width, summed.dtype).backward(
            with_zeros, saved.split, saved.weights, masks.attention, into.projected
        )
        return summed.addmm_(into.projected, projected), (*first, *last)

    def _note(self, scratch: Scratch, number: int, product: int, rows: Tensor) -> None:
        """The gradients of a matrix of a layer and its bias.

        Args:
            scratch: Memory of the thread.
            number: Of the layer.
            product: Of its four products.
            rows: The gradient of all rows that the product gave.
        """
        place, taken = (
            WEIGHTS * number + PRODUCTS[product],
            self._taken[number][product],
        )
        scale = self.layers[number].scales[product]
        if self._wanted[place]:
            shape = (rows.shape[1], taken.shape[1])
            into = scratch.take("matrix", shape, rows.dtype)
            torch.addmm(into, rows.t(), taken, beta=0, alpha=scale, out=into)
            self._found[place] = into.to(self._dtypes[place], copy=True)
        if self._wanted[place + 1]:
            made = rows.sum(0).to(self._dtypes[place + 1])
            self._found[place + 1] = made if scale == 1.0 else made.mul_(scale)

    def _add_norms(self, number: int, gradients: Sequence[Tensor | None]) -> None:
        """Add what a share found for the norms of a layer."""
        for place, gradient in zip(_norm_places(number), gradients, strict=True):
            before = self._found[place]
            if before is None:
                self._found[place] = gradient
            elif gradient is not None:
                before.add_(gradient)


def _norm_places(number: int) -> list[int]:
    """Where weight and bias of both norms of a layer are among all weights."""
    return [WEIGHTS * number + norm + part for norm in NORMS for part in (0, 1)]


def _some(left: Iterator[Any], count: int) -> tuple[Any, ...]:
    """The next ones."""
    return tuple(islice(left, count))


def _keep(gradient: Tensor, mask: Tensor | None, into: Tensor) -> None:
    """Write the gradient of what was not dropped."""
    if mask is None:
        into.copy_(gradient)
    else:
        torch.bitwise_and(words(gradient), mask, out=words(into))


def _norm_gradient(
    upstream: Tensor,
    rows: Tensor,
    norm: Sequence[Tensor],
    statistics: Sequence[Tensor],
    wanted: Sequence[bool],
    scratch: Scratch,
) -> Sequence[Any]:
    """Gradients of rows, weight and bias; None for what is not wanted."""
    # Of rows in bf16 torch adds up the gradients of the weights in bf16 too, which over
    # some thousand rows makes them wrong by some percent.
    dtype = rows.dtype
    exact = exact_dtype(dtype)
    if dtype != exact:
        upstream, rows = (
            scratch.take(name, values.shape, exact).copy_(values)
            for name, values in (("upstream", upstream), ("rows", rows))
        )
    weight, bias, mean, deviation = (
        values.to(exact) for values in (*norm, *statistics)
    )
    below, *of_norm = torch.ops.aten.native_layer_norm_backward(
        upstream, rows, weight.shape, mean, deviation, weight, bias, [True, *wanted]
    )
    of_norm = [None if v is None else v.to(norm[0].dtype) for v in of_norm]
    return below.to(dtype), *of_norm
