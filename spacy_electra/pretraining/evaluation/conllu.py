"""Words and tags of a treebank, out of its CoNLL-U files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import Errors

_COLUMNS = 10
_FORM, _UPOS, _MISC = 1, 3, 9
_NO_SPACE = "SpaceAfter=No"


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence and its universal parts of speech.

    Args:
        text: As it was written.
        starts: First character of each word.
        tags: Of each word.
    """

    text: str
    starts: list[int]
    tags: list[str]


def read_conllu(path: str | os.PathLike[str]) -> Iterator[TaggedSentence]:
    """Read the sentences of a CoNLL-U file.

    Words are its syntactic words but for those inside a contraction, whose tag would
    have no text of its own: such a contraction bears the tag of its first word. Empty
    nodes are left out.

    Raises:
        ValueError: If the file is not UTF-8, a line is no row of ten columns and no
            comment, or the numbers of words make no sense.
    """
    rows: list[list[str]] = []
    try:
        lines = Path(path).read_text(encoding="utf8").split("\n")
    except UnicodeDecodeError as error:
        place = error.object[: error.start].count(b"\n") + 1
        raise ValueError(Errors.SE402(file=path, line=place, error=error)) from error
    for number, line in enumerate([*lines, ""], start=1):
        if line.startswith("#"):
            continue
        if line.strip():
            row = line.split("\t")
            if len(row) != _COLUMNS:
                raise ValueError(Errors.SE428(file=path, line=number, found=len(row)))
            rows.append(row)
        elif rows:
            try:
                sentence = _sentence(rows)
            except (ValueError, LookupError) as error:
                raise ValueError(
                    Errors.SE454(file=path, line=number - 1, error=error)
                ) from error
            yield sentence
            rows = []


def _sentence(rows: list[list[str]]) -> TaggedSentence:
    text = ""
    starts: list[int] = []
    tags: list[str] = []
    last_inside = 0
    for row in rows:
        number = row[0]
        if "." in number:
            continue
        if "-" in number:
            first, last = map(int, number.split("-"))
            tags.append({r[0]: r[_UPOS] for r in rows}[str(first)])
            last_inside = last
        elif int(number) <= last_inside:
            continue
        else:
            tags.append(row[_UPOS])
        starts.append(len(text))
        text += row[_FORM] + ("" if _NO_SPACE in row[_MISC] else " ")
    return TaggedSentence(text.rstrip(), starts, tags)
