"""The discriminator: for every piece, whether it was replaced."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..activations import ACTIVATIONS
from ..config import ElectraConfig
from ..electra import ElectraModel
from ..initialization import initialize_weights
from ..outputs import HeadOutput
from ..packing import PackedBatch
from ..pretrained import PretrainedModel


class ReplacedTokenHead(nn.Module):
    """A dense layer of the encoder's width, its activation, and one logit."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.score = nn.Linear(config.hidden_size, 1)
        initialize_weights(self, config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> float32 [...]."""
        logits: Tensor = self.score(self.activation(self.dense(hidden))).squeeze(-1)
        return logits.float()


class ElectraForPreTraining(PretrainedModel):
    """The encoder with the head for replaced-token detection (the discriminator).

    Args:
        config: Its shape.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.electra = ElectraModel(config)
        self.head = ReplacedTokenHead(config)

    def forward_packed(self, batch: PackedBatch) -> Tensor:
        """Logit of each piece for "was replaced", float32 [T]."""
        logits: Tensor = self.head(self.electra.forward_packed(batch).last_hidden_state)
        return logits

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> HeadOutput:
        """Score a padded batch; arguments as in ``ElectraModel.forward``.

        Args:
            labels: 1 where a piece was replaced, 0 where not, [B, S]. The loss is
                their mean binary cross-entropy over positions that are not masked.

        Returns:
            ``logits`` float32 [B, S].
        """
        encoded = self.electra(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            head_mask,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
        )
        logits = self.head(encoded.last_hidden_state)
        loss = None
        if labels is not None:
            if attention_mask is None:
                active = torch.ones_like(logits, dtype=torch.bool)
            else:
                active = attention_mask.bool()
            loss = F.binary_cross_entropy_with_logits(
                logits[active], labels[active].to(logits.dtype)
            )
        return HeadOutput(loss, logits, encoded.hidden_states, encoded.attentions)
