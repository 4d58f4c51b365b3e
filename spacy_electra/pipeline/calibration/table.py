"""What a score is worth: rates of false marks, and calibrated probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Errors, listed

# Of rates above this nobody wants to know: one word in ten.
HIGHEST_RATE = 100.0
# A rate p shows at least once among n words with 95 % probability where n >= 3 / p
# (the "rule of three": (1 - p)^n <= exp(-3) < 0.05; Hanley and Lippman-Hand, 1983).
RULE_OF_THREE = 3


@dataclass(frozen=True)
class Domain:
    """False marks by threshold in the clean text of a domain.

    Args:
        text: What it is, for people.
        words: How many there are.
        thresholds: Pairs of false marks per 1,000 words and the score from which a
            word is marked then. Rates rise, scores do not.
    """

    text: str
    words: int
    thresholds: tuple[tuple[float, float], ...]

    def threshold(self, rate: float) -> float:
        """The score from which ``rate`` words in 1,000 are marked.

        Between two rates of the table, the log-odds of the score follow the logarithm
        of the rate. The rate must lie within the table.
        """
        rates, scores = np.array(self.thresholds).T
        log_odds = np.interp(math.log(rate), np.log(rates), logit(scores))
        return float(sigmoid(log_odds))


@dataclass(frozen=True)
class Scale:
    """How scores become probabilities: sigmoid(logit / temperature + bias).

    Temperature scaling (Guo et al., 2017) where the bias is 0, else Platt scaling
    (Platt, 1999). They are those of a text with the share ``error_rate`` of wrong
    words; for another share q, add logit(q) - logit(error_rate) to the bias.
    """

    text: str = ""
    words: int = 0
    error_rate: float = 0.0
    temperature: float = 1.0
    bias: float = 0.0

    def apply(self, probabilities: Any) -> NDArray[np.float64]:
        """Calibrated probabilities of uncalibrated ones; 0 and 1 stay."""
        return sigmoid(logit(probabilities) / self.temperature + self.bias)


UNSCALED = Scale()


@dataclass(frozen=True)
class Calibration:
    """The table of a checkpoint.

    Args:
        weights: Fingerprint of the head that it was measured with.
        default: The domain that counts where none is named.
        domains: By name.
        scores: What makes probabilities of scores, if anybody fitted it.
    """

    weights: str
    default: str
    domains: Mapping[str, Domain] = field(default_factory=dict)
    scores: Scale | None = None

    def threshold(self, rate: float, domain: str | None = None) -> float:
        """The uncalibrated score from which ``rate`` words in 1,000 are marked.

        Args:
            rate: False marks per 1,000 words of clean text.
            domain: One of the table; None for its default.

        Raises:
            ValueError: If the table lacks the domain, or its text was too short for
                the rate.
        """
        check_rate(rate)
        domain = domain or self.default
        if domain not in self.domains:
            choices = listed(self.domains, most=20) or "none"
            raise ValueError(Errors.SE002(name="domain", value=domain, choices=choices))
        own = self.domains[domain]
        lowest, highest = own.thresholds[0][0], own.thresholds[-1][0]
        if not lowest <= rate <= highest:
            raise ValueError(
                Errors.SE531(
                    rate=rate,
                    domain=domain,
                    words=own.words,
                    lowest=lowest,
                    highest=highest,
                    needed=fewest_words(rate),
                )
            )
        return own.threshold(rate)

    def with_domain(self, name: str, domain: Domain) -> Calibration:
        """A table that has this domain, too, as its default."""
        return replace(self, default=name, domains={**self.domains, name: domain})

    def with_scores(self, scale: Scale) -> Calibration:
        """A table with another scale."""
        return replace(self, scores=scale)


def check_rate(rate: Any, name: str = "false_marks_per_1000") -> float:
    """A rate of false marks per 1,000 words.

    Raises:
        ValueError: If it is no number above 0, or above ``HIGHEST_RATE``.
    """
    is_number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if not is_number or not 0 < rate <= HIGHEST_RATE:
        requirement = f"a number above 0, and {HIGHEST_RATE:g} at most"
        raise ValueError(Errors.SE003(name=name, requirement=requirement, value=rate))
    return float(rate)


def fewest_words(rate: float) -> int:
    """Words of clean text that a rate per 1,000 takes to show at all.

    So many that, with 95 % probability, one of them is marked.
    """
    return math.ceil(RULE_OF_THREE * 1000 / rate - 1e-9)


def lowest_rate(words: int) -> float:
    """The lowest rate per 1,000 that shows in so many words, in four decimals."""
    return math.ceil(RULE_OF_THREE * 1000 / words * 1e4) / 1e4


def logit(probabilities: Any) -> NDArray[np.float64]:
    """Log-odds; -inf of 0 and inf of 1."""
    with np.errstate(divide="ignore"):
        values = np.asarray(probabilities, dtype=np.float64)
        return np.asarray(np.log(values) - np.log1p(-values))


def sigmoid(log_odds: Any) -> NDArray[np.float64]:
    """Probabilities of log-odds."""
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-np.asarray(log_odds, dtype=np.float64))))
