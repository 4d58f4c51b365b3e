"""For a text, or two, one label, several, or numbers."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ElectraConfig
from ..dropout import Dropout
from ..initialization import initialize_weights
from .base import HeadModel, mean_cross_entropy


class SequenceClassificationHead(nn.Module):
    """A dense layer, GELU, and one linear layer, with dropout before each.

    The activation is GELU whatever the config says, as in Transformers.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.head_dropout)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, len(config.labels))
        initialize_weights(self, config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> float32 [..., labels]."""
        dense = F.gelu(self.dense(self.dropout(hidden)))
        logits: Tensor = self.classifier(self.dropout(dense))
        return logits.float()


class ElectraForSequenceClassification(HeadModel):
    """The encoder with labels for the whole text, read off its first piece, [CLS].

    Logits are float32 [B, labels], packed likewise. What the labels are, the config's
    ``problem_type`` says; where it is None the first labels decide, and the config
    keeps it, as in Transformers:

    - "regression": numbers, float [B] or [B, labels]; mean squared error. The choice
      where there is one label.
    - "single_label_classification": numbers of labels, int64 [B]; cross-entropy. The
      choice where they are integers.
    - "multi_label_classification": 0 to 1 for each label, float [B, labels]; binary
      cross-entropy. The choice where they are floats.
    """

    head_class = SequenceClassificationHead
    head: SequenceClassificationHead
    per_sequence = True
    hugging_face_names = (
        ("classifier.dense.", "head.dense."),
        ("classifier.out_proj.", "head.classifier."),
    )

    def loss(
        self, logits: Tensor, labels: Tensor, attention_mask: Tensor | None
    ) -> Tensor:
        """Float scalar; see the class."""
        if self.config.problem_type is None:
            kind = "multi_label_classification"
            if logits.shape[-1] == 1:
                kind = "regression"
            elif not labels.is_floating_point():
                kind = "single_label_classification"
            self._set_config(replace(self.config, problem_type=kind))
        if self.config.problem_type == "single_label_classification":
            return mean_cross_entropy(logits, labels.flatten())
        values = labels.to(logits.dtype).view_as(logits)
        if self.config.problem_type == "regression":
            return F.mse_loss(logits, values)
        return F.binary_cross_entropy_with_logits(logits, values)
