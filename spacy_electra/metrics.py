"""How well scores tell replaced pieces from original ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detection:
    """Metrics of a detector at a threshold, and without one.

    Args:
        auc: Chance that a positive scores above a negative; nan where one kind is
            missing.
        precision: Share of those marked that are positive.
        recall: Share of the positive that are marked.
        f1: Their harmonic mean.
        f05: The same with precision counting twice as much as recall, as error
            detection reports it.
        base_rate: Share of positives: the precision of marking everything.
    """

    auc: float
    precision: float
    recall: float
    f1: float
    f05: float
    base_rate: float


def area_under_curve(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counting half (Mann and Whitney's U).

    Args:
        scores: float [N].
        labels: bool [N].

    Returns:
        0 to 1; nan where all labels are alike.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle_rank = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = middle_rank[where][labels].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def detection(
    probabilities: NDArray[np.floating], labels: NDArray[np.bool_], threshold: float
) -> Detection:
    """All metrics of a detector.

    Args:
        probabilities: float [N].
        labels: bool [N].
        threshold: Marked is what lies at or above it.
    """
    marked = probabilities >= threshold
    hits = int((marked & labels).sum())
    precision = hits / max(int(marked.sum()), 1)
    recall = hits / max(int(labels.sum()), 1)
    return Detection(
        auc=area_under_curve(probabilities, labels),
        precision=precision,
        recall=recall,
        f1=f_score(precision, recall, 1.0),
        f05=f_score(precision, recall, 0.5),
        base_rate=float(labels.mean()) if len(labels) else float("nan"),
    )


def f_score(precision: float, recall: float, beta: float) -> float:
    """Weighted harmonic mean; ``beta`` is how much more recall counts."""
    weight = beta * beta
    below = weight * precision + recall
    return (1 + weight) * precision * recall / below if below else 0.0


def proportion_interval(
    hits: int, number: int, deviations: float = 1.96
) -> tuple[float, float]:
    """Bounds of a proportion that a count lets one expect (Wilson, 1927).

    Args:
        hits: How many of them.
        number: How many there were.
        deviations: Standard deviations; 1.96 for 95 %.
    """
    if not number:
        return 0.0, 1.0
    share, extra = hits / number, deviations**2 / number
    middle = share + extra / 2
    spread = deviations * math.sqrt(share * (1 - share) / number + extra / 4 / number)
    return (middle - spread) / (1 + extra), (middle + spread) / (1 + extra)


@dataclass(frozen=True)
class Reliability:
    """How far probabilities are from what happens, bin by bin.

    Args:
        counts: Of each bin, int64 [B].
        predicted: Mean probability of each, float64 [B]; nan of an empty one.
        observed: Share of positives of each, float64 [B]; nan of an empty one.
    """

    counts: NDArray[np.int64]
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]

    @property
    def expected_error(self) -> float:
        """Expected calibration error (Guo et al., 2017): mean distance, by count."""
        used = self.counts > 0
        gaps = np.abs(self.predicted - self.observed)[used]
        return float((gaps * self.counts[used]).sum() / max(self.counts.sum(), 1))


def reliability(
    probabilities: NDArray[np.floating], labels: NDArray[np.bool_], bins: int = 15
) -> Reliability:
    """Compare probabilities with what happens, in bins of equal width.

    Args:
        probabilities: float [N], 0 to 1.
        labels: bool [N].
        bins: How many.
    """
    places = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted, observed = (
            np.bincount(places, weights=values.astype(np.float64), minlength=bins)
            / counts
            for values in (probabilities, labels)
        )
    return Reliability(counts, predicted, observed)
