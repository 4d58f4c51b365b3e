"""ELECTRA in PyTorch: configuration, packed batches, encoder and heads."""

from .config import ElectraConfig
from .electra import ElectraModel
from .heads.masked_lm import ElectraForMaskedLM
from .heads.replaced_token import ElectraForPreTraining
from .packing import PackedBatch, split_by_tokens

__all__ = [
    "ElectraConfig",
    "ElectraForMaskedLM",
    "ElectraForPreTraining",
    "ElectraModel",
    "PackedBatch",
    "split_by_tokens",
]
