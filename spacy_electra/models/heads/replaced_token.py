"""The discriminator: for every piece, whether it was replaced."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..activations import ACTIVATIONS
from ..config import ElectraConfig
from ..initialization import initialize_weights
from ..linear import Linear
from .base import HeadModel


class ReplacedTokenHead(nn.Module):
    """A dense layer of the encoder's width, its activation, and one logit."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.score = nn.Linear(config.hidden_size, 1)
        initialize_weights(self, config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> float32 [...]."""
        logits: Tensor = self.score(self.activation(self.dense(hidden))).squeeze(-1)
        return logits.float()


class ElectraForPreTraining(HeadModel):
    """The encoder with the head for replaced-token detection (the discriminator).

    Logits are float32 [B, S], packed [T]. Labels are 1 where a piece was replaced, 0
    where not, [B, S]; the loss is their mean binary cross-entropy over positions that
    are not masked.
    """

    head_class = ReplacedTokenHead
    head: ReplacedTokenHead
    hugging_face_names = (
        ("discriminator_predictions.dense_prediction.", "head.score."),
        ("discriminator_predictions.dense.", "head.dense."),
    )

    def loss(
        self, logits: Tensor, labels: Tensor, attention_mask: Tensor | None
    ) -> Tensor:
        """Float scalar; see the class."""
        if attention_mask is None:
            active = torch.ones_like(logits, dtype=torch.bool)
        else:
            active = attention_mask.bool()
        return F.binary_cross_entropy_with_logits(
            logits[active], labels[active].to(logits.dtype)
        )
