"""Writing on from a prompt, piece by piece."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import Errors
from .cache import select_sequences
from .config import ElectraConfig
from .electra import ElectraModel
from .embeddings import check_length
from .padded import check_mask


class LanguageModel(Protocol):
    """A decoder and its head; ``ElectraForCausalLM`` is one."""

    @property
    def config(self) -> ElectraConfig:
        """Its shape, special pieces among it."""

    @property
    def electra(self) -> ElectraModel:
        """The decoder."""

    @property
    def head(self) -> nn.Module:
        """Float [..., H] -> float32 [..., V]."""


@torch.no_grad()
def generate(
    model: LanguageModel,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    max_new_tokens: int = 20,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    eos_token_id: int | Collection[int] | None = None,
    stop: Sequence[Sequence[int]] = (),
    pad_token_id: int | None = None,
    seed: int | None = None,
    encoder_hidden_states: Tensor | None = None,
    encoder_attention_mask: Tensor | None = None,
) -> Tensor:
    """Write on from each prompt of a batch, with cached keys and values.

    Padding may stand on either side. Sequences that have ended cost nothing more.

    Args:
        model: In evaluation mode, unless dropout is wanted.
        input_ids: The prompts, int64 [B, S].
        attention_mask: 1 for a piece, 0 for padding, [B, S].
        max_new_tokens: Most pieces to add.
        do_sample: Whether to draw pieces; else the most probable one is taken, and
            temperature, ``top_k`` and ``top_p`` are not looked at.
        temperature: What logits are divided by: below 1 the probable becomes more so.
        top_k: Draw only from so many most probable pieces; None for all.
        top_p: Draw only from the most probable pieces that together are as probable.
        eos_token_id: A piece, or several, that ends a sequence; the config's by
            default.
        stop: Runs of pieces that end a sequence when it has just written one of them.
        pad_token_id: Stands after the end; by default the config's, or 0.
        seed: Of the draws; None takes torch's own generator.
        encoder_hidden_states: As in ``ElectraModel.forward``.
        encoder_attention_mask: As in ``ElectraModel.forward``.

    Returns:
        The prompts as they were given and what follows, int64 [B, S + N]; N is
        ``max_new_tokens``, or less where all sequences have ended.

    Raises:
        ValueError: If a prompt is empty, or too long for what is to be added; if an
            option can't be.
    """
    _check_options(max_new_tokens, temperature, top_k, top_p, stop)
    if pad_token_id is None:
        pad_token_id = model.config.pad_token_id or 0
    if attention_mask is None:
        attention_mask = input_ids != pad_token_id
    if eos_token_id is None:
        eos_token_id = model.config.extra.get("eos_token_id")
    ids, mask = _left_padded(input_ids, attention_mask)
    check_length(
        ids.shape[1] + max_new_tokens - 1, model.config.max_position_embeddings
    )
    random = None if seed is None else torch.Generator(ids.device).manual_seed(seed)
    written = ids.new_full((len(ids), max_new_tokens), pad_token_id)
    rows = torch.arange(len(ids), device=ids.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    past = None
    for step in range(max_new_tokens):
        output = model.electra(
            ids,
            mask,
            position_ids=positions,
            encoder_hidden_states=None if past else encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            past_key_values=past,
            use_cache=True,
        )
        past = output.past_key_values
        logits = model.head(output.last_hidden_state[:, -1])
        if do_sample:
            logits = narrow(logits, temperature, top_k, top_p)
            drawn = torch.multinomial(logits.softmax(-1), 1, generator=random)
            chosen = drawn[:, 0]
        else:
            chosen = logits.argmax(-1)
        written[rows, step] = chosen
        going = ~_have_ended(written[rows, : step + 1], eos_token_id, stop)
        if not going.all():
            rows, chosen, mask = rows[going], chosen[going], mask[going]
            positions = positions[going]
            assert past is not None
            past = select_sequences(past, going)
            if encoder_attention_mask is not None:
                encoder_attention_mask = encoder_attention_mask[going]
        if not len(rows):
            break
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return torch.cat([input_ids, written[:, : step + 1]], dim=1)


def narrow(
    logits: Tensor, temperature: float, top_k: int | None, top_p: float
) -> Tensor:
    """Logits of which only the pieces to draw from are finite, float [B, V].

    Args:
        logits: float [B, V].
        temperature: As in ``generate``, and applied before ``top_k`` and ``top_p``.
        top_k: As in ``generate``.
        top_p: As in ``generate``; the piece that reaches it is still among them.
    """
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1.0:
        ascending, order = logits.sort(dim=-1)
        improbable = ascending.softmax(-1).cumsum(-1) <= 1 - top_p
        improbable[:, -1] = False
        logits = logits.masked_fill(
            torch.zeros_like(improbable).scatter(1, order, improbable), -torch.inf
        )
    return logits


def _left_padded(input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The prompts with all their padding in front, and the mask of that, int64."""
    check_mask("attention_mask", attention_mask, *input_ids.shape)
    mask = attention_mask.bool().long()
    lengths = mask.sum(1)
    if not lengths.numel() or int(lengths.min()) == 0:
        raise ValueError(Errors.SE020(lengths=lengths.tolist()))
    order = mask.argsort(dim=1, stable=True)[:, -int(lengths.max()) :]
    return input_ids.gather(1, order), mask.gather(1, order)


def _have_ended(
    written: Tensor, ends: int | Collection[int] | None, stop: Sequence[Sequence[int]]
) -> Tensor:
    """Whether each sequence has just written an end, bool [B]."""
    ended = torch.zeros_like(written[:, 0], dtype=torch.bool)
    pieces = [ends] if isinstance(ends, int) else ends or ()
    for run in [*stop, *([piece] for piece in pieces)]:
        if len(run) <= written.shape[1]:
            wanted = torch.tensor(list(run), device=written.device)
            ended |= (written[:, -len(run) :] == wanted).all(1)
    return ended


def _check_options(
    max_new_tokens: int,
    temperature: float,
    top_k: int | None,
    top_p: float,
    stop: Sequence[Sequence[int]],
) -> None:
    checks = (
        ("max_new_tokens", max_new_tokens, "1 or more", max_new_tokens >= 1),
        ("temperature", temperature, "above 0", temperature > 0),
        ("top_k", top_k, "1 or more, or None", top_k is None or top_k >= 1),
        ("top_p", top_p, "above 0 and at most 1", 0 < top_p <= 1),
        ("stop", stop, "lists of piece ids, none of them empty", all(map(len, stop))),
    )
    for name, value, requirement, is_met in checks:
        if not is_met:
            raise ValueError(
                Errors.SE003(name=name, requirement=requirement, value=value)
            )
