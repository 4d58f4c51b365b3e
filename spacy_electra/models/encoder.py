"""The stack of layers: self-attention and feed-forward, each with its residual sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import Errors
from .activations import ACTIVATIONS, GELUS
from .attention import SelfAttention
from .config import ElectraConfig
from .cross_attention import CrossAttention
from .dropout import Dropout
from .embeddings import compute_dtype
from .linear import Linear
from .norm import LayerNorm
from .packing import AttentionLayout
from .training.layers import Layer, run_layers

_HOLDERS = (Linear, LayerNorm)
# What a module has where something is to happen when it is called.
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_compiled_call_impl",
)


def _is_plain(module: nn.Module) -> bool:
    """Whether calling a module is no more than what its class says."""
    is_own = type(module) in (SelfAttention, FeedForward, *_HOLDERS)
    return is_own and not any(getattr(module, name) for name in _HOOKS)


class FeedForward(nn.Module):
    """Two linear layers with an activation between them, and the residual sum."""

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.up = Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.gelu = GELUS.get(config.hidden_act)
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
        if self.learns_here(hidden, layout):
            return run_layers(hidden, layout, [self.shape], self.weights()), None
        hidden, weights = self.attention(hidden, layout, layer)
        return self.feed_forward(hidden), weights

    def learns_here(self, hidden: Tensor, layout: AttentionLayout) -> bool:
        """Whether ``training/layers.py`` serves this batch."""
        attention, feed_forward = self.attention, self.feed_forward
        return (
            attention.learns_here(hidden, layout)
            and all(map(_is_plain, self._parts()))
            and hidden.dim() == 2
            and hidden.dtype == compute_dtype(hidden.device, attention.qkv.weight.dtype)
            and feed_forward.gelu is not None
            and attention.dropout.p < 1.0
            and feed_forward.dropout.p < 1.0
            and not torch.compiler.is_compiling()
        )

    def _parts(self) -> tuple[nn.Module, ...]:
        """What holds the weights, in the order in which they are used."""
        attention, feed_forward = self.attention, self.feed_forward
        return (
            *(attention, attention.qkv, attention.output, attention.norm),
            *(feed_forward, feed_forward.up, feed_forward.down, feed_forward.norm),
        )

    def weights(self) -> list[Tensor]:
        """Matrix or weight, and bias, of each part."""
        parts = (part for part in self._parts() if isinstance(part, _HOLDERS))
        return [weight for part in parts for weight in (part.weight, part.bias)]

    @property
    def shape(self) -> Layer:
        """What it is beside its weights."""
        attention, feed_forward = self.attention, self.feed_forward
        assert feed_forward.gelu is not None
        return Layer(
            attention.heads,
            attention.attention_dropout,
            (attention.dropout.p, feed_forward.dropout.p),
            attention.norm.eps,
            feed_forward.gelu,
        )


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
        if not (keep_all or self.checkpointing) and self._learns_here(hidden, layout):
            layers = cast(Sequence[EncoderLayer], self.layers)
            weights = [weight for layer in layers for weight in layer.weights()]
            shapes = [layer.shape for layer in layers]
            return run_layers(hidden, layout, shapes, weights), [], []
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

    def _learns_here(self, hidden: Tensor, layout: AttentionLayout) -> bool:
        """Whether ``training/layers.py`` serves this batch in all layers."""
        return all(
            type(layer) is EncoderLayer
            and not any(getattr(layer, name) for name in _HOOKS)
            and layer.learns_here(hidden, layout)
            for layer in self.layers
        )
