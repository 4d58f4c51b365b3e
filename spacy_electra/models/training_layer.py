"""A layer for training on a CPU: both passes written out as one operation.

What it computes is what the modules of a layer compute one after the other. Between the
products each pass goes over the rows as seldom as it can: what dropout leaves is scaled
by the weights in front of it, residual sums and their gradients are added where the
products are, and autograd keeps books once a layer. Gradients of gradients are not
available.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dropout import keep, keeping_bits
from .linear import product
from .packing import AttentionLayout
from .scratch import Scratch
from .training_attention import Attention


class Layer(NamedTuple):
    """What a layer is beside its weights.

    Args:
        heads: Number of heads.
        attention_dropout: Share of attention weights to drop.
        dropouts: Share of values to drop after attention and after the feed-forward
            part.
        eps: Of the layer norms.
        gelu: Which GELU it has, "none" or "tanh", as torch names them.
    """

    heads: int
    attention_dropout: float
    dropouts: tuple[float, float]
    eps: float
    gelu: str


def run_layer(
    hidden: Tensor, layout: AttentionLayout, layer: Layer, weights: Sequence[Tensor]
) -> Tensor:
    """Attention and feed-forward part, with their residual sums and norms.

    Args:
        hidden: float [T, H], on the CPU.
        layout: Where the sequences are.
        layer: The layer.
        weights: Matrix and bias of queries, keys and values, of what attention gives,
            of its norm, of the way up, of the way down, and of the last norm.

    Returns:
        float [T, H].
    """
    attention = Attention(
        layout.segments,
        layer.heads,
        layer.attention_dropout,
        layout.causal,
        layout.scratch,
    )
    result: Tensor = _Layer.apply(hidden, attention, layer, *weights)
    return result


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, attention: Attention, layer: Layer, *weights: Tensor
    ) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            (qkv, out, up, down), norms = _in_dtype(weights, layer, hidden.dtype)
            context, attended = attention.forward(product(hidden, *qkv))
            first = _residual(product(context, *out), hidden, layer.dropouts[0])
            middle, *statistics = _norm(first.sum, norms[:2], layer.eps)
            expanded = product(middle, *up)
            activated = F.gelu(expanded, approximate=layer.gelu)
            second = _residual(product(activated, *down), middle, layer.dropouts[1])
            result, *others = _norm(second.sum, norms[2:], layer.eps)
        ctx.attention, ctx.layer = attention, layer
        ctx.dtypes = [weight.dtype for weight in weights]
        rows = (hidden, context, first.sum, middle, expanded, activated, second.sum)
        matrices = (qkv[0], out[0], up[0], down[0])
        kept = (first.kept, second.kept)
        ctx.save_for_backward(
            *rows, *matrices, *norms, *statistics, *others, *kept, *attended
        )
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        hidden, context, first, middle, expanded, activated, second = saved[:7]
        qkv, out, up, down = saved[7:11]
        norms, statistics, kept = saved[11:15], saved[15:19], saved[19:21]
        layer: Layer = ctx.layer
        scratch = ctx.attention.scratch
        found: list[Tensor | None] = [None] * 12
        wanted = ctx.needs_input_grad[3:]
        larger = [1 / (1 - p) for p in layer.dropouts]

        def note(number: int, gradient: Tensor, rows: Tensor, scale: float) -> None:
            """Gradients of a matrix and its bias."""
            if wanted[number]:
                shape = (gradient.shape[1], rows.shape[1])
                into = scratch.take("matrix", shape, rows.dtype)
                made = torch.mm(gradient.t(), rows, out=into)
                found[number] = made = made.to(ctx.dtypes[number], copy=True)
                if scale != 1.0:
                    made.mul_(scale)
            if wanted[number + 1]:
                made = gradient.sum(0).to(ctx.dtypes[number + 1])
                found[number + 1] = made if scale == 1.0 else made.mul_(scale)

        summed, *found[10:] = _norm_gradient(
            upstream, second, norms[2:], statistics[2:], wanted[10:]
        )
        came = _kept(summed, kept[1], scratch)
        note(8, came, activated, larger[1])
        wide = scratch.take("wide", expanded.shape, expanded.dtype)
        torch.mm(came, down, out=wide)
        torch.ops.aten.gelu_backward.grad_input(
            wide, expanded, approximate=layer.gelu, grad_input=wide
        )
        note(6, wide, middle, 1.0)
        summed, *found[4:6] = _norm_gradient(
            summed.addmm_(wide, up),
            first,
            norms[:2],
            statistics[:2],
            wanted[4:6],
        )
        came = _kept(summed, kept[0], scratch)
        note(2, came, context, larger[0])
        gradient = scratch.take("projected", (len(hidden), len(qkv)), hidden.dtype)
        came = torch.mm(
            came, out, out=scratch.take("context", context.shape, context.dtype)
        )
        ctx.attention.backward(came, saved[21:], gradient)
        note(0, gradient, hidden, 1.0)
        below = summed.addmm_(gradient, qkv) if ctx.needs_input_grad[0] else None
        return below, None, None, *found


Pair = tuple[Tensor, Tensor]


def _in_dtype(
    weights: Sequence[Tensor], layer: Layer, dtype: torch.dtype
) -> tuple[list[Pair], Sequence[Tensor]]:
    """Matrices and biases as the products take them, and the norms as they are.

    Those in front of dropout are larger by what it divides by.
    """
    qkv, out, norm, up, down, last = (weights[i : i + 2] for i in range(0, 12, 2))
    scales = (1.0, 1 / (1 - layer.dropouts[0]), 1.0, 1 / (1 - layer.dropouts[1]))
    pairs = [
        cast(Pair, tuple((w if s == 1.0 else w * s).to(dtype) for w in pair))
        for pair, s in zip((qkv, out, up, down), scales, strict=True)
    ]
    return pairs, (*norm, *last)


class _Sum(NamedTuple):
    sum: Tensor
    kept: Tensor


def _residual(values: Tensor, hidden: Tensor, dropout: float) -> _Sum:
    """Drop some of the values, in their place, and add the states before them."""
    kept = values.new_empty(0, dtype=torch.int8)
    if dropout:
        kept = keeping_bits(values, dropout)
        keep(values, kept, into=values)
    return _Sum(values.add_(hidden), kept)


def _kept(gradient: Tensor, kept: Tensor, scratch: Scratch) -> Tensor:
    if not len(kept):
        return gradient
    return keep(gradient, kept, scratch.take("kept", gradient.shape, gradient.dtype))


def _norm(rows: Tensor, norm: Sequence[Tensor], eps: float) -> Sequence[Tensor]:
    """Normed rows, and the statistics of each row."""
    weight, bias = norm
    found: Sequence[Tensor] = torch.native_layer_norm(
        rows, weight.shape, weight, bias, eps
    )
    return found


def _norm_gradient(
    upstream: Tensor,
    rows: Tensor,
    norm: Sequence[Tensor],
    statistics: Sequence[Tensor],
    wanted: Sequence[bool],
) -> Sequence[Tensor]:
    """Gradients of rows, weight and bias."""
    weight, bias = norm
    mean, deviation = statistics
    found: Sequence[Tensor] = torch.ops.aten.native_layer_norm_backward(
        upstream, rows, weight.shape, mean, deviation, weight, bias, [True, *wanted]
    )
    return found
