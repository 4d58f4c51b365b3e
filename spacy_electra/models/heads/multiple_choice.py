"""Which of some continuations of a text is the right one."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from ..config import ElectraConfig
from ..initialization import initialize_weights
from ..outputs import HeadOutput
from ..packing import PackedBatch
from ..padded import choices_as_rows, rows_as_choices, shape_of_choices
from ..summary import SequenceSummary
from .base import HeadModel


class MultipleChoiceHead(nn.Module):
    """A summary of the sequence and one linear layer."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.summary = SequenceSummary(config)
        self.classifier = nn.Linear(self.summary.width, 1)
        initialize_weights(self, config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> float32 [...]."""
        logits: Tensor = self.classifier(self.summary(hidden)).squeeze(-1)
        return logits.float()


class ElectraForMultipleChoice(HeadModel):
    """The encoder with a score for each of C choices, each read after the text.

    Inputs are [B, C, S], logits float32 [B, C]; packed, the choices are sequences and
    the logits [B]. Labels are the number of the right choice, int64 [B]; the loss is
    the mean cross-entropy. A choice without a piece, where a question has fewer of
    them, has the least logit there is; in Transformers it has some probability.
    """

    head_class = MultipleChoiceHead
    head: MultipleChoiceHead
    per_sequence = True
    hugging_face_names = (
        ("sequence_summary.summary.", "head.summary.projection."),
        ("classifier.weight", "head.classifier.weight"),
        ("classifier.bias", "head.classifier.bias"),
    )

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
        """As ``HeadModel.forward``, with an axis for the choices after the first."""
        shape = shape_of_choices(input_ids, inputs_embeds)
        ids, mask, types, positions, embeds = choices_as_rows(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        )
        kept = None, output_attentions, output_hidden_states
        output = super().forward(ids, mask, types, positions, head_mask, embeds, *kept)
        logits = rows_as_choices(output.logits, shape, attention_mask)
        loss = None if labels is None else self.loss(logits, labels, None)
        return replace(output, loss=loss, logits=logits)

    def units(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The summary's choice of states, float [B C, H]."""
        return self.head.summary.pick(hidden, attention_mask)

    def packed_units(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Likewise, float [B, H]."""
        return self.head.summary.pick_packed(hidden, batch.lengths)
