"""Layers for training on a CPU: both passes of all of them as one operation.

What they compute is what the modules of a layer compute one after the other. What
dropout leaves is scaled by the weights in front of it, residual sums and their
gradients are added where the products are, and autograd keeps books once. Where torch
has several threads, each takes some of the sequences from the first layer to the last
and back, so that none waits for others in between. Gradients of gradients are not
available.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..dropout import words
from ..linear import product
from ..packing import AttentionLayout
from ..sharing import cut_evenly
from ..streams import on_one_thread
from .attention import Attention
from .backward import Backward
from .blocks import Blocks
from .share import Share, run_shares, share_out
from .state import NORMS, PRODUCTS, WEIGHTS, Layer, Masks, Rows, Saved, Weights


def run_layers(
    hidden: Tensor,
    layout: AttentionLayout,
    layers: Sequence[Layer],
    weights: Sequence[Tensor],
) -> Tensor:
    """Attention and feed-forward part of layers, with their residual sums and norms.

    Args:
        hidden: float [T, H], on the CPU.
        layout: Where the sequences are.
        layers: The layers, from the lowest.
        weights: ``WEIGHTS`` of each.

    Returns:
        float [T, H].
    """
    shares = share_out(layout, len(layers), hidden.shape[1])
    result: Tensor = _Layers.apply(hidden, layout.blocks, shares, layers, *weights)
    return result


def returns_in_streams(states: Tensor) -> bool:
    """Whether the way back from what ``run_layers`` gave is divided among threads."""
    return len(getattr(states.grad_fn, "shares", ())) > 1


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        blocks: Blocks,
        shares: Sequence[Share],
        layers: Sequence[Layer],
        *weights: Tensor,
    ) -> Tensor:
        with torch.autocast("cpu", enabled=False), on_one_thread():

            @torch.no_grad()
            def cast(numbers: Sequence[int]) -> list[Weights]:
                return [
                    _in_dtype(
                        weights[WEIGHTS * n : WEIGHTS * (n + 1)],
                        layers[n],
                        hidden.dtype,
                    )
                    for n in numbers
                ]

            numbers = cut_evenly([1] * len(layers), len(shares))
            ready = list(chain.from_iterable(run_shares(cast, numbers)))
            below = _moved(hidden, blocks.order)
            states = [below, *(torch.empty_like(hidden) for _ in layers)]
            taken = [
                Rows(
                    state,
                    *(_like(state, matrix.shape[1]) for matrix in of.matrices[1:]),
                )
                for state, of in zip(states, ready, strict=False)
            ]

            @torch.no_grad()
            def compute(share: Share) -> list[Saved]:
                return [
                    _forward(
                        taken[n].of(share.rows),
                        states[n + 1][share.rows],
                        share.attention(layer, taken[n].output.shape[1], hidden.dtype),
                        share.masks(n, layer, below.shape[1]),
                        ready[n],
                        layer,
                    )
                    for n, layer in enumerate(layers)
                ]

            saved = run_shares(compute, shares)
            last = _moved(states[-1], blocks.places)
        ctx.blocks, ctx.shares, ctx.layers = blocks, shares, layers
        ctx.dtypes = [weight.dtype for weight in weights]
        used = [tensor for of in ready for tensor in (*of.matrices, *of.norms)]
        ctx.save_for_backward(
            *used,
            *(matrix for rows in taken for matrix in rows),
            *(
                tensor
                for of_share in saved
                for own in of_share
                for tensor in own.flat()
            ),
        )
        return last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        with on_one_thread():
            upstream = _moved(upstream, ctx.blocks.order)
            below, found = Backward(ctx, upstream).run()
            if below is not None:
                below = _moved(below, ctx.blocks.places)
        return below, None, None, None, *found


def _moved(rows: Tensor, places: Tensor | None) -> Tensor:
    """Rows where they are wanted, float [T, H]."""
    return rows if places is None else rows.index_select(0, places)


def _like(rows: Tensor, width: int) -> Tensor:
    """Memory for as many rows of another width."""
    return rows.new_empty(len(rows), width)


def _in_dtype(weights: Sequence[Tensor], layer: Layer, dtype: torch.dtype) -> Weights:
    """Those in front of dropout are larger by what it divides by."""
    scaled = [
        weight if scale == 1.0 else weight * scale
        for place, scale in zip(PRODUCTS, layer.scales, strict=True)
        for weight in weights[place : place + 2]
    ]
    cast = [weight.to(dtype) for weight in scaled]
    norms = [weight for place in NORMS for weight in weights[place : place + 2]]
    return Weights(cast[::2], norms, cast[1::2])


def _forward(
    taken: Rows,
    result: Tensor,
    attention: Attention,
    masks: Masks,
    weights: Weights,
    layer: Layer,
) -> Saved:
    """Write what the products take but the first one, and the rows after the layer."""
    projected, output, up, down = zip(weights.matrices, weights.biases, strict=True)
    split, seen = attention.forward(
        product(taken.projected, *projected), masks.attention, taken.output
    )
    first = product(taken.output, *output)
    _drop_and_add(first, masks.after_attention, taken.projected)
    statistics = _norm(first, weights.norms[:2], layer.eps, into=taken.up)
    expanded = product(taken.up, *up)
    torch.ops.aten.gelu.out(expanded, approximate=layer.gelu, out=taken.down)
    second = product(taken.down, *down)
    _drop_and_add(second, masks.after_all, taken.up)
    more = _norm(second, weights.norms[2:], layer.eps, into=result)
    return Saved((first, second), expanded, (*statistics, *more), split, seen, masks)


def _drop_and_add(values: Tensor, mask: Tensor | None, others: Tensor) -> None:
    """Drop some of the values, and add others to all, in their place."""
    if mask is not None:
        words(values).bitwise_and_(mask)
    values.add_(others)


def _norm(
    rows: Tensor, norm: Sequence[Tensor], eps: float, into: Tensor
) -> tuple[Tensor, Tensor]:
    """Write normed rows, and give the statistics of each row."""
    weight, bias = norm
    found, *statistics = torch.native_layer_norm(rows, weight.shape, weight, bias, eps)
    # torch's own way to write it where it is wanted copies as well.
    into.copy_(found)
    return statistics[0], statistics[1]
