"""ELECTRA for spaCy.

spaCy finds components and architectures through entry points, so nothing needs to be
imported first. The models and tokenizer are here by name; torch loads when one of them
is first used.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "ElectraConfig": "models",
    "ElectraForCausalLM": "models",
    "ElectraForMaskedLM": "models",
    "ElectraForMultipleChoice": "models",
    "ElectraForPreTraining": "models",
    "ElectraForQuestionAnswering": "models",
    "ElectraForSequenceClassification": "models",
    "ElectraForTokenClassification": "models",
    "ElectraModel": "models",
    "ElectraTokenizer": "tokenization",
    "token_vectors": "pipeline.token_vectors",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
