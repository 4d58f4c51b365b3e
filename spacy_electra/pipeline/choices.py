"""A question with choices about a Doc, as its extension attributes.

- ``doc._.choices``: a list of any number of strings.
- ``doc._.question``: what is asked, "" where the choices say it all.
- ``doc._.choice``: the number of the right or best choice, from 0; None where there is
  none.
- ``doc._.choice_scores``: the probability of each choice; they add up to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spacy.tokens import Doc

from ..errors import Errors
from .attributes import list_of_strings, register, store, stored, stored_list


def register_choices() -> None:
    """Add the extension attributes to ``Doc``, those that are not there yet."""
    register(_ATTRIBUTES)


def choices_of(doc: Doc) -> list[str]:
    """The choices of a Doc; none where nobody set any."""
    return stored_list(doc, "choices")


def texts_of_choices(doc: Doc) -> list[str]:
    """Each choice with the question before it, as it is read beside the Doc."""
    question = stored(doc, "question", "")
    before = f"{question} " if question else ""
    return [before + choice for choice in choices_of(doc)]


def gold_choice(doc: Doc) -> int | None:
    """The number of the right choice; None where nobody said.

    Raises:
        ValueError: If there is no choice of that number.
    """
    choice = stored(doc, "choice", None)
    if choice is None:
        return None
    count = len(choices_of(doc))
    if isinstance(choice, bool) or not isinstance(choice, int):
        raise ValueError(Errors.SE379(choice=choice, count=count))
    if not 0 <= choice < count:
        raise ValueError(Errors.SE379(choice=choice, count=count))
    return choice


def set_choice(doc: Doc, choice: int | None, scores: Sequence[float]) -> None:
    """Set what a component found."""
    store(doc, "choice", choice)
    store(doc, "choice_scores", list(scores))


def _set_choices(doc: Doc, choices: Sequence[str]) -> None:
    store(doc, "choices", list_of_strings("choices", choices))


def _get_scores(doc: Doc) -> list[float]:
    return stored_list(doc, "choice_scores")


# Functions, no lambdas: a process that is spawned gets them by pickle.
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "choices": {"getter": choices_of, "setter": _set_choices},
    "question": {"default": ""},
    "choice": {"default": None},
    "choice_scores": {"getter": _get_scores},
}
