"""Measuring thresholds on clean text, and fitting probabilities on text with errors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Token
from torch import Tensor

from ...errors import Errors
from ...layers.head_model import Head
from .table import (
    HIGHEST_RATE,
    Domain,
    Scale,
    check_rate,
    fewest_words,
    logit,
    lowest_rate,
    sigmoid,
)

# Rates of a table: so many that what lies between can be read off.
_DIGITS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
_RATES = [round(digit * 10.0**power, 4) for power in range(-3, 3) for digit in _DIGITS]
# Scores that are 0 or 1 have no log-odds.
_SMALLEST = 1e-9
_DECIMALS = 6
# A bias is kept where twice the log likelihood that it gains is above this: the 95 %
# point of chi-squared with one degree of freedom, the likelihood-ratio test.
_WORTH_A_BIAS = 3.84
_STEPS, _ENOUGH = 100, 1e-10


@dataclass(frozen=True)
class CleanScores:
    """Scores of clean text.

    Args:
        scores: Of all its tokens, float64 [N].
        words: How many of them are words.
    """

    scores: NDArray[np.float64]
    words: int

    def threshold(self, rate: float) -> float:
        """The score from which at most ``rate`` marks come on 1,000 words.

        It lies half-way, in log-odds, between the lowest score that is marked and the
        highest that is not.

        Raises:
            ValueError: If there are too few words for the rate.
        """
        check_rate(rate)
        if not self.shows(rate):
            raise ValueError(
                Errors.SE530(words=self.words, rate=rate, needed=fewest_words(rate))
            )
        ordered = np.sort(self.scores)[::-1]
        # As exact as a rate in decimals can be: 0.3 of 10,000 is 3.
        marks = math.floor(rate * self.words / 1000 + 1e-9)
        if marks >= len(ordered):
            return 0.0
        bounds = np.clip(ordered[marks - 1 : marks + 1], _SMALLEST, 1 - _SMALLEST)
        middle = float(sigmoid(logit(bounds).mean()))
        # Several words may have the score of the first that is not to be marked.
        steps = math.ceil(middle * 10**_DECIMALS)
        steps += bool(steps / 10**_DECIMALS <= bounds[1])
        return round(steps / 10**_DECIMALS, _DECIMALS)

    def shows(self, rate: float) -> bool:
        """Whether there are enough words to tell a rate."""
        return self.words >= fewest_words(rate)

    def marks(self, threshold: float) -> int:
        """How many tokens a threshold marks."""
        return int((self.scores >= threshold).sum())

    def rate(self, threshold: float) -> float:
        """False marks per 1,000 words."""
        return 1000 * self.marks(threshold) / max(self.words, 1)

    def check_words(self, text: str) -> None:
        """Refuse a text without words, which is called ``text`` then."""
        if not self.words:
            raise ValueError(Errors.SE532(text=text))

    def domain(self, text: str) -> Domain:
        """What goes into the table.

        Raises:
            ValueError: If there are no words, or too few for any rate.
        """
        self.check_words(text)
        lowest = min(lowest_rate(self.words), HIGHEST_RATE)
        rates = [lowest, *(r for r in _RATES if lowest < r <= HIGHEST_RATE)]
        pairs = tuple((rate, min(self.threshold(rate), 1.0)) for rate in rates)
        return Domain(text, self.words, pairs)


def is_word(token: Token) -> bool:
    """Whether a token counts as a word: it has a letter or a digit."""
    return any(character.isalnum() for character in token.text)


def clean_scores(
    docs: Iterable[Doc],
    scores_of: Callable[[Doc], NDArray[np.float64]],
    most_words: int | None = None,
) -> CleanScores:
    """The scores of clean text that went through a pipeline.

    Args:
        docs: Any number.
        scores_of: The uncalibrated scores of a Doc's tokens.
        most_words: Stop after so many; None for all.
    """
    parts, words = [np.zeros(0)], 0
    for doc in docs:
        parts.append(scores_of(doc))
        words += sum(map(is_word, doc))
        if most_words is not None and words >= most_words:
            break
    return CleanScores(np.concatenate(parts), words)


def fit_scale(
    scores: NDArray[np.float64],
    labels: NDArray[np.bool_],
    text: str = "",
    with_bias: bool = True,
) -> Scale:
    """The temperature, and the bias if it is worth it, of scores of text with errors.

    Maximum likelihood by Newton's method. The bias stays 0 where a likelihood-ratio
    test at 95 % does not find it to be needed.

    Args:
        scores: Uncalibrated, float64 [N].
        labels: Which words are wrong, bool [N].
        text: What the text is.
        with_bias: Whether a bias is tried at all.

    Raises:
        ValueError: If no word is wrong or all are, or if scores do not rise with the
            share of wrong words.
    """
    judged = (scores > 0) & (scores < 1)
    values, truth = logit(scores[judged]), labels[judged].astype(np.float64)
    if not 0 < truth.sum() < len(truth):
        raise ValueError(Errors.SE535(words=len(truth), wrong=int(truth.sum())))
    plain = _newton(values[:, None], truth)
    both = _newton(np.stack([values, np.ones_like(values)], axis=1), truth)
    gain = _log_likelihood(values * both[0] + both[1], truth)
    gain -= _log_likelihood(values * plain[0], truth)
    slope, bias = both if with_bias and 2 * gain > _WORTH_A_BIAS else (plain[0], 0.0)
    if not slope > 0:
        raise ValueError(Errors.SE536(slope=float(slope)))
    return Scale(
        text=text,
        words=len(truth),
        error_rate=round(float(truth.mean()), _DECIMALS),
        temperature=round(float(1 / slope), _DECIMALS),
        bias=round(float(bias), _DECIMALS),
    )


def _newton(
    columns: NDArray[np.float64], truth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Coefficients of a logistic regression without any penalty."""
    weights = np.zeros(columns.shape[1])
    best = _log_likelihood(columns @ weights, truth)
    for _ in range(_STEPS):
        expected = sigmoid(columns @ weights)
        gradient = columns.T @ (truth - expected)
        variance = expected * (1 - expected)
        hessian = (columns * variance[:, None]).T @ columns
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        # A whole step may go too far where nearly all probabilities are 0 or 1.
        for _ in range(_STEPS):
            now = _log_likelihood(columns @ (weights + step), truth)
            if now >= best:
                break
            step = step / 2
        weights = weights + step
        if now - best <= _ENOUGH * abs(best):
            break
        best = now
    return weights


def _log_likelihood(log_odds: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Nats, summed."""
    return float((truth * log_odds - np.logaddexp(0, log_odds)).sum())


def fingerprint(head: Head) -> str:
    """What tells the weights of a head from others: SHA-256, 16 hexadecimal digits.

    It is that of their values in fp32, so that the same weights have one in every
    file.
    """
    return fingerprint_of(head.load().own_weights())


def fingerprint_of(weights: Mapping[str, Tensor]) -> str:
    """As ``fingerprint``, of the weights of a head by their names."""
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        digest.update(name.encode("utf8"))
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
