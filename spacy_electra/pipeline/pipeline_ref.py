"""How a component knows the pipeline that it is in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from weakref import ref

from spacy.language import Language


class PipelineRef:
    """A weak reference to a pipeline, which does not go to other processes."""

    def __init__(self, nlp: Language | None = None) -> None:
        self._ref: Callable[[], Language | None] = lambda: None
        self.follow(nlp)

    def __call__(self) -> Language | None:
        """The pipeline, if it is still there."""
        return self._ref()

    def follow(self, nlp: Language | None) -> None:
        """Refer to another pipeline from now on, where there is one."""
        if nlp is not None:
            self._ref = ref(nlp)

    def __reduce__(self) -> Any:
        return PipelineRef, ()


def linking_pipeline() -> Language | None:
    """The pipeline on whose behalf ``find_listeners`` was called, if there is one.

    A component that came from another pipeline (``source``) knows only that one, and
    spaCy tells it of the new one nowhere.
    """
    frame = sys._getframe(2)
    owner = frame.f_locals.get("self")
    return owner if isinstance(owner, Language) else None
