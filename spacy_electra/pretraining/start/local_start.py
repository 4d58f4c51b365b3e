"""Initial weights under which attention sees its neighbours from the first step."""

from __future__ import annotations

import math

import torch
from torch import nn

from ...models import ElectraModel
from ...models.attention import SelfAttention
from ...models.initialization import initialize_weights

WORD_DEVIATION = 0.03
POSITION_AMPLITUDE = 0.04
LARGEST_LOGIT = 6.0
OFFSETS = (-1, 1, -2, 2, -3, 3, -4, 4)


def apply_local_start(
    encoder: ElectraModel,
    *,
    offsets: tuple[int, ...] = OFFSETS,
    largest_logit: float = LARGEST_LOGIT,
    layers: int = 1,
) -> None:
    """Initialize an encoder so that its first heads look at near positions.

    With learned absolute positions a masked language model can't use its context until
    attention has found the neighbours, which at small budgets never happens. Here the
    position embeddings begin as Fourier features with linearly spaced frequencies,

        w_f = pi (f + 1/2) / (E / 2),   sin(w_f p), cos(w_f p),

    a pair for each frequency, in an order of which every beginning is spread evenly
    over the whole range, so that a generator narrower than the embeddings keeps enough
    of them. The projection to the hidden size begins as the identity on its first E
    rows, and in the first layer each head's keys are (sin, cos) pairs of the position
    and its queries the same pairs rotated by w_f o, so that the score of a head is

        s^2 sum_f cos(w_f (p + o - p')),

    greatest at p' = p + o. The rest is initialized as usual. The architecture does not
    change: the result is an ordinary ELECTRA.

    Args:
        encoder: Changed in place; it needs absolute positions.
        offsets: Where the heads look, one each, in turn; a head beyond them is left
            as usual.
        largest_logit: What the score of a head comes to at its offset, about.
        layers: Number of layers, from the first, that begin like that.
    """
    initialize_weights(encoder, encoder.config)
    embeddings = encoder.embeddings
    width = encoder.config.embedding_size
    frequencies = fourier_frequencies(width)
    with torch.no_grad():
        embeddings.word_embeddings.weight.mul_(
            WORD_DEVIATION / encoder.config.initializer_range
        )
        positions = embeddings.position_embeddings.weight
        angles = torch.outer(torch.arange(len(positions)).float(), frequencies)
        features = torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
        positions.zero_()
        positions[:, : features.shape[1]] = POSITION_AMPLITUDE * features
        if isinstance(encoder.embeddings_project, nn.Linear):
            matrix = encoder.embeddings_project.weight
            rows = min(matrix.shape)
            matrix[:rows].zero_()
            matrix.fill_diagonal_(1.0)
    # Behind the layer norm of the embeddings the features have this amplitude.
    variance = WORD_DEVIATION**2 + POSITION_AMPLITUDE**2 / 2
    variance += encoder.config.initializer_range**2
    amplitude = POSITION_AMPLITUDE / math.sqrt(variance)
    # An encoder narrower than the embeddings keeps only the first features.
    pairs = min(width, encoder.config.hidden_size) // 2
    for layer in list(encoder.encoder.layers)[:layers]:
        attention = layer.attention
        assert isinstance(attention, SelfAttention)
        _look_at_offsets(
            attention, frequencies[:pairs], amplitude, offsets, largest_logit
        )


def fourier_frequencies(embedding_size: int) -> torch.Tensor:
    """Frequencies of the position features, float [E // 2], in radians a position."""
    half = embedding_size // 2
    bits = max(1, (half - 1).bit_length())
    # Counting with the bits reversed (van der Corput, 1935) halves every gap in turn.
    reversed_bits = (int(f"{f:0{bits}b}"[::-1], 2) for f in range(2**bits))
    order = torch.tensor([f for f in reversed_bits if f < half])
    return math.pi * (order.float() + 0.5) / half


def _look_at_offsets(
    attention: SelfAttention,
    frequencies: torch.Tensor,
    amplitude: float,
    offsets: tuple[int, ...],
    largest_logit: float,
) -> None:
    """Set queries and keys of a layer: one offset a head."""
    head_width = attention.head_width
    count = min(head_width // 2, len(frequencies))
    if count == 0:
        return
    # count * (scale * amplitude)^2 / sqrt(head_width) = largest_logit
    scale = math.sqrt(largest_logit * math.sqrt(head_width) / count) / amplitude
    hidden = attention.output.weight.shape[0]
    query, key = attention.qkv.weight.detach()[: 2 * hidden].chunk(2)
    pairs = torch.arange(count)
    for head, offset in enumerate(offsets[: attention.heads]):
        rows = slice(head * head_width, (head + 1) * head_width)
        angle = frequencies[:count] * offset
        query_rows = torch.zeros(head_width, hidden)
        key_rows = torch.zeros(head_width, hidden)
        sine, cosine = 2 * pairs, 2 * pairs + 1
        key_rows[sine, sine] = scale
        key_rows[cosine, cosine] = scale
        # sin(a + b) and cos(a + b) from sin a and cos a: the query stands at p + o.
        query_rows[sine, sine] = scale * angle.cos()
        query_rows[sine, cosine] = scale * angle.sin()
        query_rows[cosine, cosine] = scale * angle.cos()
        query_rows[cosine, sine] = -scale * angle.sin()
        with torch.no_grad():
            query[rows] = query_rows
            key[rows] = key_rows
