"""Where in a text the answer to a question begins and ends."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from ..config import ElectraConfig
from ..initialization import initialize_weights
from ..outputs import EncoderOutput, QuestionAnsweringOutput
from .base import IGNORED, HeadModel, mean_cross_entropy

# The logit of padding: not minus infinity, so that no sum of two is NaN.
_LEAST = torch.finfo(torch.float32).min


class QuestionAnsweringHead(nn.Module):
    """One linear layer: a logit for the beginning of the answer, one for its end."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.classifier = nn.Linear(config.hidden_size, 2)
        initialize_weights(self, config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> float32 [..., 2]."""
        # Rounded to bf16, the logits of neighbouring pieces would often be equal.
        with torch.autocast(hidden.device.type, enabled=False):
            states = hidden.to(self.classifier.weight.dtype)
            logits: Tensor = self.classifier(states)
        return logits.float()


class ElectraForQuestionAnswering(HeadModel):
    """The encoder with a beginning and an end of the answer, for extraction.

    Packed logits are float32 [T, 2]. The loss is the mean of two cross-entropies over
    the pieces of each sequence. Positions that lie outside do not count. Padding takes
    no part: its logits are the least number there is, where Transformers lets it have
    some probability.
    """

    head_class = QuestionAnsweringHead
    head: QuestionAnsweringHead
    hugging_face_names = (("qa_outputs.", "head.classifier."),)

    def __init__(self, config: ElectraConfig) -> None:
        # In Transformers the config must say what the head has.
        two = len(config.labels) == 2
        super().__init__(config if two else config.changed(num_labels=2))

    def forward(  # type: ignore[override]
        self,
        *inputs: Any,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **options: Any,
    ) -> QuestionAnsweringOutput:
        """As ``HeadModel.forward``, with two positions as labels, int64 [B] each."""
        if start_positions is not None and end_positions is not None:
            positions = (start_positions.flatten(), end_positions.flatten())
            options["labels"] = torch.stack(positions, dim=-1)
        return cast(QuestionAnsweringOutput, super().forward(*inputs, **options))

    def output(  # type: ignore[override]
        self,
        encoded: EncoderOutput,
        attention_mask: Tensor | None,
        labels: Tensor | None,
    ) -> QuestionAnsweringOutput:
        """As in ``HeadModel``, with the two logits apart."""
        output = super().output(encoded, attention_mask, labels)
        start, end = _without_padding(output.logits, attention_mask).unbind(-1)
        return QuestionAnsweringOutput(
            output.loss, start, end, output.hidden_states, output.attentions
        )

    def loss(
        self, logits: Tensor, labels: Tensor, attention_mask: Tensor | None
    ) -> Tensor:
        """Float scalar; labels are first and last piece of each answer, [B, 2]."""
        scores = _without_padding(logits, attention_mask)
        labels = labels.clamp(min=0)
        outside = labels >= logits.shape[1]
        labels = labels.masked_fill(outside, 0)
        # A piece without a score can't be the answer: it is padding.
        hidden = scores.detach().gather(1, labels[:, None])[:, 0] <= _LEAST
        labels = labels.masked_fill(outside | hidden, IGNORED)
        start = mean_cross_entropy(scores[..., 0], labels[:, 0])
        return (start + mean_cross_entropy(scores[..., 1], labels[:, 1])) / 2


def _without_padding(logits: Tensor, attention_mask: Tensor | None) -> Tensor:
    if attention_mask is None or attention_mask.dim() != 2:
        return logits
    return logits.masked_fill(~attention_mask.bool()[..., None], _LEAST)
