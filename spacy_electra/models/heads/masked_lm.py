"""The generator: for every masked piece, which one it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ElectraConfig
from ..electra import ElectraModel
from ..initialization import initialize_weights
from ..linear import Linear
from ..norm import LayerNorm
from .base import HeadModel


class MaskedLMHead(nn.Module):
    """Back to the embeddings' width, then a product with the word embeddings.

    The activation is GELU whatever the config says, as in the reference.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.embedding_size)
        self.norm = LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.decoder = Linear(config.embedding_size, config.vocab_size)
        initialize_weights(self, config)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [..., H] -> float32 [..., V]."""
        return self.scores(hidden).float()

    def scores(self, hidden: Tensor) -> Tensor:
        """The same in the precision of the product, which a loss need not copy."""
        logits: Tensor = self.decoder(self.norm(F.gelu(self.dense(hidden))))
        return logits


class ElectraForMaskedLM(HeadModel):
    """The encoder with the head of a masked language model (the generator).

    Logits are float32 [B, S, V], packed [T, V]. Labels are the piece that stood at a
    masked position, -100 elsewhere, [B, S]; the loss is their mean cross-entropy, and
    padding never counts.
    """

    head_class = MaskedLMHead
    head: MaskedLMHead
    hugging_face_names = (
        ("generator_predictions.LayerNorm.", "head.norm."),
        ("generator_predictions.dense.", "head.dense."),
        ("generator_lm_head.", "head.decoder."),
    )
    tied: ClassVar[Mapping[str, str]] = {
        "head.decoder.weight": "electra.embeddings.word_embeddings.weight"
    }

    def share_embeddings(self, other: ElectraModel) -> None:
        """Use the embeddings and their layer norm of another encoder.

        Generator and discriminator train on one set of them (Clark et al., 2020,
        section 3.2).

        Args:
            other: An encoder with the same embedding and vocabulary size.
        """
        self.electra.embeddings = other.embeddings
        self.tie_weights()
