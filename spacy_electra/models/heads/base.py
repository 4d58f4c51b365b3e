"""What all heads share: an encoder, a module on top of it, and a loss."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ElectraConfig
from ..electra import ElectraModel
from ..outputs import EncoderOutput, HeadOutput
from ..packing import PackedBatch
from ..pretrained import PretrainedModel

# The label of a position that does not count, as torch and Transformers have it.
IGNORED = -100


class HeadModel(PretrainedModel):
    """An encoder with a head; a class of its own says which.

    Attributes:
        head_class: Makes the head of a config.
        per_sequence: Whether the head looks at the first piece of each sequence, not at
            every piece.
    """

    head_class: ClassVar[type[nn.Module]]
    head: nn.Module
    per_sequence: ClassVar[bool] = False

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(config)
        self.electra = ElectraModel(config)
        self.head = type(self).head_class(config)
        self.tie_weights()

    def forward_packed(self, batch: PackedBatch, rows: Tensor | None = None) -> Tensor:
        """Logits of each piece (or sequence), or only of those that are asked for.

        Args:
            batch: T pieces.
            rows: Rows of the batch to look at, int64 [M]; by default all, or the first
                of each sequence where the head is one for sequences.

        Returns:
            What the head gives for these rows, float32 [M, ...].
        """
        hidden = self.electra.forward_packed(batch).last_hidden_state
        units = self.packed_units(hidden, batch) if rows is None else hidden[rows]
        logits: Tensor = self.head(units)
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
        """Score a padded batch.

        Args:
            input_ids: As all but ``labels`` in ``ElectraModel.forward``.
            labels: What the loss compares the logits with; the class says how.

        Returns:
            ``logits`` float32 [B, S, ...], or [B, ...] of a head for sequences.
        """
        encoded = self.electra(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            head_mask,
            inputs_embeds,
            use_cache=False,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        return self.output(encoded, attention_mask, labels)

    def output(
        self,
        encoded: EncoderOutput,
        attention_mask: Tensor | None,
        labels: Tensor | None,
    ) -> HeadOutput:
        """Logits of an encoded batch, and the loss where there are labels."""
        logits = self.head(self.units(encoded.last_hidden_state, attention_mask))
        loss = None
        if labels is not None:
            loss = self.loss(logits, labels, attention_mask)
        return HeadOutput(
            loss=loss,
            logits=logits,
            past_key_values=encoded.past_key_values,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            cross_attentions=encoded.cross_attentions,
        )

    def units(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """What the head looks at, of a padded batch: float [B, S, H], or [B, H]."""
        return hidden[:, 0] if self.per_sequence else hidden

    def packed_units(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """What the head looks at, of a packed batch: float [T, H], or [B, H]."""
        return hidden[batch.first_rows] if self.per_sequence else hidden

    def loss(
        self, logits: Tensor, labels: Tensor, attention_mask: Tensor | None
    ) -> Tensor:
        """The loss of a padded batch, float scalar.

        Here it is the mean cross-entropy of labels that exclude each other; those at
        padding do not count.

        Args:
            logits: As ``forward`` returns them.
            labels: As ``forward`` takes them.
            attention_mask: As ``forward`` takes it.
        """
        if attention_mask is not None and attention_mask.dim() == 2:
            labels = labels.masked_fill(~attention_mask.bool(), IGNORED)
        return mean_cross_entropy(logits.flatten(0, -2), labels.flatten())


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the labels that count; 0 where none does, which torch calls NaN.

    Args:
        logits: float [n, classes].
        labels: Numbers of classes, [n]; ``IGNORED`` where there is none.
    """
    labels = labels.long()
    total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)
