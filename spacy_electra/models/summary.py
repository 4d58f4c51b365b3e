"""One vector for a sequence, by what the config's ``summary_*`` say."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import Errors
from .activations import ACTIVATIONS
from .config import ElectraConfig
from .dropout import Dropout

SUMMARY_TYPES = ("first", "last", "mean", "cls_index")


class SequenceSummary(nn.Module):
    """Pick a state of each sequence, or their mean; then a projection, if any.

    Padding takes no part: the last piece is the last one that is no padding, and the
    mean leaves padding out. In Transformers it takes part, so that there the summaries
    "last", "mean" and "cls_index" depend on how long the other sequences are.

    Options without a field of their own are in the config's ``extra``:
    ``summary_proj_to_labels`` and ``summary_first_dropout``.

    Args:
        config: Its options.

    Raises:
        ValueError: If the config asks for something that there is not.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        if config.summary_type not in SUMMARY_TYPES:
            choices = ", ".join(SUMMARY_TYPES)
            raise ValueError(Errors.SE019(value=config.summary_type, choices=choices))
        activation = config.summary_activation or "linear"
        if activation not in ACTIVATIONS:
            name, choices = "summary_activation", ", ".join(ACTIVATIONS)
            raise ValueError(Errors.SE002(name=name, value=activation, choices=choices))
        self.kind = config.summary_type
        self.width = config.hidden_size
        self.projection: nn.Module = nn.Identity()
        if config.summary_use_proj:
            if config.extra.get("summary_proj_to_labels") and config.labels:
                self.width = len(config.labels)
            self.projection = nn.Linear(config.hidden_size, self.width)
        self.activation = ACTIVATIONS[activation]
        self.first_dropout = Dropout(config.extra.get("summary_first_dropout") or 0.0)
        self.last_dropout = Dropout(config.summary_last_dropout)

    def forward(self, picked: Tensor) -> Tensor:
        """What follows the choice of a state, float [..., H] -> [..., width]."""
        projected = self.activation(self.projection(self.first_dropout(picked)))
        return self.last_dropout(projected)

    def pick(
        self,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        cls_index: Tensor | None = None,
    ) -> Tensor:
        """Of a padded batch.

        Args:
            hidden: float [B, S, H].
            attention_mask: 1 for a piece, 0 for padding, [B, S].
            cls_index: Which piece, int64 [B]; the last one by default. Only
                "cls_index" looks at it.

        Returns:
            float [B, H]; zero for a sequence without pieces, but for "first".
        """
        if self.kind == "first":
            return hidden[:, 0]
        if attention_mask is None or attention_mask.dim() != 2:
            attention_mask = hidden.new_ones(hidden.shape[:2])
        is_real = attention_mask.bool()
        if self.kind == "mean":
            total = (hidden * is_real[..., None]).sum(1)
            return total / is_real.sum(1, keepdim=True).clamp(min=1)
        places = torch.arange(hidden.shape[1], device=hidden.device)
        index = (places * is_real).amax(1)
        if self.kind == "cls_index" and cls_index is not None:
            index = cls_index
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        return hidden[rows, index]

    def pick_packed(self, hidden: Tensor, lengths: Sequence[int]) -> Tensor:
        """Of a packed batch, float [T, H], whose sequences have some pieces: [B, H]."""
        counts = torch.tensor(lengths, device=hidden.device)
        ends = counts.cumsum(0)
        if self.kind == "first":
            return hidden[ends - counts]
        if self.kind != "mean":
            return hidden[ends - 1]
        sequences = torch.arange(len(counts), device=hidden.device)
        total = hidden.new_zeros(len(counts), hidden.shape[1])
        total = total.index_add(0, sequences.repeat_interleave(counts), hidden)
        return total / counts[:, None]
