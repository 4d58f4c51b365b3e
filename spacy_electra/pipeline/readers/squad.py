"""SQuAD's JSON as a corpus of `spacy train`: `spacy-electra.SQuADCorpus.v1`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.training import Example
from spacy.util import registry

from ...errors import Errors, Warnings
from ..questions import Characters, register_questions, set_gold_answers
from .emptiness import never_silently_empty
from .files import (
    Place,
    check_counts,
    files_at,
    items,
    member,
    parse_json,
    read_text,
)

ON_NOT_FOUND = ("error", "skip")


@dataclass(frozen=True)
class _Question:
    text: str
    answers: list[Characters]


@registry.readers("spacy-electra.SQuADCorpus.v1")
def SQuADCorpus(
    path: Path,
    questions_per_doc: int = 0,
    not_found: str = "error",
    limit: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Contexts with questions and answers of files in the form of SQuAD 1.1 or 2.0.

    Both Docs of an example have the context as text and the questions as
    ``doc._.questions``; the reference has the answers as ``doc._.answers``. A question
    with an empty list of answers has no answer, and so has one that is_impossible
    (its plausible_answers are not read).

    Args:
        path: A .json file, or a folder of them; they may be compressed (.gz, .xz,
            .zst).
        questions_per_doc: Most questions of an example; a context that has more comes
            in several. 0 for no limit. For training take 1, so that a batch has
            questions about different contexts.
        not_found: What to do where an answer is not in its context at the place that
            the file names: "error", or "skip", which leaves out such answers, and
            the questions that have no others, and warns at the end.
        limit: Most examples to read; 0 for all.

    Returns:
        A function from the pipeline to its examples, read anew at each call.

    Raises:
        ValueError: If an argument can't be; the message names it.
    """
    check_counts(questions_per_doc=questions_per_doc, limit=limit)
    if not_found not in ON_NOT_FOUND:
        choices = ", ".join(ON_NOT_FOUND)
        raise ValueError(
            Errors.SE002(name="not_found", value=not_found, choices=choices)
        )
    register_questions()

    def read(nlp: Language) -> Iterator[Example]:
        return islice(_examples(nlp), limit or None)

    def _examples(nlp: Language) -> Iterator[Example]:
        for file in files_at(path, ".json"):
            skipped: list[Place] = []
            for context, questions in _contexts(file, skipped, not_found == "skip"):
                size = questions_per_doc or len(questions)
                doc = nlp.make_doc(context)
                for start in range(0, len(questions), size):
                    part = questions[start : start + size]
                    predicted, reference = doc.copy(), doc.copy()
                    predicted._.questions = [question.text for question in part]
                    reference._.questions = [question.text for question in part]
                    set_gold_answers(reference, [each.answers for each in part])
                    yield Example(predicted, reference)
            if skipped:
                message = Warnings.SW370(
                    count=len(skipped), file=file, first=skipped[0]
                )
                warnings.warn(message, stacklevel=2)

    return never_silently_empty(path, read)


def _contexts(
    file: Path, skipped: list[Place], skip: bool
) -> Iterator[tuple[str, list[_Question]]]:
    """Each context of a file that has questions, with these.

    Args:
        file: In the form of SQuAD.
        skipped: Gets the places of answers that are not found.
        skip: Whether that is no error.
    """
    whole = parse_json(read_text(file), file)
    for article, article_place in items(whole, "data", Place(file), dict):
        for paragraph, place in items(article, "paragraphs", article_place, dict):
            context = member(paragraph, "context", str, place)
            found = [
                _question(record, context, where, skipped, skip)
                for record, where in items(paragraph, "qas", place, dict)
            ]
            questions = [question for question in found if question is not None]
            if questions:
                yield context, questions


def _question(
    record: dict[str, Any],
    context: str,
    place: Place,
    skipped: list[Place],
    skip: bool,
) -> _Question | None:
    """A question; None where it has answers, but none is found."""
    text = member(record, "question", str, place)
    if record.get("is_impossible"):
        return _Question(text, [])
    answers: list[Characters] = []
    records = list(items(record, "answers", place, dict))
    for answer, where in records:
        said = member(answer, "text", str, where)
        start = member(answer, "answer_start", int, where)
        end = start + len(said)
        if said and start >= 0 and context[start:end] == said:
            answers.append((start, end, 1.0))
        elif skip:
            skipped.append(where)
        else:
            found = context[max(start, 0) : max(end, 0)]
            raise ValueError(
                Errors.SE377(place=where, text=said, start=start, found=found)
            )
    return None if records and not answers else _Question(text, answers)
