"""From piece ids to vectors: word, position and type embeddings, summed and normed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import Errors
from .config import ElectraConfig
from .dropout import Dropout
from .norm import LayerNorm


class ElectraEmbeddings(nn.Module):
    """Sum of word, token type and (absolute) position embeddings, then layer norm.

    Works on rows of any leading shape; the encoder calls it on packed rows [T].
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        width = config.embedding_size
        self.word_embeddings = nn.Embedding(
            config.vocab_size, width, padding_idx=config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.norm = LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.absolute = config.position_embedding_type == "absolute"

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor,
        position_ids: Tensor,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Embed pieces.

        Args:
            input_ids: int64 [T], or None where ``inputs_embeds`` is given.
            token_type_ids: int64 [T].
            position_ids: int64 [T]; unused with relative positions.
            inputs_embeds: Word embeddings to use instead, float [T, E].

        Returns:
            float [T, E].

        Raises:
            ValueError: If a position is beyond the table.
        """
        if inputs_embeds is None:
            inputs_embeds = self.word_embeddings(input_ids)
        embedded = inputs_embeds + self.token_type_embeddings(token_type_ids)
        if self.absolute:
            embedded = embedded + self.position_embeddings(position_ids)
        return self.dropout(self.norm(embedded))


def check_length(length: int, limit: int) -> None:
    """Refuse a sequence that has no position embedding for its last piece."""
    if length > limit:
        raise ValueError(Errors.SE004(length=length, limit=limit))


def compute_dtype(device: torch.device, default: torch.dtype) -> torch.dtype:
    """The dtype that hidden states have on a device: autocast's, where it is on."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return default
