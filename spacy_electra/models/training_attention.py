"""Attention for training on a CPU: both passes written out, a few sequences at a time.

What it computes is what the plain operations compute, but the scores of a few sequences
stay in the cache from the first product to the last, and rows are copied once, not for
each operation on their way. Gradients of gradients are not available.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dropout import keep, keeping_bits
from .packing import Segment
from .vocabulary import exact, rows_of_a_part

# Scores to work on at a time: what comes from them stays in the cache.
_SCORES_OF_A_PART = 1 << 19


def attend_and_learn(
    projected: Tensor,
    segments: Sequence[Segment],
    heads: int,
    dropout: float = 0.0,
    causal: bool = False,
) -> Tensor:
    """Attention within each sequence, with explicit weights.

    Args:
        projected: Queries, keys and values of each row side by side, float [T, 3 H].
        segments: Cover all rows, in order.
        heads: Number of heads.
        dropout: Share of the weights to drop.
        causal: Whether a piece sees only those before it and itself.

    Returns:
        float [T, H].
    """
    context: Tensor = _Attention.apply(projected, segments, heads, dropout, causal)
    return context


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        segments: Sequence[Segment],
        heads: int,
        dropout: float,
        causal: bool,
    ) -> Tensor:
        context, saved = attend(projected, segments, heads, dropout, causal)
        ctx.save_for_backward(*saved)
        ctx.segments, ctx.heads, ctx.dropout = segments, heads, dropout
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None, None]:
        gradient = gradient_of_attention(
            upstream, ctx.saved_tensors, ctx.segments, ctx.heads, ctx.dropout
        )
        return gradient, None, None, None, None


def attend(
    projected: Tensor,
    segments: Sequence[Segment],
    heads: int,
    dropout: float,
    causal: bool,
) -> tuple[Tensor, list[Tensor]]:
    """The forward pass of ``attend_and_learn``, and what the other one needs of it.

    That is, of each segment, queries, keys and values with their padding, float
    [3, count heads, length, d], the weights, float [count, heads, length, length], and
    with dropout which of them are kept, int16.
    """
    width = projected.shape[1] // 3
    scale = 1 / math.sqrt(width // heads)
    context = projected.new_empty(len(projected), width)
    saved = []
    for segment in segments:
        shape = (segment.count, heads, segment.length, segment.length)
        weights = projected.new_empty(shape)
        kept = keeping_bits(weights, dropout) if dropout else None
        split = _split(_padded(projected, segment), heads, 3)
        found = _room(context, segment)
        for part in _parts(segment, heads):
            query, key, value = split[:, _of_heads(part, heads)].unbind(0)
            scores = _product(query, key.transpose(1, 2), scale)
            scores = _masked(scores.view_as(weights[part]), segment, part, causal)
            weights[part] = torch.softmax(exact(scores), dim=-1)
            used = weights[part] if kept is None else keep(weights[part], kept[part])
            attended = _product(used.flatten(0, 1), value, 1 / (1 - dropout))
            _put(attended, into=_split_view(found[part], heads, 1)[0])
        _unpad(found, segment, into=context)
        saved += [split, weights] if kept is None else [split, weights, kept]
    return context, saved


def gradient_of_attention(
    upstream: Tensor,
    saved: Sequence[Tensor],
    segments: Sequence[Segment],
    heads: int,
    dropout: float,
) -> Tensor:
    """The backward pass: from float [T, H] to the gradient of ``projected``."""
    width, larger = upstream.shape[1], 1 / (1 - dropout)
    scale = 1 / math.sqrt(width // heads)
    gradient = upstream.new_empty(len(upstream), 3 * width)
    left = iter(saved)
    for segment in segments:
        split, weights = next(left), next(left)
        kept = next(left) if dropout else None
        (given,) = _split(_padded_gradient(upstream, segment), heads, 1)
        found = _room(gradient, segment)
        for part in _parts(segment, heads):
            own = _of_heads(part, heads)
            (query, key, value), came = split[:, own].unbind(0), given[own]
            seen = used = weights[part].flatten(0, 1)
            to_used = _product(came, value.transpose(1, 2), larger)
            if kept is not None:
                bits = kept[part].flatten(0, 1)
                used, to_used = keep(seen, bits), keep(to_used, bits, in_place=True)
            to_scores = torch.ops.aten._softmax_backward_data(
                to_used, seen, -1, seen.dtype
            )
            into = _split_view(found[part], heads, 3)
            _put(_product(to_scores, key, scale), into[0])
            _put(_product(to_scores.transpose(1, 2), query, scale), into[1])
            _put(_product(used.transpose(1, 2), came, larger), into[2])
        _unpad(found, segment, into=gradient)
    return gradient


def _masked(scores: Tensor, segment: Segment, part: slice, causal: bool) -> Tensor:
    """Scores [n, heads, length, length], in their place minus infinity where unseen."""
    if segment.padding is not None:
        scores += segment.padding.bias[part].to(scores.dtype)
    if causal:
        scores += scores.new_full(scores.shape[2:], -math.inf).triu_(1)
    return scores


def _softmax_in_place(scores: Tensor) -> None:
    """Over the last dimension of scores [n, heads, length, length]."""
    rows = scores.flatten(0, 2)
    # Torch's softmax of bf16 is slow, so rows go through fp32, a few at a time.
    for part in rows.split(rows_of_a_part(rows)):
        part.copy_(torch.softmax(exact(part), dim=-1))


def _product(
    left: Tensor, right: Tensor, scale: float, into: Tensor | None = None
) -> Tensor:
    """Float [N, a, b] times [N, b, c] times a number, [N, a, c]."""
    if into is None:
        into = left.new_empty(left.shape[0], left.shape[1], right.shape[2])
    return torch.baddbmm(into, left, right, beta=0, alpha=scale, out=into)


def _parts(segment: Segment, heads: int) -> Iterator[slice]:
    """As many sequences at a time as fit the cache."""
    size = max(1, _SCORES_OF_A_PART // (heads * segment.length**2))
    for start in range(0, segment.count, size):
        yield slice(start, start + size)


def _rows(values: Tensor, segment: Segment) -> Tensor:
    return values[segment.start : segment.start + segment.rows]


def _padded(values: Tensor, segment: Segment) -> Tensor:
    """The rows of a segment by sequence, float [count, length, n]."""
    rows = _rows(values, segment)
    if segment.padding is not None:
        rows = segment.padding.pad(rows)
    return rows.reshape(segment.count, segment.length, -1)


def _padded_gradient(values: Tensor, segment: Segment) -> Tensor:
    """The same with zeros for padding, from which nothing comes back."""
    rows, padding = _rows(values, segment), segment.padding
    if padding is not None:
        shape = (segment.count * segment.length, rows.shape[1])
        rows = rows.new_zeros(shape).index_copy_(0, padding.places, rows)
    return rows.reshape(segment.count, segment.length, -1)


def _room(values: Tensor, segment: Segment) -> Tensor:
    """Room for the rows of a segment, float [count, length, n]; their own if it is."""
    shape = (segment.count, segment.length, values.shape[1])
    if segment.padding is None:
        return _rows(values, segment).view(shape)
    return values.new_empty(shape)


def _unpad(found: Tensor, segment: Segment, into: Tensor) -> None:
    """Write what ``_room`` gave room for to its rows."""
    if segment.padding is not None:
        _rows(into, segment).copy_(segment.padding.unpad(found.flatten(0, 1)))


def _split_view(rows: Tensor, heads: int, kinds: int) -> Tensor:
    """Float [n, length, kinds H] -> [kinds, n, heads, length, d], the same memory."""
    return rows.view(*rows.shape[:2], kinds, heads, -1).permute(2, 0, 3, 1, 4)


def _split(rows: Tensor, heads: int, kinds: int) -> Tensor:
    """The same, contiguous and without a dimension of heads: [kinds, n heads, ...]."""
    split = _split_view(rows, heads, kinds)
    return split.reshape(kinds, -1, *split.shape[3:])


def _of_heads(part: slice, heads: int) -> slice:
    """Where the heads of some sequences are among the heads of all."""
    return slice(part.start * heads, part.stop * heads)


def _put(rows: Tensor, into: Tensor) -> None:
    """Write [n heads, length, d] to where ``_split_view`` shows it."""
    into.copy_(rows.view(into.shape))
