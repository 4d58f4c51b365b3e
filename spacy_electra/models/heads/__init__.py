"""The heads: one file each, on top of the same encoder, and the one table of them."""

from .base import HeadModel
from .causal_lm import ElectraForCausalLM
from .masked_lm import ElectraForMaskedLM
from .multiple_choice import ElectraForMultipleChoice
from .question_answering import ElectraForQuestionAnswering
from .replaced_token import ElectraForPreTraining
from .sequence_classification import ElectraForSequenceClassification
from .token_classification import ElectraForTokenClassification

# By the name of the class, which is also Transformers' and stands in config.json.
HEADS: dict[str, type[HeadModel]] = {
    cls.__name__: cls
    for cls in (
        ElectraForPreTraining,
        ElectraForMaskedLM,
        ElectraForCausalLM,
        ElectraForSequenceClassification,
        ElectraForTokenClassification,
        ElectraForQuestionAnswering,
        ElectraForMultipleChoice,
    )
}

__all__ = ["HEADS", "HeadModel"]
