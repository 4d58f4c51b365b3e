"""How a component knows the pipeline that it is in."""

from __future__ import annotations

from typing import Any
from weakref import ref

from spacy.language import Language


class PipelineRef:
    """A weak reference to a pipeline, which does not go to other processes."""

    def __init__(self, nlp: Language | None = None) -> None:
        self._ref = (lambda: None) if nlp is None else ref(nlp)

    def __call__(self) -> Language | None:
        """The pipeline, if it is still there."""
        return self._ref()

    def __reduce__(self) -> Any:
        return PipelineRef, ()
