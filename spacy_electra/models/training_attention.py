"""Attention for training on a CPU: both passes written out, a few sequences at a time.

What it computes is what the plain operations compute, but the scores of a few sequences
stay in the cache from the first product to the last. Rows go to where the products want
them, and back, in one step: query, key and value of each head of each sequence, end to
end, sequences of about one length side by side. Gradients of gradients are not
available.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dropout import keep, keeping_bits, widened
from .packing import Segment
from .precision import exact_dtype
from .scratch import Scratch

# Scores to work on at a time: what comes from them stays in the cache.
_SCORES_OF_A_PART = 1 << 19
# Sequences are taken to be of a multiple of so many rows: torch's softmax and its
# gradient take half the time, or less, where nothing is left after whole vectors. And
# oneDNN compiles a kernel for each new length.
_STEP = 16
# A group of sequences more takes as long as so many scores more.
_SCORES_OF_A_GROUP = 1 << 16


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
    attention = Attention(places, dropout, Scratch())
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
        rows, width = upstream.shape
        with_zeros = torch.cat([upstream, upstream.new_zeros(1, width)])
        gradient = upstream.new_empty(rows, 3 * width)
        return ctx.attention.backward(with_zeros, ctx.saved_tensors, gradient), None


class Group(NamedTuple):
    """Sequences of about one length.

    Args:
        length: Rows that each of them is taken to have.
        rows: Theirs among those of one kind (queries, say), by sequence, head and row.
        scores: Theirs among all scores, by sequence, head, query and key.
        block: Number of the block that they belong to.
        bias: Minus infinity for keys that are padding, or not to be seen, else 0;
            float32 [sequences times heads or 1, length or 1, length]; None for nothing.
    """

    length: int
    rows: slice
    scores: slice
    block: int
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class Places:
    """Where rows go for attention, and where they come from.

    The rows of one kind, R in all, are those of each head of each sequence, with
    padding, group by group. Numbers below count rows of d values, the width of a head.

    Args:
        heads: Number of heads.
        groups: They follow each other, those of a block too.
        scores: Those of each block among all.
        sources: The row of [T, 3 heads, d] that each row of [3, R, d] takes; some row
            where it is padding. int64 [3 R].
        places: The row of [R, d] for each of [T, heads, d], int64 [T heads].
        gradient_sources: The row of [T + 1, heads, d] that each row of [R, d] takes,
            of which the last ones, for padding, are to be zero. int64 [R].
        gradient_places: The row of [3 R, d] for each of [T, 3 heads, d], int64
            [3 heads T].
    """

    heads: int
    groups: Sequence[Group]
    scores: Sequence[slice]
    sources: Tensor
    places: Tensor
    gradient_sources: Tensor
    gradient_places: Tensor

    @classmethod
    def of(cls, blocks: Sequence[Sequence[int]], heads: int, causal: bool) -> Places:
        """For sequences that lie end to end.

        Args:
            blocks: Lengths of the sequences of each block.
            heads: Number of heads.
            causal: Whether a piece sees only those before it and itself.
        """
        groups: list[Group] = []
        # The row of each place, by sequence, head and row; -1 is padding.
        found = [np.zeros((0, heads, 1), dtype=np.int64)]
        ends, first, done = [0], 0, 0
        for number, lengths in enumerate(blocks):
            sizes = np.array(lengths, dtype=np.int64)
            starts = first + sizes.cumsum() - sizes
            first, scores = first + int(sizes.sum()), ends[-1]
            rounded = _rounded(sizes, heads)
            for length in np.unique(rounded[sizes > 0]).tolist():
                own = (rounded == length) & (sizes > 0)
                is_real = np.arange(length) < sizes[own, None]
                rows = np.where(is_real, starts[own, None] + np.arange(length), -1)
                found.append(np.repeat(rows[:, None], heads, axis=1))
                of_rows = slice(done, done + found[-1].size)
                of_scores = slice(scores, scores + found[-1].size * length)
                bias = _bias(is_real, heads, causal)
                groups.append(Group(length, of_rows, of_scores, number, bias))
                done, scores = of_rows.stop, of_scores.stop
            ends.append(scores)
        numbers = np.arange(heads)[:, None]
        head = np.concatenate(
            [np.broadcast_to(numbers, p.shape).ravel() for p in found]
        )
        row = np.concatenate([part.ravel() for part in found])
        real, kinds = np.flatnonzero(row >= 0), np.arange(3)[:, None]
        places = np.zeros((first, heads), dtype=np.int64)
        places[row[real], head[real]] = real
        indices = (
            (row.clip(0) * 3 + kinds) * heads + head,
            places,
            np.where(row >= 0, row, first) * heads + head,
            places[:, None] + done * kinds,
        )
        return cls(
            heads,
            groups,
            [slice(*pair) for pair in pairwise(ends)],
            *(torch.from_numpy(index.ravel()) for index in indices),
        )


def _rounded(sizes: NDArray[np.int64], heads: int) -> NDArray[np.int64]:
    """The length that each sequence is taken to have."""
    rounded = -(-sizes // _STEP) * _STEP
    for shorter, longer in pairwise(np.unique(rounded[sizes > 0]).tolist()):
        own = rounded == shorter
        if own.sum() * heads * (longer**2 - shorter**2) <= _SCORES_OF_A_GROUP:
            rounded[own] = longer
    return rounded


def _bias(is_real: NDArray[np.bool_], heads: int, causal: bool) -> Tensor | None:
    """What is added to the scores of sequences [n, length]; see ``Group``."""
    if causal:
        # Padding comes after all that a row sees.
        length = is_real.shape[1]
        return torch.full((1, length, length), -math.inf).triu_(1)
    if is_real.all():
        return None
    hidden = torch.from_numpy(~np.repeat(is_real, heads, axis=0))[:, None]
    return torch.zeros(hidden.shape).masked_fill_(hidden, -math.inf)


class Attention(NamedTuple):
    """Both passes.

    Args:
        places: Where the rows go.
        dropout: Share of the weights to drop.
        scratch: Memory to work in.
        seeds: Of the random numbers of each block; torch's generator gives those that
            are missing.
    """

    places: Places
    dropout: float
    scratch: Scratch
    seeds: Sequence[int | None] = ()

    def forward(self, projected: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The states that attention finds, and what the backward pass needs.

        That is queries, keys and values with their padding, float [3, R, d], the
        weights, float [S], and with dropout which of them are kept, int8, of each
        block.

        Args:
            projected: Float [T, 3 H].
        """
        places, larger = self.places, 1 / (1 - self.dropout)
        width = projected.shape[1] // 3
        depth = width // places.heads
        scale = 1 / math.sqrt(depth)
        split = _taken(projected, depth, places.sources).view(3, -1, depth)
        total = places.scores[-1].stop if places.scores else 0
        weights, kept = projected.new_empty(total), []
        if self.dropout:
            seeds = self.seeds or [None] * len(places.scores)
            kept = [
                keeping_bits(weights[scores], self.dropout, seed)
                for scores, seed in zip(places.scores, seeds, strict=True)
            ]
        attended = self.scratch.take("attended", split.shape[1:], split.dtype)
        for group in places.groups:
            bits = self._bits(kept, group)
            seen_by_all, rows = _scores(weights, group), _rows(attended, group)
            queries, keys, values = (_rows(kind, group) for kind in split.unbind(0))
            for part in _parts(group):
                seen = seen_by_all[part]
                scores = self._product(
                    "scores", queries[part], keys[part].transpose(1, 2), scale
                )
                self._softmax(scores, group, part, into=seen)
                used = seen
                if bits is not None:
                    used = keep(seen, bits[part], into=self._like("used", seen))
                _multiply(used, values[part], larger, into=rows[part])
        context = attended.index_select(0, places.places)
        return context.view(-1, width), [split, weights, *kept]

    def backward(
        self, upstream: Tensor, saved: Sequence[Tensor], gradient: Tensor
    ) -> Tensor:
        """Write the gradient of ``projected``.

        Args:
            upstream: The gradient of the states, float [T + 1, H]; the last row is
                zero.
            saved: What ``forward`` gave.
            gradient: Takes the result, float [T, 3 H].
        """
        places, larger = self.places, 1 / (1 - self.dropout)
        split, weights, *kept = saved
        depth = split.shape[2]
        scale = 1 / math.sqrt(depth)
        take, size = self.scratch.take, split[0].shape
        given = take("given", size, split.dtype)
        _taken(upstream, depth, places.gradient_sources, into=given)
        found = take("found", split.shape, split.dtype)
        for group in places.groups:
            bits = self._bits(kept, group)
            seen_by_all, came_to_all = _scores(weights, group), _rows(given, group)
            queries, keys, values = (_rows(kind, group) for kind in split.unbind(0))
            to_queries, to_keys, to_values = (
                _rows(kind, group) for kind in found.unbind(0)
            )
            for part in _parts(group):
                came, seen = came_to_all[part], seen_by_all[part]
                used = seen
                to_used = self._product(
                    "scores", came, values[part].transpose(1, 2), larger
                )
                if bits is not None:
                    wide = widened(bits[part], into=self._like("kept", seen))
                    used = keep(seen, wide, into=self._like("used", seen))
                    keep(to_used, wide, into=to_used)
                to_scores = self._softmax_gradient(to_used, seen)
                _multiply(to_scores, keys[part], scale, into=to_queries[part])
                turned = to_scores.transpose(1, 2)
                _multiply(turned, queries[part], scale, into=to_keys[part])
                _multiply(used.transpose(1, 2), came, larger, into=to_values[part])
        result = gradient.view(-1, depth)
        _taken(found, depth, places.gradient_places, into=result)
        return gradient

    def _bits(self, kept: Sequence[Tensor], group: Group) -> Tensor | None:
        """Which weights of a group are kept, int8 [n, length, length]."""
        if not kept:
            return None
        first = self.places.scores[group.block].start
        own = slice(group.scores.start - first, group.scores.stop - first)
        return kept[group.block][own].view(-1, group.length, group.length)

    def _softmax(self, scores: Tensor, group: Group, part: slice, into: Tensor) -> None:
        """Weights of scores [n, length, length], of padding none."""
        exact = self._exact("exact", scores)
        if group.bias is not None:
            exact += group.bias if len(group.bias) == 1 else group.bias[part]
        if into.dtype == exact.dtype:
            torch.softmax(exact, dim=-1, out=into)
        else:
            into.copy_(torch.softmax(exact, dim=-1, out=exact))

    def _softmax_gradient(self, upstream: Tensor, weights: Tensor) -> Tensor:
        """The gradient of scores [n, length, length], where that of weights was.

        In float32, as the softmax is, it takes half the time that it takes in bf16.
        """
        came, seen = self._exact("exact", upstream), self._exact("seen", weights)
        torch._softmax_backward_data(came, seen, -1, seen.dtype, grad_input=came)
        return came if came is upstream else upstream.copy_(came)

    def _exact(self, name: str, values: Tensor) -> Tensor:
        """The same numbers in the precision of sums, themselves if they are in it."""
        dtype = exact_dtype(values.dtype)
        if values.dtype == dtype:
            return values
        return self.scratch.take(name, values.shape, dtype).copy_(values)

    def _product(self, name: str, left: Tensor, right: Tensor, scale: float) -> Tensor:
        """Float [N, a, b] times [N, b, c] times a number, [N, a, c], in the scratch."""
        shape = (left.shape[0], left.shape[1], right.shape[2])
        into = self.scratch.take(name, shape, left.dtype)
        return _multiply(left, right, scale, into)

    def _like(self, name: str, values: Tensor) -> Tensor:
        return self.scratch.take(name, values.shape, values.dtype)


def _multiply(left: Tensor, right: Tensor, scale: float, into: Tensor) -> Tensor:
    """Float [N, a, b] times [N, b, c] times a number, [N, a, c]."""
    return torch.baddbmm(into, left, right, beta=0, alpha=scale, out=into)


def _parts(group: Group) -> Iterator[slice]:
    """As many sequences and heads at a time as fit the cache."""
    squared = group.length**2
    size = max(1, _SCORES_OF_A_PART // squared)
    for start in range(0, (group.scores.stop - group.scores.start) // squared, size):
        yield slice(start, start + size)


def _rows(values: Tensor, group: Group) -> Tensor:
    """Those of a group, [R, d] -> [n, length, d]."""
    return values[group.rows].view(-1, group.length, values.shape[1])


def _scores(values: Tensor, group: Group) -> Tensor:
    """Those of a group, [S] -> [n, length, length]."""
    return values[group.scores].view(-1, group.length, group.length)


def _taken(
    rows: Tensor, depth: int, sources: Tensor, into: Tensor | None = None
) -> Tensor:
    """Rows of ``depth`` values each, where they are wanted."""
    found: Tensor = torch.index_select(rows.reshape(-1, depth), 0, sources, out=into)
    return found
