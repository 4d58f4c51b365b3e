"""The keys and values that a decoder keeps from the pieces it has read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..errors import Errors


class LayerCache(NamedTuple):
    """What one layer keeps, in the order of Transformers' tuples.

    Args:
        key: Of each piece read so far, float [B, heads, P, d].
        value: As ``key``.
        cross_key: Of each state of the other encoder, float [B, heads, M, d].
        cross_value: As ``cross_key``.
    """

    key: Tensor
    value: Tensor
    cross_key: Tensor | None = None
    cross_value: Tensor | None = None


Cache = tuple[LayerCache, ...]
# What a caller may hand in: ours, or the plain tuples of Transformers.
PastKeyValues = Sequence[Sequence[Tensor | None]]


def read_cache(past: PastKeyValues | None, layers: int, count: int) -> Cache | None:
    """Check what a caller handed in.

    Args:
        past: One entry a layer; None stays None.
        layers: Layers of the model that is to use it.
        count: Sequences of the batch.

    Raises:
        ValueError: If it belongs to another model or batch.
    """
    if past is None:
        return None
    cache = tuple(LayerCache(*layer) for layer in past)  # type: ignore[arg-type]
    batch = len(cache[0].key) if cache else 0
    if len(cache) != layers or batch != count:
        raise ValueError(
            Errors.SE013(found=len(cache), batch=batch, layers=layers, count=count)
        )
    return cache


def cached_length(past: PastKeyValues | None) -> int:
    """Pieces read so far."""
    if not past or past[0][0] is None:
        return 0
    return past[0][0].shape[-2]


def select_sequences(cache: Cache, rows: Tensor) -> Cache:
    """The cache of some sequences of a batch, int64 [n] or bool [B]."""
    return tuple(
        LayerCache(*(None if part is None else part[rows] for part in layer))  # type: ignore[arg-type]
        for layer in cache
    )
