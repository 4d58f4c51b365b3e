"""What a tokenizer is called with: a text, a pair, or a list of either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Errors

Text = str | Sequence[str]


@dataclass(frozen=True)
class Inputs:
    """Texts to tokenize.

    Args:
        first: The only, or first, text of each row.
        second: The second text of each row, None where there is none.
        is_one: Whether a single text was given rather than a list.
    """

    first: list[Text]
    second: list[Text] | None
    is_one: bool


def read_inputs(text: Any, text_pair: Any, is_split: bool) -> Inputs:
    """Sort out what was given.

    Args:
        text: A text, or a list of texts or of pairs of them.
        text_pair: None, or the second of each.
        is_split: Whether a text is a list of words.

    Raises:
        ValueError: If it is neither, or there are more of one than of the other.
    """
    if _is_text(text, is_split):
        if text_pair is not None and not _is_text(text_pair, is_split):
            raise _unfit(text_pair, is_split)
        return Inputs([text], None if text_pair is None else [text_pair], is_one=True)
    if not isinstance(text, (list, tuple)):
        raise _unfit(text, is_split)
    rows = list(text)
    if text_pair is not None:
        if not isinstance(text_pair, (list, tuple)) or len(text_pair) != len(rows):
            found = len(text_pair) if isinstance(text_pair, (list, tuple)) else 1
            raise ValueError(Errors.SE145(first=len(rows), second=found))
        return _checked(rows, list(text_pair), is_split)
    if rows and all(_is_pair(row, is_split) for row in rows):
        return _checked([row[0] for row in rows], [row[1] for row in rows], is_split)
    return _checked(rows, None, is_split)


def _checked(first: list[Any], second: list[Any] | None, is_split: bool) -> Inputs:
    for text in [*first, *(second or ())]:
        if not _is_text(text, is_split):
            raise _unfit(text, is_split)
    return Inputs(first, second, is_one=False)


def _is_text(value: Any, is_split: bool) -> bool:
    if not is_split:
        return isinstance(value, str)
    return isinstance(value, (list, tuple)) and all(isinstance(w, str) for w in value)


def _is_pair(value: Any, is_split: bool) -> bool:
    is_list = isinstance(value, (list, tuple)) and len(value) == 2
    return is_list and all(_is_text(part, is_split) for part in value)


def _unfit(value: Any, is_split: bool) -> ValueError:
    wanted = "a list of words" if is_split else "a string"
    return ValueError(
        Errors.SE137(wanted=wanted, kind=type(value).__name__, value=repr(value)[:60])
    )
