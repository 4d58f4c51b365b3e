"""What the models return."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from .cache import Cache


@dataclass(frozen=True)
class ModelOutput:
    """Named results; ``to_tuple`` leaves out those that are None."""

    def to_tuple(self) -> tuple[Any, ...]:
        """The results that are there, in the order of the fields."""
        values = (getattr(self, f.name) for f in fields(self))
        return tuple(value for value in values if value is not None)


@dataclass(frozen=True)
class EncoderOutput(ModelOutput):
    """Hidden states of an encoder.

    Args:
        last_hidden_state: float [B, S, H], zero at padding; packed: [T, H].
        past_key_values: Keys and values of all pieces so far, one entry a layer, of a
            decoder that caches.
        hidden_states: The embeddings (projected) and the states after each layer, of
            the same shape, if asked for.
        attentions: Attention weights of each layer, float [B, heads, S, K], if asked
            for; K counts cached pieces too.
        cross_attentions: Those of cross-attention, float [B, heads, S, M].
    """

    last_hidden_state: Tensor
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class HeadOutput(ModelOutput):
    """Logits of a head.

    Args:
        loss: float scalar, where labels were given.
        logits: The head's scores; each class says their shape.
        past_key_values: As in ``EncoderOutput``.
        hidden_states: As in ``EncoderOutput``.
        attentions: As in ``EncoderOutput``.
        cross_attentions: As in ``EncoderOutput``.
    """

    loss: Tensor | None
    logits: Tensor
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class QuestionAnsweringOutput(ModelOutput):
    """Where an answer begins and ends.

    Args:
        loss: float scalar, where positions were given.
        start_logits: For each piece, whether the answer begins with it, float32
            [B, S]; at padding the least number there is.
        end_logits: Likewise, whether it ends with it.
        hidden_states: As in ``EncoderOutput``.
        attentions: As in ``EncoderOutput``.
    """

    loss: Tensor | None
    start_logits: Tensor
    end_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
