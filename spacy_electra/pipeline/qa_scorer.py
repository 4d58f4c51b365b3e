"""Exact match and F1 of answers, by the definition of SQuAD."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from spacy.training import Example
from spacy.util import registry

from ..errors import Errors
from .questions import gold_answers, has_gold_answers, questions_of

Scores = dict[str, Any]
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
NAMES = ("qa_em", "qa_f1", "qa_has_answer_em", "qa_has_answer_f1", "qa_no_answer_acc")


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
        ``qa_no_answer_acc``, the share that got none. None where there is no such
        question.

    Raises:
        ValueError: If the two Docs of an example have different questions.
    """
    em, f1s, has_answer = [], [], []
    for example in examples:
        reference, predicted = example.reference, example.predicted
        if not has_gold_answers(reference):
            continue
        if questions_of(predicted) != questions_of(reference):
            raise ValueError(Errors.SE374())
        text, rows = reference.text, gold_answers(reference)
        # Of a Doc that no component has read there are none.
        answers = predicted._.answers or [None] * len(rows)
        for answer, row in zip(answers, rows, strict=True):
            said = "" if answer is None else answer.exact_text
            gold = [text[start:end] for start, end, _ in row]
            em.append(best_over_gold(exact_match, said, gold))
            f1s.append(best_over_gold(f1, said, gold))
            has_answer.append(any(map(normalized, gold)))
    table = np.array([em, f1s], dtype=np.float64)
    asked = np.array(has_answer, dtype=bool)
    means = [*_means(table), *_means(table[:, asked]), _means(table[:, ~asked])[0]]
    return dict(zip(NAMES, means, strict=True))


def _means(table: np.ndarray) -> list[float | None]:
    return [float(row.mean()) if row.size else None for row in table]
