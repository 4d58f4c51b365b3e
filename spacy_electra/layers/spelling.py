"""How well words account for the spelling of another one: a noisy channel.

Shannon's noisy channel, as Kernighan, Church and Gale (1990, "A Spelling Correction
Program Based on a Noisy Channel Model") put it to use: the word that was meant is the
likeliest by P(word | context) P(written | word). The first factor is a language
model's, the second is what this module gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.matcher.levenshtein import levenshtein

Floats = NDArray[np.float64]


class Slips(NamedTuple):
    """How likely slips of spelling are, beside words taken for others.

    Args:
        gain: Logarithm of how much likelier a slip of no edits would be.
        per_edit: What each edit takes from it.
        length: Of words that this is meant for: in a word of twice as many letters,
            which has fewer neighbours, an edit takes half of it. None for all words.
    """

    gain: float
    per_edit: float
    length: int | None = None

    def cost(self, word: str) -> float:
        """What an edit takes in a word."""
        if self.length is None:
            return self.per_edit
        return self.per_edit * self.length / max(len(word), 1)

    def most_edits(self, word: str) -> int:
        """Edits of which a slip is still likelier than another word, and no more than
        are quick to look for.
        """
        return min(math.ceil(self.gain / self.cost(word)) - 1, MOST_EDITS)


MOST_EDITS = 3
# Chosen on errors of six kinds in UD English EWT dev, for both bundled generators. What
# the vocabulary has as one piece may be meant as it is written, and stand there for
# another reason than its spelling; what it has not is most often misspelled.
KNOWN, UNKNOWN = Slips(9.0, 4.0, length=5), Slips(16.0, 4.0)


@dataclass(frozen=True)
class Words:
    """Words, and what of them is needed again and again.

    Args:
        strings: In lower case, object [n].
        lengths: In characters, int64 [n].
        are_words: Whether there is a letter or a digit in them, bool [n].
    """

    strings: NDArray[np.object_]
    lengths: NDArray[np.int64]
    are_words: NDArray[np.bool_]

    @classmethod
    def of(cls, strings: Sequence[str]) -> Words:
        """From words in any case."""
        lower = [string.lower() for string in strings]
        found = np.empty(len(lower), dtype=object)
        found[:] = lower
        return cls(
            found,
            np.array([len(string) for string in lower], dtype=np.int64),
            np.array([has_letters(string) for string in lower], dtype=bool),
        )


def has_letters(text: str) -> bool:
    """Whether there is a letter or a digit in a text."""
    return any(map(str.isalnum, text))


@dataclass(frozen=True)
class Channel:
    """Weighs words by how well they account for one that was written.

    Either another word was put there, which any word accounts for as well as any
    other, or it is a slip of spelling, the likelier the fewer edits there are between
    them. So the weight of a word is 1 + exp(gain - cost * edits).

    Args:
        written: What stands in the text. It is no candidate for its own place.
        slips: ``KNOWN`` or ``UNKNOWN``.
    """

    written: str
    slips: Slips

    def __call__(self, words: Words) -> Floats:
        """Logarithms of the words' weights, float64 [n]; of no candidate -inf.

        A word is replaced by words alone, and not by punctuation.
        """
        written, slips = self.written.lower(), self.slips
        weights = np.zeros(len(words.strings))
        gaps = np.abs(words.lengths - len(written))
        most, cost = slips.most_edits(written), slips.cost(written)
        swapped = with_a_swap(written)
        for place in np.flatnonzero(gaps <= most).tolist():
            found = edits(written, words.strings[place], most, swapped)
            if found is not None:
                weights[place] = np.logaddexp(0.0, slips.gain - cost * found)
        weights[words.strings == written] = -np.inf
        if has_letters(written):
            weights[~words.are_words] = -np.inf
        return weights


def edits(
    one: str, other: str, most: int, swapped: Sequence[str] | None = None
) -> int | None:
    """Letters to insert, delete or replace, or two to swap with each other.

    The four slips of Damerau (1964); one swap at most.

    Args:
        one: A word.
        other: Another.
        most: None is returned where there are more.
        swapped: ``with_a_swap(one)``, where it is known already.
    """
    # A swap is two of Levenshtein's edits.
    found = int(levenshtein(one, other, most + 1))
    if 2 <= found <= most + 1:
        variants = with_a_swap(one) if swapped is None else swapped
        found = min([found, *(1 + int(levenshtein(v, other, most)) for v in variants)])
    return found if found <= most else None


def with_a_swap(word: str) -> list[str]:
    """A word with two neighbouring letters swapped, for each pair of them."""
    return [
        word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        for i in range(len(word) - 1)
        if word[i] != word[i + 1]
    ]
