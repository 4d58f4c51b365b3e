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
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dropout import draw_seed, keep, keeping_bits
from .linear import product
from .packing import AttentionLayout, Block
from .precision import exact_dtype
from .scratch import Scratch
from .streams import run_in_streams
from .training_attention import Attention, Places

# Matrix and bias of queries, keys and values, of what attention gives, of its norm, of
# the way up, of the way down, and of the last norm.
WEIGHTS = 12
_OF_NORM = ("upstream", "rows", "weight", "bias")
# Rows of the largest share over those of a mean one: others wait for it.
_MOST_OF_A_SHARE = 1.2
# Matrices and biases as the products take them, and the norms.
_Weights = tuple[list[tuple[Tensor, Tensor]], Sequence[Tensor]]


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


class _Seeds(NamedTuple):
    """Seeds of a block in a layer: of attention, and after both parts."""

    attention: int
    dropouts: tuple[int, int]


@dataclass(frozen=True)
class _Share:
    """What one thread does: some blocks, one after the other in all operations.

    Args:
        blocks: They follow each other.
        seeds: By layer and block.
        causal: Whether a piece sees only those before it.
        scratch: Memory to work in.
    """

    blocks: Sequence[Block]
    seeds: Sequence[Sequence[_Seeds]]
    causal: bool
    scratch: Scratch
    _places: dict[int, Places] = field(default_factory=dict)

    @property
    def rows(self) -> slice:
        """Of all rows."""
        return slice(self.blocks[0].start, self.blocks[-1].stop)

    def attention(self, number: int, layer: Layer) -> Attention:
        """Of a layer."""
        places = self._places.get(layer.heads)
        if places is None:
            lengths = [[n for s in b.segments for n in s.lengths] for b in self.blocks]
            places = Places.of(lengths, layer.heads, self.causal)
            self._places[layer.heads] = places
        return Attention(
            places,
            layer.attention_dropout,
            self.scratch,
            [seeds.attention for seeds in self.seeds[number]],
        )

    def by_block(self, rows: Tensor) -> Sequence[Tensor]:
        """The rows of each block."""
        return rows.split([block.stop - block.start for block in self.blocks])

    def masks(self, values: Tensor, p: float, number: int, place: int) -> list[Tensor]:
        """What dropout keeps of each block, int8; none where it keeps all."""
        if not p:
            return []
        return [
            keeping_bits(part, p, seeds.dropouts[place])
            for part, seeds in zip(
                self.by_block(values), self.seeds[number], strict=True
            )
        ]


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
    result: Tensor = _Layers.apply(hidden, _shares(layout, layers), layers, *weights)
    return result


def _shares(layout: AttentionLayout, layers: Sequence[Layer]) -> list[_Share]:
    """One a thread, where the blocks can be divided so; else one.

    The random numbers are those of the blocks, however many threads there are.
    """
    blocks, threads = layout.blocks, torch.get_num_threads()
    if not blocks:
        return []
    seeds = [[_seeds(block, layer) for block in blocks] for layer in layers]
    size = max(1, len(blocks) // threads)
    parts = [slice(first, first + size) for first in range(0, len(blocks), size)]
    rows = [blocks[part][-1].stop - blocks[part][0].start for part in parts]
    if len(parts) != threads or max(rows) * threads > _MOST_OF_A_SHARE * sum(rows):
        parts = [slice(0, len(blocks))]
    return [
        _Share(
            blocks[part],
            [of_layer[part] for of_layer in seeds],
            layout.causal,
            layout.scratch if len(parts) == 1 else Scratch(),
        )
        for part in parts
    ]


def _seeds(block: Block, layer: Layer) -> _Seeds:
    attention = draw_seed() if layer.attention_dropout else 0
    first, second = (draw_seed() if p else 0 for p in layer.dropouts)
    return _Seeds(attention, (first, second))


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        shares: Sequence[_Share],
        layers: Sequence[Layer],
        *weights: Tensor,
    ) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            ready = [
                _in_dtype(weights[WEIGHTS * n : WEIGHTS * (n + 1)], layer, hidden.dtype)
                for n, layer in enumerate(layers)
            ]
            result = torch.empty_like(hidden)

            @torch.no_grad()
            def compute(share: _Share) -> list[list[Tensor]]:
                rows, saved = hidden[share.rows], []
                for number, layer in enumerate(layers):
                    rows, own = _forward(rows, share, number, layer, ready[number])
                    saved.append(own)
                result[share.rows] = rows
                return saved

            saved = _run(compute, shares)
        ctx.shares, ctx.layers = shares, layers
        ctx.dtypes = [weight.dtype for weight in weights]
        ctx.counts = [[len(own) for own in of_share] for of_share in saved]
        kept = [tensor for of_share in saved for own in of_share for tensor in own]
        used = [t for pairs, norms in ready for t in (*(p[0] for p in pairs), *norms)]
        ctx.save_for_backward(*used, *kept)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Any, ...]:
        left = iter(ctx.saved_tensors)
        layers: Sequence[Layer] = ctx.layers
        used = [[next(left) for _ in range(8)] for _ in layers]
        saved = [
            [[next(left) for _ in range(count)] for count in counts]
            for counts in ctx.counts
        ]
        wanted = ctx.needs_input_grad[3:]
        below = torch.empty_like(upstream)

        @torch.no_grad()
        def compute(item: tuple[_Share, list[list[Tensor]]]) -> list[Tensor | None]:
            share, own = item
            rows = upstream[share.rows]
            found: list[Tensor | None] = []
            for number in reversed(range(len(layers))):
                places = slice(WEIGHTS * number, WEIGHTS * (number + 1))
                rows, gradients = _backward(
                    rows,
                    own.pop(),
                    used[number],
                    share,
                    number,
                    layers[number],
                    wanted[places],
                    ctx.dtypes[places],
                )
                found = gradients + found
            below[share.rows] = rows
            return found

        found = _run(compute, list(zip(ctx.shares, saved, strict=True)))
        total = [None] * len(wanted) if not found else found[0]
        for other in found[1:]:
            for one, more in zip(total, other, strict=True):
                if one is not None:
                    one += more
        return below, None, None, *total


def _run(compute: Any, items: Sequence[Any]) -> list[Any]:
    """Compute something for each item, side by side where there are several."""
    if len(items) > 1:
        return run_in_streams(compute, items)
    return [compute(item) for item in items]


def _in_dtype(weights: Sequence[Tensor], layer: Layer, dtype: torch.dtype) -> _Weights:
    """Those in front of dropout are larger by what it divides by."""
    qkv, out, norm, up, down, last = (weights[i : i + 2] for i in range(0, 12, 2))
    scales = (1.0, 1 / (1 - layer.dropouts[0]), 1.0, 1 / (1 - layer.dropouts[1]))
    pairs = [
        cast(
            tuple[Tensor, Tensor],
            tuple((w if s == 1.0 else w * s).to(dtype) for w in pair),
        )
        for pair, s in zip((qkv, out, up, down), scales, strict=True)
    ]
    return pairs, (*norm, *last)


def _forward(
    hidden: Tensor, share: _Share, number: int, layer: Layer, weights: _Weights
) -> tuple[Tensor, list[Tensor]]:
    """The rows after a layer, and what the way back needs."""
    (qkv, out, up, down), norms = weights
    attention = share.attention(number, layer)
    context, attended = attention.forward(product(hidden, *qkv))
    first = product(context, *out)
    kept = share.masks(first, layer.dropouts[0], number, 0)
    _drop(first, kept, share)
    middle, *statistics = _norm(first.add_(hidden), norms[:2], layer.eps)
    expanded = product(middle, *up)
    activated = F.gelu(expanded, approximate=layer.gelu)
    second = product(activated, *down)
    others = share.masks(second, layer.dropouts[1], number, 1)
    _drop(second, others, share)
    result, *more = _norm(second.add_(middle), norms[2:], layer.eps)
    rows = [hidden, context, first, middle, expanded, activated, second]
    return result, [*rows, *statistics, *more, *kept, *others, *attended]


def _backward(
    upstream: Tensor,
    saved: Sequence[Tensor],
    weights: Sequence[Tensor],
    share: _Share,
    number: int,
    layer: Layer,
    wanted: Sequence[bool],
    dtypes: Sequence[torch.dtype],
) -> tuple[Tensor, list[Tensor | None]]:
    """The gradient of the rows before a layer, and those of its weights."""
    hidden, context, first, middle, expanded, activated, second = saved[:7]
    statistics, left = saved[7:11], iter(saved[11:])
    kept = [[next(left) for _ in share.blocks if p] for p in layer.dropouts]
    attention, scratch = share.attention(number, layer), share.scratch
    qkv, out, up, down, *norms = weights
    found: list[Tensor | None] = [None] * WEIGHTS
    larger = [1 / (1 - p) for p in layer.dropouts]

    def note(number: int, gradient: Tensor, rows: Tensor, scale: float) -> None:
        """Gradients of a matrix and its bias."""
        if wanted[number]:
            shape = (gradient.shape[1], rows.shape[1])
            into = scratch.take("matrix", shape, rows.dtype)
            torch.addmm(into, gradient.t(), rows, beta=0, alpha=scale, out=into)
            found[number] = into.to(dtypes[number], copy=True)
        if wanted[number + 1]:
            made = gradient.sum(0).to(dtypes[number + 1])
            found[number + 1] = made if scale == 1.0 else made.mul_(scale)

    summed, *found[10:] = _norm_gradient(
        upstream, second, norms[2:], statistics[2:], wanted[10:], scratch
    )
    came = _kept(summed, kept[1], share)
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
        scratch,
    )
    came = _kept(summed, kept[0], share)
    note(2, came, context, larger[0])
    shape = (len(context) + 1, context.shape[1])
    with_zeros = scratch.take("context", shape, context.dtype)
    torch.mm(came, out, out=with_zeros[:-1])
    with_zeros[-1].zero_()
    gradient = scratch.take("projected", (len(hidden), len(qkv)), hidden.dtype)
    attention.backward(with_zeros, list(left), gradient)
    note(0, gradient, hidden, 1.0)
    return summed.addmm_(gradient, qkv), found


def _drop(values: Tensor, kept: Sequence[Tensor], share: _Share) -> None:
    """Drop some of the values, in their place."""
    if kept:
        for rows, bits in zip(share.by_block(values), kept, strict=True):
            keep(rows, bits, into=rows)


def _kept(gradient: Tensor, kept: Sequence[Tensor], share: _Share) -> Tensor:
    """The gradient of what was not dropped."""
    if not kept:
        return gradient
    result = share.scratch.take("kept", gradient.shape, gradient.dtype)
    parts = (share.by_block(rows) for rows in (gradient, result))
    for rows, into, bits in zip(*parts, kept, strict=True):
        keep(rows, bits, into)
    return result


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
    scratch: Scratch,
) -> Sequence[Tensor]:
    """Gradients of rows, weight and bias."""
    weight, bias = norm
    # Of rows in bf16 torch adds up the gradients of the weights in bf16 too, which over
    # some thousand rows makes them wrong by some percent.
    exact = exact_dtype(rows.dtype)
    mean, deviation = (values.to(exact) for values in statistics)
    upstream, given, weight, bias = (
        scratch.take(name, values.shape, exact).copy_(values)
        for name, values in zip(_OF_NORM, (upstream, rows, weight, bias), strict=True)
    )
    found = torch.ops.aten.native_layer_norm_backward(
        upstream, given, weight.shape, mean, deviation, weight, bias, [True, *wanted]
    )
    below, *of_weights = found
    dtype = norm[0].dtype
    return [
        below.to(rows.dtype),
        *(None if value is None else value.to(dtype) for value in of_weights),
    ]
