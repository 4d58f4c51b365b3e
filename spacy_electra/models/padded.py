"""Padded batches: their inputs with defaults, their masks, and the way to rows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import Errors

# The logit of padding: not minus infinity, so that no sum of two is NaN.
LEAST = torch.finfo(torch.float32).min


class PaddedInputs(NamedTuple):
    """What the embeddings of a padded batch are computed from.

    Args:
        input_ids: int64 [B, S], or None where ``inputs_embeds`` is given.
        token_type_ids: int64 [B, S].
        position_ids: int64 [B, S].
        inputs_embeds: Word embeddings, float [B, S, E], or None.
    """

    input_ids: Tensor | None
    token_type_ids: Tensor
    position_ids: Tensor
    inputs_embeds: Tensor | None

    @property
    def shape(self) -> tuple[int, int]:
        """B and S."""
        count, length = self.token_type_ids.shape
        return count, length

    def rows(self, rows: Tensor | None) -> PaddedInputs:
        """Some rows of [B * S], or all."""
        flat = (None if part is None else part.flatten(0, 1) for part in self)
        if rows is None:
            return PaddedInputs(*flat)  # type: ignore[arg-type]
        return PaddedInputs(*(None if part is None else part[rows] for part in flat))  # type: ignore[arg-type]


def padded_inputs(
    input_ids: Tensor | None,
    token_type_ids: Tensor | None,
    position_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    start: int = 0,
) -> PaddedInputs:
    """Fill in what was not given: token types 0, positions from ``start`` on.

    Raises:
        ValueError: If both or neither of ids and embeddings are given.
    """
    if (input_ids is None) == (inputs_embeds is None):
        given = "neither" if input_ids is None else "both"
        raise ValueError(Errors.SE005(given=given))
    source = input_ids if inputs_embeds is None else inputs_embeds
    assert source is not None
    count, length = source.shape[:2]
    if token_type_ids is None:
        token_type_ids = torch.zeros(
            (count, length), dtype=torch.long, device=source.device
        )
    if position_ids is None:
        position_ids = torch.arange(start, start + length, device=source.device)
    return PaddedInputs(
        input_ids, token_type_ids, position_ids.expand(count, length), inputs_embeds
    )


def check_mask(name: str, mask: Tensor | None, count: int, keys: int) -> None:
    """Refuse a mask that is not [count, keys] or [count, S, keys]."""
    if mask is not None and (mask.shape[0], mask.shape[-1]) != (count, keys):
        raise ValueError(
            Errors.SE012(name=name, count=count, keys=keys, shape=tuple(mask.shape))
        )


def real_rows(attention_mask: Tensor) -> tuple[Tensor, list[int]]:
    """Rows of [B * S] that are no padding, shortest sequence first, and the lengths."""
    mask = attention_mask.bool()
    lengths, order = mask.sum(1).sort(stable=True)
    sequence, position = mask[order].nonzero(as_tuple=True)
    return order[sequence] * mask.shape[1] + position, lengths.tolist()


def pad_rows(state: Tensor, rows: Tensor | None, shape: tuple[int, int]) -> Tensor:
    """Rows [T, H] back in their places of [B, S, H]."""
    if rows is None:
        return state.view(*shape, -1)
    padded = state.new_zeros((shape[0] * shape[1], state.shape[-1]))
    return padded.index_copy(0, rows, state).view(*shape, -1)


def without_padding(logits: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Logits whose rows at padding are ``LEAST``.

    Args:
        logits: float32 [B, S, ...].
        attention_mask: 1 for a piece, 0 for padding, [B, S].
    """
    if attention_mask is None or attention_mask.dim() != 2:
        return logits
    return logits.masked_fill(~attention_mask.bool()[..., None], LEAST)


def shape_of_choices(
    input_ids: Tensor | None, inputs_embeds: Tensor | None
) -> tuple[int, int]:
    """B and C of a batch of choices; what was not given is told later.

    Raises:
        ValueError: If the ids are not [B, C, S], or the embeddings not [B, C, S, E].
    """
    given, dims = (inputs_embeds, 4) if input_ids is None else (input_ids, 3)
    if given is None:
        return 0, 0
    if given.dim() != dims:
        raise ValueError(Errors.SE018(shape=tuple(given.shape)))
    return given.shape[0], given.shape[1]


def choices_as_rows(*parts: Tensor | None) -> list[Tensor | None]:
    """Inputs [B, C, ...] as [B C, ...]."""
    return [None if part is None else part.flatten(0, 1) for part in parts]


def rows_as_choices(
    logits: Tensor, shape: tuple[int, int], attention_mask: Tensor | None
) -> Tensor:
    """Logits [B C] as [B, C], ``LEAST`` where a choice has no piece.

    Args:
        logits: float32.
        shape: B and C.
        attention_mask: 1 for a piece, 0 for padding, [B, C, S].
    """
    logits = logits.view(shape)
    if attention_mask is None:
        return logits
    return logits.masked_fill(~attention_mask.bool().flatten(2).any(-1), LEAST)
