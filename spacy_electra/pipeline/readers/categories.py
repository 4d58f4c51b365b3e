"""Texts and pairs with categories, from JSON lines: `spacy-electra.CatsCorpus.v1`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

from ...errors import Errors
from ..attributes import register
from .emptiness import never_silently_empty
from .files import Place, check_counts, files_at, member, parse_json, read_lines

PAIR = "text_pair"


@registry.readers("spacy-electra.CatsCorpus.v1")
def CatsCorpus(path: Path, limit: int = 0) -> Callable[[Language], Iterator[Example]]:
    """Texts with categories of .jsonl files, alone or in pairs.

    Each line is an object with a "text", "cats" (a number for each label), and, where
    the text is the first of a pair, "text_pair". Both Docs of an example have the
    second text as ``doc._.text_pair``; the reference has the categories.

    Args:
        path: A .jsonl file, a folder of them, or a pattern; they may be compressed
            (.gz, .xz, .zst).
        limit: Most examples to read; 0 for all.

    Returns:
        A function from the pipeline to its examples, read anew at each call.

    Raises:
        ValueError: If the limit is negative.
    """
    check_counts(limit=limit)
    register({PAIR: {"default": None}})

    def read(nlp: Language) -> Iterator[Example]:
        records = (row for file in files_at(path, ".jsonl") for row in _rows(file))
        for text, second, cats in islice(records, limit or None):
            predicted = nlp.make_doc(text)
            if second is not None:
                predicted._.text_pair = second
            reference = predicted.copy()
            reference.cats = cats
            yield Example(predicted, reference)

    return never_silently_empty(path, read)


def _rows(file: Path) -> Iterator[tuple[str, str | None, dict[str, float]]]:
    for line, text in read_lines(file):
        record: Any = parse_json(text, file, line)
        place = Place(f"{file}, line {line}")
        cats = member(record, "cats", dict, place)
        for label, value in cats.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(
                    Errors.SE376(
                        place=place.member("cats").member(label),
                        requirement="a number",
                        value=value,
                    )
                )
        second = None
        if isinstance(record, dict) and record.get(PAIR) is not None:
            second = member(record, PAIR, str, place)
        values = {label: float(value) for label, value in cats.items()}
        yield member(record, "text", str, place), second, values
