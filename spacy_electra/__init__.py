"""ELECTRA for spaCy.

spaCy finds components and architectures through entry points, so nothing needs to be
imported first. The models and tokenizer are here by name; torch loads when one of them
is first used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

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
    "ElectraTokenizer",
    "__version__",
    "token_vectors",
]

# Editors and type checkers see the names themselves, not what makes them on demand.
if TYPE_CHECKING:
    from .models import (
        ElectraConfig,
        ElectraForCausalLM,
        ElectraForMaskedLM,
        ElectraForMultipleChoice,
        ElectraForPreTraining,
        ElectraForQuestionAnswering,
        ElectraForSequenceClassification,
        ElectraForTokenClassification,
        ElectraModel,
    )
    from .pipeline.token_vectors import token_vectors
    from .tokenization import ElectraTokenizer

    __version__: str
else:
    _HOMES = {
        "ElectraTokenizer": "tokenization",
        "token_vectors": "pipeline.token_vectors",
    }

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "__version__":
            value = _version()
        else:
            home = _HOMES.get(name, "models")
            value = getattr(import_module(f"{__name__}.{home}"), name)
        # The next time it is found without this function.
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    try:
        return version("spacy-electra")
    except PackageNotFoundError as error:
        # A folder of sources on the path, which nobody installed.
        raise AttributeError("__version__") from error
