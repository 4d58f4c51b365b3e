"""ELECTRA in PyTorch: configuration, packed batches, encoder and heads."""

from .config import ElectraConfig
from .electra import ElectraModel
from .heads.causal_lm import ElectraForCausalLM
from .heads.masked_lm import ElectraForMaskedLM
from .heads.multiple_choice import ElectraForMultipleChoice
from .heads.question_answering import ElectraForQuestionAnswering
from .heads.replaced_token import ElectraForPreTraining
from .heads.sequence_classification import ElectraForSequenceClassification
from .heads.token_classification import ElectraForTokenClassification
from .packing import PackedBatch, split_by_tokens

__all__ = [
    "ElectraConfig",
    "ElectraForCausalLM",
    "ElectraForMaskedLM",
    "ElectraForMultipleChoice",
    "ElectraForPreTraining",
    "ElectraForQuestionAnswering",
    "ElectraForSequenceClassification",
    "ElectraForTokenClassification",
    "ElectraModel",
    "PackedBatch",
    "split_by_tokens",
]
