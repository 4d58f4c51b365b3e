"""Marks, and letters of syllables, that a normalizer joined to what stands before them.

NFC and NFKC make one character of several: a letter and its accent, the letters of a
syllable of Hangul, half-width kana and their mark. Without accents, marks vanish. The
`tokenizers` library gives the piece of such a character the place of the first of them
alone, so the others would belong to nothing: an answer would end inside of a syllable,
and a spaCy token that begins there would have no piece.
"""

from __future__ import annotations

import unicodedata

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
# Below it Unicode has no combining character.
_FIRST_MARK = 0x300
# Letters that are no marks by their category: vowels and final consonants of Hangul,
# the marks of half-width kana.
_JOINED = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF), (0xFF9E, 0xFF9F))


def reach_marks(offsets: Integers, text: str) -> Integers:
    """Offsets whose ends are moved over the marks after them that no piece has.

    Args:
        offsets: First character of each piece and the one after its last, int64
            [n, 2]; neither ever goes back.
        text: What the pieces are of.

    Returns:
        The same array where there is nothing to move.
    """
    if text.isascii() or not len(offsets):
        return offsets
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    ends = offsets[:, 1]
    # No piece has the characters from the end of one to the start of the next.
    limits = np.append(offsets[1:, 0], len(text))
    open_ended = np.flatnonzero(ends < limits)
    following = codes[ends[open_ended]]
    moved = open_ended[following >= _FIRST_MARK]
    if not len(moved):
        return offsets
    offsets = offsets.copy()
    for piece in moved.tolist():
        end, limit = int(ends[piece]), int(limits[piece])
        while end < limit and is_joined(text[end]):
            end += 1
        offsets[piece, 1] = end
    return offsets


def is_joined(character: str) -> bool:
    """Whether a character is part of what stands before it."""
    code = ord(character)
    return unicodedata.category(character)[0] == "M" or any(
        low <= code <= high for low, high in _JOINED
    )
