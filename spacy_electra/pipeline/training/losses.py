"""Losses with their gradients, as Thinc wants them: means in nats, on plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from thinc.util import to_numpy

# The loss, and its gradient with respect to the first argument, float32 of its shape.
Loss = tuple[float, NDArray[np.float32]]


def sigmoid(logits: ArrayLike) -> NDArray[np.float64]:
    """Logits as probabilities, without overflow for large ones."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, dtype=np.float64)))


def sigmoid_of_each(logits: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    """Logits of several texts as probabilities."""
    flat = np.concatenate([np.zeros(0, dtype=np.float32), *logits])
    scores = torch.from_numpy(flat).double().sigmoid().numpy()
    ends = accumulate(map(len, logits), initial=0)
    return [scores[start:end] for start, end in pairwise(ends)]


def binary_cross_entropy(
    logits: ArrayLike, gold: ArrayLike, weights: ArrayLike = 1.0
) -> Loss:
    """Cross-entropy of yes-or-no labels, a weighted mean.

    Args:
        logits: Any shape. One that is not finite counts for nothing.
        gold: Labels or probabilities, 0 to 1, of that shape.
        weights: Of each; 0 leaves one out. Of that shape or broadcast to it.
    """
    scores = np.asarray(logits, dtype=np.float64)
    judged = np.isfinite(scores)
    finite = np.where(judged, scores, 0.0)
    labels = np.asarray(gold, dtype=np.float64)
    shares = _shares(np.broadcast_to(weights, scores.shape) * judged)
    # log(1 + e^z) - z y is -y log p - (1 - y) log(1 - p).
    losses = np.logaddexp(0.0, finite) - finite * labels
    return _loss(losses * shares, (sigmoid(finite) - labels) * shares)


def cross_entropy(
    logits: ArrayLike, gold: ArrayLike, mask: ArrayLike | None = None
) -> Loss:
    """Cross-entropy of labels that exclude each other, the mean over rows.

    Args:
        logits: Float [N, C].
        gold: Number of each row's label, int [N].
        mask: Which rows count, bool [N]; by default those whose label is not negative.
    """
    scores = np.asarray(logits, dtype=np.float64)
    labels = np.asarray(gold, dtype=np.int64)
    counts = labels >= 0 if mask is None else np.asarray(mask, dtype=bool)
    shares = _shares(counts)[:, None]
    rows, columns = np.arange(len(labels)), np.where(counts, labels, 0)
    shifted = scores - scores.max(axis=1, keepdims=True, initial=-np.inf)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    gradient = np.exp(logs)
    gradient[rows, columns] -= 1.0
    return _loss(-logs[rows, columns] * shares[:, 0], gradient * shares)


def mean_squared_error(
    values: ArrayLike, gold: ArrayLike, mask: ArrayLike | None = None
) -> Loss:
    """Mean of squared differences.

    Args:
        values: Any shape.
        gold: Of that shape.
        mask: Which of them count, bool of that shape; all by default.
    """
    found = np.asarray(values, dtype=np.float64)
    wanted = np.asarray(gold, dtype=np.float64)
    counts = np.ones(found.shape) if mask is None else np.asarray(mask, dtype=bool)
    shares = _shares(counts)
    differences = np.where(shares > 0, found - wanted, 0.0)
    return _loss(differences**2 * shares, 2 * differences * shares)


def over_texts(
    loss: Callable[..., Loss], scores: Sequence[Any], *others: ArrayLike
) -> tuple[float, list[Any]]:
    """A loss over the rows of all texts, and its gradient for each text.

    Args:
        loss: One of this module.
        scores: An array per text, on any device.
        others: What else the loss takes, for all rows.
    """
    arrays = [to_numpy(part) for part in scores]
    value, gradient = loss(np.concatenate(arrays), *others)
    ends = np.cumsum([len(part) for part in arrays])[:-1]
    return value, list(np.split(gradient, ends))


def _shares(weights: Any) -> NDArray[np.float64]:
    """Weights that add up to 1, or to 0 where all are 0."""
    total = weights.sum()
    return np.asarray(weights / total if total else weights, dtype=np.float64)


def _loss(parts: Any, gradient: Any) -> Loss:
    return float(parts.sum()), gradient.astype(np.float32)
