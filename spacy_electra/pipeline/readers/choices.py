"""Texts with choices as corpora of `spacy train`: MCTest's form, and lines of JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

from ...errors import Errors
from ..choices import register_choices
from .emptiness import never_silently_empty
from .files import Place, check_counts, files_at, items, member, parse_json, read_lines

_LETTERS = ("A", "B", "C", "D")
# Id, properties and story, and of each of four questions its text and four answers.
_COLUMNS, _FIRST, _PER_QUESTION = 23, 3, 5
# How the author of a question marked how many sentences its answer needs.
_MARKS = ("one: ", "multiple: ")


@dataclass(frozen=True)
class _Question:
    text: str
    question: str
    choices: list[str]
    choice: int


@registry.readers("spacy-electra.MCTestCorpus.v1")
def MCTestCorpus(path: Path, limit: int = 0) -> Callable[[Language], Iterator[Example]]:
    """Stories with questions of files in the form of MCTest.

    Each question is an example: both Docs have the story as text, the question as
    ``doc._.question`` and its four answers as ``doc._.choices``; the reference has the
    right one as ``doc._.choice``.

    Args:
        path: A .tsv file with its answers beside it in an .ans file of the same name, a
            folder of such files, or a pattern ("mctest/*.train.tsv").
        limit: Most examples to read; 0 for all.

    Returns:
        A function from the pipeline to its examples, read anew at each call.

    Raises:
        ValueError: If the limit is negative.
    """
    return _corpus(path, ".tsv", _questions_of_mctest, limit)


@registry.readers("spacy-electra.ChoiceCorpus.v1")
def ChoiceCorpus(path: Path, limit: int = 0) -> Callable[[Language], Iterator[Example]]:
    """Texts with choices of .jsonl files.

    Each line is an object with a "text", "choices" (a list of any number of strings),
    "choice" (the number of the right one, from 0) and, where one is asked, a
    "question". They go where ``MCTestCorpus`` puts them.

    Args:
        path: A .jsonl file, a folder of them, or a pattern; they may be compressed
            (.gz, .xz, .zst).
        limit: Most examples to read; 0 for all.

    Returns:
        A function from the pipeline to its examples, read anew at each call.

    Raises:
        ValueError: If the limit is negative.
    """
    return _corpus(path, ".jsonl", _questions_of_jsonl, limit)


def _corpus(
    path: Path,
    ending: str,
    questions_of: Callable[[Path], Iterable[_Question]],
    limit: int,
) -> Callable[[Language], Iterator[Example]]:
    check_counts(limit=limit)
    register_choices()

    def read(nlp: Language) -> Iterator[Example]:
        questions = (
            each for file in files_at(path, ending) for each in questions_of(file)
        )
        for question in islice(questions, limit or None):
            predicted = nlp.make_doc(question.text)
            predicted._.choices = question.choices
            predicted._.question = question.question
            reference = predicted.copy()
            reference._.choice = question.choice
            yield Example(predicted, reference)

    return never_silently_empty(path, read)


def _questions_of_mctest(file: Path) -> Iterator[_Question]:
    answers = file.with_suffix(".ans")
    if not answers.is_file():
        raise FileNotFoundError(Errors.SE381(file=answers, stories=file))
    stories = [_columns(file, *line, _COLUMNS) for line in read_lines(file)]
    letters = [_columns(answers, *line, len(_LETTERS)) for line in read_lines(answers)]
    if len(stories) != len(letters):
        one_each = f"of {len(stories)} lines, one per story of {file}"
        raise ValueError(
            Errors.SE376(place=answers, requirement=one_each, value=len(letters))
        )
    for (_, story), (line, row) in zip(stories, letters, strict=True):
        text = story[2].replace("\\newline", "\n").replace("\\tab", "\t")
        for letter, start in zip(
            row, range(_FIRST, _COLUMNS, _PER_QUESTION), strict=True
        ):
            question, *choices = story[start : start + _PER_QUESTION]
            for mark in _MARKS:
                question = question.removeprefix(mark)
            if letter not in _LETTERS:
                raise ValueError(
                    Errors.SE376(
                        place=Place(f"{answers}, line {line}"),
                        requirement=f"one of {', '.join(_LETTERS)}",
                        value=letter,
                    )
                )
            yield _Question(text, question, choices, _LETTERS.index(letter))


def _columns(file: Path, line: int, text: str, count: int) -> tuple[int, list[str]]:
    """The columns of a line, with its number."""
    columns = text.split("\t")
    if len(columns) != count:
        raise ValueError(
            Errors.SE378(file=file, line=line, found=len(columns), expected=count)
        )
    return line, columns


def _questions_of_jsonl(file: Path) -> Iterator[_Question]:
    for line, text in read_lines(file):
        place = Place(f"{file}, line {line}")
        record = parse_json(text, file, line)
        choices = [choice for choice, _ in items(record, "choices", place, str)]
        if not choices:
            where, few = place.member("choices"), "a list with at least one string"
            raise ValueError(Errors.SE376(place=where, requirement=few, value="[]"))
        choice = member(record, "choice", int, place)
        if not 0 <= choice < len(choices):
            raise ValueError(
                Errors.SE376(
                    place=place.member("choice"),
                    requirement=f"from 0 to {len(choices) - 1}",
                    value=choice,
                )
            )
        yield _Question(
            text=member(record, "text", str, place),
            question=member(record, "question", str, place)
            if "question" in record
            else "",
            choices=choices,
            choice=choice,
        )
