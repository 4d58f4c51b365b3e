"""Where in a text the answer to a question begins and ends."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from ..config import ElectraConfig
from ..initialization import initialize_weights
from ..outputs import EncoderOutput, QuestionAnsweringOutput
from ..padded import LEAST, without_padding
from ..precision import without_autocast
from .base import IGNORED, HeadModel, mean_cross_entropy


class QuestionAnsweringHead(nn.Module):
    """One linear layer: a logit for the beginning of the answer, one for its end."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.classifier = nn.Linear(config.hidden_size, 2)
        initialize_weights(self, config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> float32 [..., 2]."""
        # Rounded to bf16, the logits of neighbouring pieces would often be equal.
        return without_autocast(self.classifier, hidden).float()


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
            both = start_positions.flatten(), end_positions.flatten()
            options["labels"] = torch.stack(both, dim=-1)
        return cast(QuestionAnsweringOutput, super().forward(*inputs, **options))

    def output(  # type: ignore[override]
        self,
        encoded: EncoderOutput,
        attention_mask: Tensor | None,
        labels: Tensor | None,
    ) -> QuestionAnsweringOutput:
        """As in ``HeadModel``, with the two logits apart."""
        output = super().output(encoded, attention_mask, labels)
        start, end = without_padding(output.logits, attention_mask).unbind(-1)
        states = output.hidden_states, output.attentions
        return QuestionAnsweringOutput(output.loss, start, end, *states)

    def loss(
        self, logits: Tensor, labels: Tensor, attention_mask: Tensor | None
    ) -> Tensor:
        """Float scalar; labels are first and last piece of each answer, [B, 2]."""
        scores = without_padding(logits, attention_mask)
        places = labels.clamp(0, logits.shape[1] - 1)
        # A piece without a score can't be the answer: it is padding.
        hidden = scores.detach().gather(1, places[:, None])[:, 0] <= LEAST
        places = places.masked_fill(hidden | (labels > places), IGNORED)
        start = mean_cross_entropy(scores[..., 0], places[:, 0])
        return (start + mean_cross_entropy(scores[..., 1], places[:, 1])) / 2
