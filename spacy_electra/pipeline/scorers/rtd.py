"""Gold labels of replaced words, and how well marks meet them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry

from ...metrics import Detection, detection

Scores = dict[str, Any]


def keys_in(examples: Iterable[Example]) -> list[str]:
    """The keys of span groups of the references."""
    return sorted({key for example in examples for key in example.reference.spans})


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


def detection_scores(metrics: Detection) -> Scores:
    """The metrics under the names that spaCy shows and weighs.

    None is what the labels leave undefined: with no positive there is no recall, with
    positives alone no AUC.
    """
    has_any, has_wrong = metrics.base_rate >= 0, metrics.base_rate > 0
    return {
        "rtd_auc": None if math.isnan(metrics.auc) else metrics.auc,
        "rtd_p": metrics.precision if has_any else None,
        "rtd_r": metrics.recall if has_wrong else None,
        "rtd_f": metrics.f1 if has_wrong else None,
        "rtd_f05": metrics.f05 if has_wrong else None,
        "rtd_base_rate": metrics.base_rate if has_any else None,
    }


@registry.scorers("spacy-electra.RTDScorer.v1")
def make_rtd_scorer() -> Callable[..., Scores]:
    """Scores of marked words, by token, and of the spans of marks, as spaCy has them.

    By token: precision, recall, F1, F0.5 and AUC.
    """
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
        ``rtd_auc``, ``rtd_p``, ``rtd_r``, ``rtd_f``, ``rtd_f05``, ``rtd_base_rate``,
        and ``spans_{key}_p``, ``_r`` and ``_f`` of whole spans, whatever their labels;
        None where no reference has such spans, or what a score is a share of.
    """
    labels, probabilities, scored = [], [], []
    for example in examples:
        if spans_key in example.reference.spans:
            labels.append(gold_labels(example, spans_key))
            probabilities.append(score_of(example.predicted))
            scored.append(example)
    found = np.concatenate([np.zeros(0), *probabilities])
    gold = np.concatenate([np.zeros(0, dtype=bool), *labels])
    scores = detection_scores(detection(found, gold, threshold))
    if not (found >= threshold).any():
        scores["rtd_p"] = None
    return {**scores, **_span_scores(scored, spans_key)}


def _span_scores(examples: Iterable[Example], key: str) -> Scores:
    """The scores that ``spacy evaluate --spans-key`` and others look for."""
    scores: Scores = Scorer.score_spans(
        examples,
        f"spans_{key}",
        getter=lambda doc, _: doc.spans.get(key, []),
        has_annotation=lambda doc: key in doc.spans,
        labeled=False,
        allow_overlap=True,
    )
    return scores


def with_key(scores: Scores, component: TrainablePipe, nlp: Language | None) -> Scores:
    """Scores of a detector, under names that hold its key where there are several.

    Args:
        scores: Those that begin with "rtd_" are "rtd_KEY_auc" and so on then; the first
            detector of the pipeline keeps the bare names as well.
        component: The detector, with ``cfg["spans_key"]``.
        nlp: Its pipeline, if that is known.
    """
    pipes = [] if nlp is None else [pipe for _, pipe in nlp.components]
    detectors = [pipe for pipe in pipes if type(pipe) is type(component)]
    if len(detectors) < 2:
        return scores
    key = component.cfg["spans_key"]
    bare = [name for name in scores if name.startswith("rtd_")]
    named = {name.replace("rtd_", f"rtd_{key}_", 1): scores[name] for name in bare}
    is_first = detectors[0] is component
    kept = {n: value for n, value in scores.items() if is_first or n not in bare}
    return {**kept, **named}
