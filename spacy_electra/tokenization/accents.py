"""How much of a text is lost where accents are removed.

BERT removes them with the case: text is decomposed (NFD) and its marks are dropped. For
English that is harmless. German loses its umlauts, Russian its й, Hindi its vowels, and
Hangul falls apart into letters that pieces have to put together again.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from .alphabet import count_characters

# English encyclopedias and novels have less than a tenth of a percent, German and
# Italian between one and two.
_MATTERS = 0.005
_JAMO = ((0x1100, 0x11FF), (0xA960, 0xA97F), (0xD7B0, 0xD7FF))


@dataclass(frozen=True)
class Accents:
    """Letters of texts, and what becomes of them without accents.

    Args:
        letters: How many there are, marks among them.
        changed: Those that are others, or none, without accents; Hangul syllables too.
        conjoining: Letters of Hangul that stand alone instead of in a syllable.
    """

    letters: int
    changed: int
    conjoining: int

    @property
    def share(self) -> float:
        """Share of letters that change."""
        return self.changed / max(self.letters, 1)

    @property
    def matter(self) -> bool:
        """Whether a vocabulary of these texts should keep them."""
        return self.share > _MATTERS

    @property
    def is_decomposed(self) -> bool:
        """Whether Hangul is written in letters rather than in syllables (NFD)."""
        return self.conjoining > _MATTERS * max(self.letters, 1)


def accents_of(texts: Iterable[str]) -> Accents:
    """Count the letters of texts that change where accents are removed."""
    letters = changed = conjoining = 0
    for character, count in count_characters(texts).items():
        if not _is_letter(character):
            continue
        letters += count
        changed += count * (without_accents(character) != character)
        code = ord(character)
        conjoining += count * any(low <= code <= high for low, high in _JAMO)
    return Accents(letters, changed, conjoining)


def without_accents(text: str) -> str:
    """A text as BERT has it without accents."""
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn")


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"
