"""Attention for training on a CPU: both passes written out, a few sequences at a time.

What it computes is what the plain operations compute, but the scores of a few sequences
stay in the cache from the first product to the last, and rows are copied once, not for
each operation on their way. Gradients of gradients are not available.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dropout import keep, keeping_bits, widened
from .packing import Segment
from .precision import exact_dtype
from .scratch import Scratch

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
    attention = Attention(segments, heads, dropout, causal, Scratch())
    context: Tensor = _Attention.apply(projected, attention)
    return context


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, attention: Attention) -> Tensor:
        context, saved = attention.forward(projected)
        ctx.save_for_backward(*saved)
        ctx.attention = attention
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        gradient = torch.empty(
            len(upstream), 3 * upstream.shape[1], dtype=upstream.dtype
        )
        return ctx.attention.backward(upstream, ctx.saved_tensors, gradient), None


class Attention(NamedTuple):
    """Both passes.

    Args:
        segments: As in ``attend_and_learn``, like the next three.
        heads: The same.
        dropout: The same.
        causal: The same.
        scratch: Memory to work in.
        seeds: Of the random numbers of each segment; torch's generator gives those
            that are missing.
    """

    segments: Sequence[Segment]
    heads: int
    dropout: float
    causal: bool
    scratch: Scratch
    seeds: Sequence[int | None] = ()

    def forward(self, projected: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The states that attention finds, and what the backward pass needs.

        That is, of each segment, queries, keys and values with their padding, float
        [3, count heads, length, d], the weights, float [count, heads, length, length],
        and with dropout which of them are kept, int8.
        """
        heads, width = self.heads, projected.shape[1] // 3
        scale = 1 / math.sqrt(width // heads)
        context = projected.new_empty(len(projected), width)
        saved = []
        for number, segment in enumerate(self.segments):
            seed = self.seeds[number] if self.seeds else None
            shape = (segment.count, heads, segment.length, segment.length)
            weights = projected.new_empty(shape)
            kept = None
            if self.dropout:
                kept = keeping_bits(weights, self.dropout, seed)
            split = _split(_padded(projected, segment), heads, 3)
            found = _room(context, segment)
            for part in _parts(segment, heads):
                query, key, value = split[:, _of_heads(part, heads)].unbind(0)
                seen = weights[part]
                scores = self._product("scores", query, key.transpose(1, 2), scale)
                self._softmax(scores.view_as(seen), segment, part, into=seen)
                used = seen
                if kept is not None:
                    used = keep(seen, kept[part], into=self._like("used", seen))
                attended = self._product(
                    "states", used.flatten(0, 1), value, 1 / (1 - self.dropout)
                )
                _put(attended, into=_split_view(found[part], heads, 1)[0])
            _unpad(found, segment, into=context)
            saved += [split, weights] if kept is None else [split, weights, kept]
        return context, saved

    def backward(
        self, upstream: Tensor, saved: Sequence[Tensor], gradient: Tensor
    ) -> Tensor:
        """Write the gradient of ``projected``.

        Args:
            upstream: The gradient of the states, float [T, H].
            saved: What ``forward`` gave.
            gradient: Takes the result, float [T, 3 H].
        """
        heads, larger = self.heads, 1 / (1 - self.dropout)
        scale = 1 / math.sqrt(upstream.shape[1] // heads)
        left = iter(saved)
        for segment in self.segments:
            split, weights = next(left), next(left)
            kept = next(left) if self.dropout else None
            (given,) = _split(_padded_gradient(upstream, segment), heads, 1)
            found = _room(gradient, segment)
            for part in _parts(segment, heads):
                own = _of_heads(part, heads)
                (query, key, value), came = split[:, own].unbind(0), given[own]
                seen = used = weights[part].flatten(0, 1)
                to_used = self._product("scores", came, value.transpose(1, 2), larger)
                if kept is not None:
                    bits = kept[part].flatten(0, 1)
                    bits = widened(bits, into=self._like("kept", seen))
                    used = keep(seen, bits, into=self._like("used", seen))
                    keep(to_used, bits, into=to_used)
                to_scores = torch._softmax_backward_data(
                    to_used, seen, -1, seen.dtype, grad_input=self._like("exact", seen)
                )
                into = _split_view(found[part], heads, 3)
                for number, (left_, right, factor) in enumerate(
                    (
                        (to_scores, key, scale),
                        (to_scores.transpose(1, 2), query, scale),
                        (used.transpose(1, 2), came, larger),
                    )
                ):
                    _put(self._product("states", left_, right, factor), into[number])
            _unpad(found, segment, into=gradient)
        return gradient

    def _softmax(
        self, scores: Tensor, segment: Segment, part: slice, into: Tensor
    ) -> None:
        """Weights of scores [n, heads, length, length], of padding none."""
        exact = self.scratch.take("exact", scores.shape, exact_dtype(scores.dtype))
        exact.copy_(scores)
        if segment.padding is not None:
            exact += segment.padding.bias[part]
        if self.causal:
            exact += exact.new_full(exact.shape[2:], -math.inf).triu_(1)
        into.copy_(torch.softmax(exact, dim=-1, out=exact))

    def _product(self, name: str, left: Tensor, right: Tensor, scale: float) -> Tensor:
        """Float [N, a, b] times [N, b, c] times a number, [N, a, c], in the scratch."""
        shape = (left.shape[0], left.shape[1], right.shape[2])
        into = self.scratch.take(name, shape, left.dtype)
        return torch.baddbmm(into, left, right, beta=0, alpha=scale, out=into)

    def _like(self, name: str, values: Tensor) -> Tensor:
        return self.scratch.take(name, values.shape, values.dtype)


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
