"""Gold labels of replaced words, and how well marks meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from ..metrics import Detection, detection

Scores = dict[str, Any]


def gold_labels(example: Example, spans_key: str) -> NDArray[np.bool_]:
    """Whether each token of ``example.predicted`` is marked in the reference.

    A token is, where any token of the reference that it overlaps lies in a span.

    Args:
        example: Its reference has the spans.
        spans_key: Where in ``reference.spans``.
    """
    reference = example.reference
    marked = np.zeros(len(reference), dtype=bool)
    for span in reference.spans.get(spans_key, ()):
        marked[span.start : span.end] = True
    to_reference = example.alignment.x2y
    lengths = np.asarray(to_reference.lengths)
    labels = np.zeros(len(example.predicted), dtype=bool)
    token = np.repeat(np.arange(len(lengths)), lengths)
    np.logical_or.at(labels, token, marked[np.asarray(to_reference.data).ravel()])
    return labels


def detection_scores(figures: Detection) -> Scores:
    """The figures under the names that spaCy shows and weighs."""
    return {
        "rtd_auc": figures.auc,
        "rtd_p": figures.precision,
        "rtd_r": figures.recall,
        "rtd_f": figures.f1,
        "rtd_f05": figures.f05,
        "rtd_base_rate": figures.base_rate,
    }


@registry.scorers("spacy-electra.RTDScorer.v1")
def make_rtd_scorer() -> Callable[..., Scores]:
    """Precision, recall, F1, F0.5 and AUC of marked words, counted by token."""
    return score_marks


def score_marks(
    examples: Iterable[Example],
    *,
    spans_key: str,
    threshold: float,
    score_of: Callable[[Doc], NDArray[np.float64]],
    **kwargs: Any,
) -> Scores:
    """Score marks against spans of the reference.

    Args:
        examples: Their predicted Docs have been scored.
        spans_key: Where in ``reference.spans`` the replaced words are.
        threshold: Probability from which a word counts as marked.
        score_of: The probability of each token of a predicted Doc.
        kwargs: Not used; scorers of one pipeline share their arguments.

    Returns:
        ``rtd_auc``, ``rtd_p``, ``rtd_r``, ``rtd_f``, ``rtd_f05``, ``rtd_base_rate``;
        None each, where no reference has such spans.
    """
    labels, probabilities = [], []
    for example in examples:
        if spans_key in example.reference.spans:
            labels.append(gold_labels(example, spans_key))
            probabilities.append(score_of(example.predicted))
    if not labels:
        return dict.fromkeys(detection_scores(detection(*_NOTHING, threshold)))
    return detection_scores(
        detection(np.concatenate(probabilities), np.concatenate(labels), threshold)
    )


_NOTHING = (np.zeros(0), np.zeros(0, dtype=bool))
