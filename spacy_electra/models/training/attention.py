"""Attention for training on a CPU: both passes written out, a few sequences at a time.

What it computes is what the plain operations compute, but the scores of a few sequences
stay in the cache from the first product to the last. Rows go to where the products want
them, and back, in one step; see ``places.py``. Gradients of gradients are not
available.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..dropout import keeping_bits, words
from ..packing import Segment
from ..precision import exact_dtype
from .places import Group, Places
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
    lengths = [length for segment in segments for length in segment.lengths]
    places = Places.of([lengths], heads, causal)
    depth = projected.shape[1] // (3 * heads)
    attention = Attention(places, depth, dropout, projected.dtype, Scratch())
    bits = keeping_bits((places.scores[0],), dropout) if dropout else None
    context: Tensor = _Attention.apply(projected, attention, bits)
    return context


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, attention: Attention, bits: Tensor | None
    ) -> Tensor:
        rows, width = projected.shape
        context = projected.new_empty(rows, width // 3)
        split, weights = attention.forward(projected, bits, context)
        ctx.save_for_backward(split, weights, bits)
        ctx.attention = attention
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        rows, width = upstream.shape
        with_zeros = torch.cat([upstream, upstream.new_zeros(1, width)])
        gradient = upstream.new_empty(rows, 3 * width)
        split, weights, bits = ctx.saved_tensors
        ctx.attention.backward(with_zeros, split, weights, bits, gradient)
        return gradient, None, None


class _Memory(NamedTuple):
    """What is needed for a moment, of a part after the other, [n, length, length].

    Args:
        scores: As the products give them.
        exact: The same memory, or some in the precision of sums.
        used: For the weights that are left.
        mask: For what is kept of them, as ``words`` are.
    """

    scores: Tensor
    exact: Tensor
    used: Tensor
    mask: Tensor

    @classmethod
    def of(cls, scratch: Scratch, size: int, dtype: torch.dtype) -> _Memory:
        """For so many scores."""
        exact = exact_dtype(dtype)
        scores = scratch.take("scores", (size,), dtype)
        return cls(
            scores,
            scores if exact == dtype else scratch.take("exact", (size,), exact),
            scratch.take("used", (size,), dtype),
            words(scratch.take("mask", (size,), dtype)),
        )

    def in_shape(self, shape: tuple[int, int, int]) -> _Memory:
        """As much as a part needs."""
        size = math.prod(shape)
        return _Memory(*(whole[:size].view(shape) for whole in self))


class _Part(NamedTuple):
    """Sequences and heads that are worked on at a time, n in all.

    Args:
        shape: Of the scores, [n, length, length].
        bias: See ``Group``.
        memory: To work in.
        context: Where the states go, float [n, length, d].
        came: Where their gradient is.
        gradients: Where those of queries, keys and values go.
    """

    shape: tuple[int, int, int]
    bias: Tensor | None
    memory: _Memory
    context: Tensor
    came: Tensor
    gradients: Sequence[Tensor]


class Attention:
    """Both passes, with memory that layers use one after the other.

    Args:
        places: Where the rows go.
        depth: Width of a head, d.
        dropout: Share of the weights to drop.
        dtype: Of the rows.
        scratch: Memory to work in.
    """

    def __init__(
        self,
        places: Places,
        depth: int,
        dropout: float,
        dtype: torch.dtype,
        scratch: Scratch,
    ) -> None:
        self.places = places
        self._depth = depth
        self._scale, self._larger = 1 / math.sqrt(depth), 1 / (1 - dropout)
        size = len(places.gradient_sources)
        self._context = scratch.take("context", (size, depth), dtype)
        self._came = scratch.take("came", (size, depth), dtype)
        self._found = scratch.take("found", (3, size, depth), dtype)
        cut = [(group, part) for group in places.groups for part in _cut(group)]
        counts = [part.stop - part.start for _, part in cut]
        shapes = [
            (count, group.length, group.length)
            for (group, _), count in zip(cut, counts, strict=True)
        ]
        # Rows and scores of each part.
        self._rows = [count * length for count, length, _ in shapes]
        self._scores = [math.prod(shape) for shape in shapes]
        self._parts: list[_Part] = []
        of_rows = zip(
            self._context.split(self._rows),
            self._came.split(self._rows),
            self._found.split(self._rows, dim=1),
            strict=True,
        )
        memory = _Memory.of(scratch, max(self._scores, default=0), dtype)
        for (group, part), shape, (context, came, found) in zip(
            cut, shapes, of_rows, strict=True
        ):
            rows = (*shape[:2], depth)
            self._parts.append(
                _Part(
                    shape,
                    group.bias_of(part),
                    memory.in_shape(shape),
                    context.view(rows),
                    came.view(rows),
                    found.view(3, *rows).unbind(0),
                )
            )

    def forward(
        self, projected: Tensor, bits: Tensor | None, into: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Write the states that attention finds.

        Args:
            projected: Queries, keys and values of each row, float [T, 3 H].
            bits: What dropout keeps of the weights, int8 [S]; None where it keeps all.
            into: Takes the states, float [T, H].

        Returns:
            What the backward pass needs: queries, keys and values with their padding,
            float [3, R, d], and the weights, float [S].
        """
        depth, places = self._depth, self.places
        split = projected.view(-1, depth).index_select(0, places.sources)
        split = split.view(3, -1, depth)
        weights = projected.new_empty(sum(self._scores))
        for part, (queries, keys, values), seen, kept in self._by_part(
            split, weights, bits
        ):
            scores, exact, used, _ = part.memory
            _multiply(queries, keys.transpose(1, 2), self._scale, scores)
            # In bf16 the softmax takes longer than in float32, copies included.
            if exact is not scores:
                exact.copy_(scores)
            if part.bias is not None:
                exact.add_(part.bias)
            if exact is scores:
                torch.softmax(exact, dim=-1, out=seen)
            else:
                seen.copy_(torch.softmax(exact, dim=-1, out=exact))
            if kept is None:
                used = seen
            else:
                # Widened where the result will be, they take no memory of their own.
                words(used).copy_(kept).bitwise_and_(words(seen))
            _multiply(used, values, self._larger, part.context)
        into = into.view(-1, depth)
        torch.index_select(self._context, 0, places.places, out=into)
        return split, weights

    def backward(
        self,
        upstream: Tensor,
        split: Tensor,
        weights: Tensor,
        bits: Tensor | None,
        into: Tensor,
    ) -> None:
        """Write the gradient of ``projected``.

        Args:
            upstream: The gradient of the states, float [T + 1, H]; the last row is
                zero.
            split: What ``forward`` gave.
            weights: The same.
            bits: What ``forward`` was given.
            into: Takes the result, float [T, 3 H].
        """
        depth, places, scale = self._depth, self.places, self._scale
        rows = upstream.view(-1, depth)
        torch.index_select(rows, 0, places.gradient_sources, out=self._came)
        for part, (queries, keys, values), seen, kept in self._by_part(
            split, weights, bits
        ):
            scores, _, used, mask = part.memory
            came = part.came
            to_queries, to_keys, to_values = part.gradients
            _multiply(came, values.transpose(1, 2), self._larger, scores)
            if kept is None:
                used = seen
            else:
                mask.copy_(kept)
                torch.bitwise_and(words(seen), mask, out=words(used))
                words(scores).bitwise_and_(mask)
            torch._softmax_backward_data(
                scores, seen, -1, scores.dtype, grad_input=scores
            )
            _multiply(scores, keys, scale, to_queries)
            _multiply(scores.transpose(1, 2), queries, scale, to_keys)
            _multiply(used.transpose(1, 2), came, self._larger, to_values)
        into = into.view(-1, depth)
        found = self._found.view(-1, depth)
        torch.index_select(found, 0, places.gradient_places, out=into)

    def _by_part(
        self, split: Tensor, weights: Tensor, bits: Tensor | None
    ) -> Iterator[tuple[_Part, Sequence[Tensor], Tensor, Tensor | None]]:
        """Each part with its queries, keys and values, its weights, and what is kept.

        They are float [n, length, d] each, float [n, length, length], and int8 of the
        same shape, or None.
        """
        kept: Sequence[Tensor | None] = [None] * len(self._parts)
        if bits is not None:
            kept = bits.split_with_sizes(self._scores)
        for part, rows, seen, own in zip(
            self._parts,
            split.split_with_sizes(self._rows, 1),
            weights.split_with_sizes(self._scores),
            kept,
            strict=True,
        ):
            count, length, _ = part.shape
            yield (
                part,
                rows.view(3, count, length, self._depth).unbind(0),
                seen.view(part.shape),
                None if own is None else own.view(part.shape),
            )


def _multiply(left: Tensor, right: Tensor, scale: float, into: Tensor) -> None:
    """Float [N, a, b] times [N, b, c] times a number, [N, a, c]."""
    torch.baddbmm(into, left, right, beta=0, alpha=scale, out=into)


def _cut(group: Group) -> Iterator[slice]:
    """As many sequences and heads at a time as fit the cache."""
    most = max(1, _SCORES_OF_A_PART // group.length**2)
    for start in range(0, group.count, most):
        yield slice(start, min(start + most, group.count))
