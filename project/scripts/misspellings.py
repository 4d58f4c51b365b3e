"""Which words of a text are likely misspelled, by the counts of well edited text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache

# Shorter words are too close to each other.
SHORTEST = 4
# How often the word that was meant occurs, and how often beside the one that is there.
FEWEST, TIMES = 300, 100
WORD = re.compile(r"(?<![\w'’@#/.-])[a-z]+(?![\w'’@#/-])")


class Misspellings:
    """Words that are one slip away from a far more frequent one.

    Names are left alone: of capitalized words nothing is said. A rare word beside a
    frequent one ("untied") is taken for a misspelling too.

    Args:
        texts: Well edited ones, to count words in.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(WORD.findall(text))
        self.counts = counts
        letters = Counter(letter for word in counts for letter in word)
        self.alphabet = "".join(sorted(letters))
        self.is_misspelled = cache(self._is_misspelled)

    def __call__(self, text: str) -> list[str]:
        """The words of a text that are likely misspelled."""
        return [word for word in WORD.findall(text) if self.is_misspelled(word)]

    def _is_misspelled(self, word: str) -> bool:
        if len(word) < SHORTEST:
            return False
        least = max(FEWEST, TIMES * (self.counts[word] + 1))
        return any(self.counts[other] >= least for other in self._one_slip_away(word))

    def _one_slip_away(self, word: str) -> Iterator[str]:
        """Words that one letter less, more, exchanged or another one makes of it."""
        for place in range(len(word) + 1):
            before, after = word[:place], word[place:]
            yield from (before + letter + after for letter in self.alphabet)
            if after:
                yield before + after[1:]
                yield from (before + letter + after[1:] for letter in self.alphabet)
            if len(after) > 1:
                yield before + after[1] + after[0] + after[2:]
