"""Questions about a Doc and their answers, as its extension attributes.

- ``doc._.questions``: a list of strings.
- ``doc._.answers``: for each question the best answer, or None where there is none.
  As gold it may be set to a Span, to None, or to a list of Spans that are all right.
- ``doc._.answer_candidates``: for each question the best few answers, best first.
- ``doc._.no_answer_scores``: for each question by how much "there is no answer"
  exceeds its best answer.

An answer is an ``Answer``: the Span of all tokens that it touches, with its ``score``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spacy.tokens import Doc, Span

from ..errors import Errors
from .attributes import (
    is_stored,
    list_of_strings,
    register,
    store,
    stored,
    stored_list,
)

# First character, the one after the last, and a score.
Characters = tuple[int, int, float]
# Of each question all its answers, best first.
AnswerData = Sequence[Sequence[Characters]]


class Answer(Span):
    """A Span of whole tokens that holds an answer, and the answer's score.

    Attributes:
        score: Probability, 0 to 1; 1 of a gold answer.
        exact_text: The characters of the answer alone. It is shorter than ``text``
            where the answer begins or ends inside of a token.
    """

    score: float
    exact_text: str

    def __new__(cls, doc: Doc, start: int, end: int, *args: Any) -> Answer:
        """Tokens of a Doc; ``answer_at`` is the way to make one."""
        return Span.__new__(cls, doc, start, end)  # type: ignore[call-arg]

    def __init__(
        self, doc: Doc, start: int, end: int, score: float, exact_text: str
    ) -> None:
        self.score = score
        self.exact_text = exact_text


def answer_at(doc: Doc, start: int, end: int, score: float = 1.0) -> Answer:
    """The answer of some characters of a Doc, as the tokens that they touch.

    Args:
        doc: Has them.
        start: First character.
        end: The one after the last.
        score: Probability of the answer.

    Raises:
        ValueError: If the Doc has no such characters.
    """
    span = doc.char_span(start, end, alignment_mode="expand") if start < end else None
    if span is None or start < 0:
        length = len(doc.text)
        raise ValueError(Errors.SE370(start=start, end=end, length=length))
    first = span.start_char
    exact = span.text[start - first : end - first]
    return Answer(doc, span.start, span.end, score, exact)


def register_questions() -> None:
    """Add the extension attributes to ``Doc``, those that are not there yet."""
    register(_ATTRIBUTES)


def questions_of(doc: Doc) -> list[str]:
    """The questions about a Doc; none where nobody set any."""
    return stored_list(doc, "questions")


def has_gold_answers(doc: Doc) -> bool:
    """Whether anybody said what the answers are, or that there are none."""
    return is_stored(doc, "answers")


def gold_answers(doc: Doc) -> list[list[Characters]]:
    """Of each question about a Doc, all answers that are right; none for "no answer".

    Raises:
        ValueError: If the answers are more or fewer than the questions, or lie outside
            of the text.
    """
    questions, found = questions_of(doc), stored(doc, "answers")
    if len(questions) != len(found):
        raise ValueError(Errors.SE371(answers=len(found), questions=len(questions)))
    answers = [[(int(s), int(e), float(p)) for s, e, p in row] for row in found]
    length = len(doc.text)
    for start, end, _ in (answer for row in answers for answer in row):
        if not 0 <= start < end <= length:
            raise ValueError(Errors.SE370(start=start, end=end, length=length))
    return answers


def set_gold_answers(doc: Doc, answers: AnswerData) -> None:
    """Say what the answers are, all that are right to each question."""
    store(doc, "answers", [list(map(list, row)) for row in answers])


def set_predictions(
    doc: Doc, answers: AnswerData, candidates: AnswerData, no_answer: Sequence[float]
) -> None:
    """Set what a component found, all of it at once."""
    store(doc, "answers", [list(map(list, row)) for row in answers])
    store(doc, "answer_candidates", [list(map(list, row)) for row in candidates])
    store(doc, "no_answer_scores", list(no_answer))


def _set_questions(doc: Doc, questions: Sequence[str]) -> None:
    store(doc, "questions", list_of_strings("questions", questions))


def _get_candidates(doc: Doc) -> list[list[Answer]]:
    found = stored(doc, "answer_candidates")
    return [[answer_at(doc, *row) for row in rows] for rows in found]


def _get_answers(doc: Doc) -> list[Answer | None]:
    found = stored(doc, "answers")
    return [answer_at(doc, *rows[0]) if rows else None for rows in found]


def _get_no_answer_scores(doc: Doc) -> list[float]:
    return stored_list(doc, "no_answer_scores")


def _set_answers(doc: Doc, answers: Iterable[Span | Sequence[Span] | None]) -> None:
    store(doc, "answers", [_gold_row(doc, answer) for answer in answers])


def _gold_row(doc: Doc, answer: Span | Sequence[Span] | None) -> list[list[float]]:
    """All right answers to one question, as they are kept."""
    # A Span is a sequence too, of tokens.
    spans = [answer] if isinstance(answer, Span) else answer or []
    if not isinstance(spans, list | tuple) or not all(
        isinstance(span, Span) and span.doc is doc and len(span) for span in spans
    ):
        raise ValueError(Errors.SE373(value=answer))
    return [[span.start_char, span.end_char, 1.0] for span in spans]


# Functions, no lambdas: a process that is spawned gets them by pickle.
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "questions": {"getter": questions_of, "setter": _set_questions},
    "answers": {"getter": _get_answers, "setter": _set_answers},
    "answer_candidates": {"getter": _get_candidates},
    "no_answer_scores": {"getter": _get_no_answer_scores},
}
