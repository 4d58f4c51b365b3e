"""Exact match and F1 of answers, by the definition of SQuAD."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.training import Example
from spacy.util import registry

from ..attributes import same_inputs
from ..questions import Answer, gold_answers, has_gold_answers

Scores = dict[str, Any]
Floats = NDArray[np.float64]
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
NAMES = (
    "qa_em",
    "qa_f1",
    "qa_has_answer_em",
    "qa_has_answer_f1",
    "qa_no_answer_acc",
    "qa_best_f1",
    "qa_best_threshold",
)


def normalized(answer: str) -> str:
    """An answer as SQuAD compares it.

    In lower case, without ASCII punctuation, then without the words "a", "an" and
    "the", with single blanks between what is left.
    """
    plain = answer.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact_match(answer: str, gold: str) -> float:
    """1 where two answers are equal once they are normalized, otherwise 0."""
    return float(normalized(answer) == normalized(gold))


def f1(answer: str, gold: str) -> float:
    """F1 of the words that two normalized answers share, each as often as it occurs.

    Where either has no words ("" is "there is no answer"), 1 if both have none.
    """
    words, gold_words = normalized(answer).split(), normalized(gold).split()
    if not words or not gold_words:
        return float(words == gold_words)
    shared = (Counter(words) & Counter(gold_words)).total()
    # 2 P R / (P + R) with P = shared / len(words), R = shared / len(gold_words).
    return 2 * shared / (len(words) + len(gold_words))


def best_over_gold(
    measure: Callable[[str, str], float], answer: str, gold: Sequence[str]
) -> float:
    """The highest score of an answer over all that are right.

    Args:
        measure: ``exact_match`` or ``f1``.
        answer: "" for "there is no answer".
        gold: None at all for "there is no answer". One that has no words once it is
            normalized does not count, as in SQuAD 2.0.
    """
    with_words = [text for text in gold if normalized(text)]
    return max(measure(answer, text) for text in with_words or [""])


@registry.scorers("spacy-electra.QAScorer.v1")
def make_qa_scorer() -> Callable[..., Scores]:
    """Exact match and F1 of ``doc._.answers``."""
    return score_answers


def score_answers(examples: Iterable[Example], **kwargs: Any) -> Scores:
    """Score the answers of predicted Docs against those of the references.

    The characters of an answer are compared (``exact_text``), not the whole tokens
    that its Span covers.

    Args:
        examples: Their predicted Docs have answers; those whose reference has none
            are left out.
        kwargs: Not used; scorers of one pipeline share their arguments.

    Returns:
        Over all questions ``qa_em`` and ``qa_f1``, each 0 to 1; over those that have
        an answer ``qa_has_answer_em`` and ``qa_has_answer_f1``; over the others
        ``qa_no_answer_acc``, the share that got none. ``qa_best_f1`` is the F1 over
        all questions with the best threshold for the no-answer score,
        ``qa_best_threshold``. None where there is no such question.

    Raises:
        ValueError: If the two Docs of an example differ in text or questions.
    """
    rows = [row for example in examples for row in _judged(example)]
    if not rows:
        return dict.fromkeys(NAMES)
    em, f1s, has_answer, margins, answered, silent = np.array(rows, dtype=float).T
    asked = has_answer.astype(bool)
    best, threshold = best_threshold(margins, answered, silent)
    means = map(_mean, (em, f1s, em[asked], f1s[asked], em[~asked]))
    return dict(zip(NAMES, (*means, best, threshold), strict=True))


def _judged(example: Example) -> Iterator[tuple[float, ...]]:
    """Of each question what ``score_answers`` makes its means of.

    Yields:
        Exact match, F1, whether there is an answer, the no-answer score, and the F1 of
        the best candidate and of no answer.
    """
    reference, predicted = example.reference, example.predicted
    if not has_gold_answers(reference):
        return
    same_inputs(example, ["questions"])
    text, rows = reference.text, gold_answers(reference)
    # On a Doc that no component has read there are none.
    answers = predicted._.answers or [None] * len(rows)
    candidates = predicted._.answer_candidates or [[]] * len(rows)
    margins = predicted._.no_answer_scores or [np.inf] * len(rows)
    for i, row in enumerate(rows):
        gold = [text[start:end] for start, end, _ in row]
        said = _text(answers[i])
        yield (
            best_over_gold(exact_match, said, gold),
            best_over_gold(f1, said, gold),
            any(map(normalized, gold)),
            margins[i],
            best_over_gold(f1, _text(next(iter(candidates[i]), None)), gold),
            best_over_gold(f1, "", gold),
        )


def best_threshold(
    margins: Floats, answered: Floats, silent: Floats
) -> tuple[float, float]:
    """The highest mean score that a threshold for the no-answer score can give.

    Args:
        margins: No-answer score of each question, [n], n > 0.
        answered: The score of its best answer.
        silent: The score of "there is no answer".

    Returns:
        The mean, and the least threshold that gives it: questions with a no-answer
        score above it get no answer.
    """
    order = np.argsort(margins, kind="stable")
    ordered = margins[order]
    gains = np.cumsum((answered - silent)[order])
    # Questions of one no-answer score are answered together.
    is_cut = np.append(ordered[1:] != ordered[:-1], True) & np.isfinite(ordered)
    if not is_cut.any():
        return float(silent.mean()), 0.0
    cut = int(np.where(is_cut, gains, -np.inf).argmax())
    if gains[cut] < 0:
        return float(silent.mean()), float(ordered[0]) - 1.0
    return float(silent.mean() + gains[cut] / len(margins)), float(ordered[cut])


def _text(answer: Answer | None) -> str:
    return "" if answer is None else answer.exact_text


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
