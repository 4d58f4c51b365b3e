"""Scores of labels and numbers of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.scorer import Scorer
from spacy.training import Example
from spacy.util import registry

Scores = dict[str, Any]


@registry.scorers("spacy-electra.TextcatScorer.v1")
def make_textcat_scorer() -> Callable[..., Scores]:
    """Of labels what spaCy's ``textcat`` reports; of numbers how well they agree."""
    return score_cats


def score_cats(
    examples: Iterable[Example],
    *,
    labels: Sequence[str],
    problem: str,
    threshold: float,
    **kwargs: Any,
) -> Scores:
    """Score ``doc.cats``.

    Args:
        examples: Their predicted Docs have been annotated.
        labels: Of the component.
        problem: As ``problem_type``.
        threshold: Probability from which a label counts, where they do not exclude each
            other.
        kwargs: Not used; scorers of one pipeline share their arguments.

    Returns:
        Of labels the scores of ``spacy.scorer.Scorer.score_cats``. Of numbers
        ``cats_pearson``, ``cats_spearman`` and ``cats_mse``, means over the labels,
        None where there is nothing to compare; ``cats_score`` is the first.
    """
    if problem == "regression":
        return _score_numbers(list(examples), labels)
    examples = list(examples)
    is_multi = problem == "multi_label_classification"
    scores: Scores = Scorer.score_cats(
        examples,
        "cats",
        labels=labels,
        multi_label=is_multi,
        threshold=threshold if is_multi else 0.0,
    )
    if not any(example.reference.cats for example in examples):
        # Without gold there is no score; spaCy's would be 0.
        return dict.fromkeys(scores)
    return scores


def _score_numbers(examples: Sequence[Example], labels: Sequence[str]) -> Scores:
    rows: list[tuple[float, float, float]] = []
    for label in labels:
        pairs = [
            (example.predicted.cats[label], example.reference.cats[label])
            for example in examples
            if label in example.reference.cats and label in example.predicted.cats
        ]
        if len(pairs) > 1:
            found, gold = np.array(pairs).T
            rows.append(
                (
                    correlation(found, gold),
                    correlation(ranks(found), ranks(gold)),
                    float(((found - gold) ** 2).mean()),
                )
            )
    names = ("cats_pearson", "cats_spearman", "cats_mse")
    means = np.mean(rows, axis=0).tolist() if rows else [None] * len(names)
    scores: Scores = dict(zip(names, means, strict=True))
    return {"cats_score": scores["cats_pearson"], **scores}


def correlation(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Pearson's correlation; 0 where either is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / scale) if scale > 0 else 0.0


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rank of each value, from 0; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = counts.cumsum() - counts + (counts - 1) / 2
    return np.asarray(middle[inverse], dtype=np.float64)
