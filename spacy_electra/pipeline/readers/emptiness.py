"""What a corpus does that has no example: an error in training, a warning elsewhere."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from spacy.language import Language
from spacy.training import Example

from ...errors import Errors, Warnings

Corpus = Callable[[Language], Iterator[Example]]


def never_silently_empty(path: str | os.PathLike[str], read: Corpus) -> Corpus:
    """A corpus that says so where it has no example.

    Training without an epoch's end (``max_epochs = -1``) would ask for the next
    example forever.

    Args:
        path: Where the examples come from, as the config has it.
        read: Gives them.

    Raises:
        ValueError: If it has none and is the corpus that the pipeline trains on.
    """

    def read_and_count(nlp: Language) -> Iterator[Example]:
        example = None
        for example in read(nlp):
            yield example
        if example is None:
            if _is_trained_on(nlp, path):
                raise ValueError(Errors.SE458(path=path))
            warnings.warn(Warnings.SW458(path=path), stacklevel=2)

    return read_and_count


def _is_trained_on(nlp: Language, path: str | os.PathLike[str]) -> bool:
    """Whether the config of a pipeline names the path as that of its training data."""
    config: Any = nlp.config.interpolate()
    name = config.get("training", {}).get("train_corpus") or ""
    for part in name.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    own = config.get("path") if isinstance(config, dict) else None
    return own is not None and os.fspath(own) == os.fspath(path)
