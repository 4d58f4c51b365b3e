"""The stack of layers: self-attention and feed-forward, each with its residual sum."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import Errors
from .activations import ACTIVATIONS
from .attention import SelfAttention
from .config import ElectraConfig
from .cross_attention import CrossAttention
from .dropout import Dropout
from .linear import Linear
from .norm import LayerNorm
from .packing import AttentionLayout


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, and the residual sum."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.up = Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.down = Linear(config.intermediate_size, config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """Float [T, H] -> float [T, H]."""
        expanded = self.activation(self.up(hidden))
        return self.norm(hidden + self.dropout(self.down(expanded)))


class EncoderLayer(nn.Module):
    """One layer: self-attention, then feed-forward, layer norm after each.

    ``inference.py`` and ``decoder.py`` hold two more passes over the same weights: what
    changes here changes there.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        # Only decoder.py runs it: without another encoder's states it is left out.
        self.cross_attention = (
            CrossAttention(config) if config.add_cross_attention else None
        )
        self.feed_forward = FeedForward(config)

    def forward(
        self, hidden: Tensor, layout: AttentionLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        """Float [T, H] -> float [T, H] and the attention weights, if any."""
        hidden, weights = self.attention(hidden, layout, layer)
        return self.feed_forward(hidden), weights


class Encoder(nn.Module):
    """All layers, one after the other."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        if config.add_cross_attention and not config.is_decoder:
            raise ValueError(Errors.SE010())
        self.layers = nn.ModuleList(
            EncoderLayer(config) for _ in range(config.num_hidden_layers)
        )
        # Whether training keeps only what lies between the layers.
        self.checkpointing = False

    def forward(
        self, hidden: Tensor, layout: AttentionLayout, keep_all: bool = False
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run the layers.

        Args:
            hidden: float [T, H].
            layout: Where the sequences are.
            keep_all: Whether to keep what lies between the layers.

        Returns:
            The last hidden state, float [T, H]; where ``keep_all`` is set, the states
            before the first layer and after each; the attention weights of each
            layer, where the layout asks for them.
        """
        states = [hidden] if keep_all else []
        attentions = []
        for number, layer in enumerate(self.layers):
            if self.checkpointing and self.training and torch.is_grad_enabled():
                hidden, weights = checkpoint(
                    layer, hidden, layout, number, use_reentrant=False
                )
            else:
                hidden, weights = layer(hidden, layout, number)
            if keep_all:
                states.append(hidden)
            if weights is not None and layout.eager:
                attentions.append(weights)
        return hidden, states, attentions
