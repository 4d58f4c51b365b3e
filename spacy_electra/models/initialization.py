"""The usual initial weights of BERT and ELECTRA."""

from __future__ import annotations

import torch
from torch import nn

from .config import ElectraConfig


def initialize_weights(module: nn.Module, config: ElectraConfig) -> None:
    """Draw initial weights: normal with ``initializer_range``, biases zero.

    The embedding of the padding piece is zero; layer norms start as the identity.

    Args:
        module: A network or a part of it, changed in place.
        config: Gives the standard deviation.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=config.initializer_range)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=config.initializer_range)
            if part.padding_idx is not None:
                with torch.no_grad():
                    part.weight[part.padding_idx].zero_()
