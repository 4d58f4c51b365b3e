"""Lists of misspellings that people make, as codespell's and Wikipedia's are."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ..errors import Errors

ARROW = "->"


def read_misspellings(file: str | Path) -> dict[str, list[str]]:
    """Misspellings by the word that was meant.

    Args:
        file: One misspelling a line, an arrow, and what may have been meant, a comma
            between: ``recieve->receive``. What has a blank in it is no word and left
            out, and so is what is a word of another entry.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not UTF-8 text, or no line has such an arrow.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(Errors.SE459(path=file))
    meant: dict[str, list[str]] = {}
    for line, raw in enumerate(file.read_bytes().splitlines(), 1):
        try:
            wrong, arrow, right = raw.decode("utf8").partition(ARROW)
        except UnicodeDecodeError as error:
            raise ValueError(Errors.SE402(file=file, line=line, error=error)) from error
        words = [word for word in map(str.strip, right.split(",")) if word.isalpha()]
        if arrow and words and wrong.strip().isalpha():
            meant[wrong.strip()] = words
    if not meant:
        raise ValueError(Errors.SE460(path=file))
    found = defaultdict(list)
    for wrong, words in meant.items():
        for word in words:
            if word not in meant:
                found[word].append(wrong)
    return dict(found)
