"""What a command was given: texts, or the name of a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import BytesIO
from itertools import chain
from pathlib import Path

from ..errors import Errors
from ..pretraining.corpus.compression import format_of
from ..pretraining.corpus.documents import read_documents
from ..pretraining.corpus.formats import FORMATS, documents_of_text, fail

_STDIN = "-"
_LONGEST_NAME = 255


def calibration_texts(path: str | None) -> Iterable[str] | None:
    """The documents that an option names, if it was given."""
    return read_documents(path) if path else None


def given_documents(text: str) -> tuple[list[str], str]:
    """The documents that an argument means, and the name of their file.

    Args:
        text: A file, "-" for standard input, or the text itself.

    Raises:
        FileNotFoundError: If it looks like the name of a file that is not there.
        ValueError: If it has no word, or the file is no text.
    """
    if text == _STDIN:
        stream = BytesIO(sys.stdin.buffer.read())
        return _checked(documents_of_text(stream, Path("stdin"), fail), text), ""
    file = Path(text)
    if 0 < len(text) <= _LONGEST_NAME and file.exists():
        if file.is_dir() or format_of(file) in FORMATS:
            return _checked(read_documents(file), text), file.name
        with file.open("rb") as opened:
            return _checked(documents_of_text(opened, file, fail), text), file.name
    if _looks_like_a_file(text):
        raise FileNotFoundError(Errors.SE542(path=text))
    return _checked([text], text), ""


def _checked(documents: Iterable[str], where: str) -> list[str]:
    """The documents, at least one of which has a word."""
    texts = list(documents)
    if not any(map(str.isalnum, chain.from_iterable(texts))):
        raise ValueError(Errors.SE532(text=repr(where)))
    return texts


def _looks_like_a_file(text: str) -> bool:
    return not any(map(str.isspace, text.strip())) and bool(Path(text).suffix)
