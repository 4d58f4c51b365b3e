"""Attention of a decoder's pieces to the states of another encoder."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from .attention import SelfAttention
from .config import ElectraConfig


class CrossAttention(SelfAttention):
    """Attention whose keys and values come from elsewhere, and its residual sum.

    The weights are those of self-attention, so that one table of names and one way of
    loading serve both: of ``qkv`` the first third meets the decoder's pieces, the rest
    the other encoder's states. Positions are always absolute, as in Transformers.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__(replace(config, position_embedding_type="absolute"))

    def queries(self, hidden: Tensor) -> Tensor:
        """Float [B, S, H] -> [B, heads, S, d]."""
        width = self.output.in_features
        query = F.linear(hidden, self.qkv.weight[:width], self.qkv.bias[:width])
        return query.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_and_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Float [B, M, H] -> [B, heads, M, d] each."""
        width = self.output.in_features
        both = F.linear(states, self.qkv.weight[width:], self.qkv.bias[width:])
        parts = both.unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        key, value = parts.unbind(0)
        return key, value
