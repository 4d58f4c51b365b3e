"""For every piece one of some labels."""

from __future__ import annotations

from torch import Tensor, nn

from ..config import ElectraConfig
from ..dropout import Dropout
from ..initialization import initialize_weights
from .base import HeadModel


class TokenClassificationHead(nn.Module):
    """Dropout and one linear layer."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.head_dropout)
        self.classifier = nn.Linear(config.hidden_size, len(config.labels))
        initialize_weights(self, config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> float32 [..., labels]."""
        logits: Tensor = self.classifier(self.dropout(hidden))
        return logits.float()


class ElectraForTokenClassification(HeadModel):
    """The encoder with a label for each piece: entities, tags, errors.

    Logits are float32 [B, S, labels], packed [T, labels]. Labels are their numbers,
    int64 [B, S], -100 where none counts, as for all but the first piece of a word; the
    loss is their mean cross-entropy. Padding never counts, whatever its labels; in
    Transformers it does unless they are -100.
    """

    head_class = TokenClassificationHead
    head: TokenClassificationHead
    hugging_face_names = (
        ("classifier.weight", "head.classifier.weight"),
        ("classifier.bias", "head.classifier.bias"),
    )
