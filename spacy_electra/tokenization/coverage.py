"""How well a vocabulary covers texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from .wordpiece import ElectraTokenizer

_TEXTS_PER_CALL = 256

# More than this of a corpus unknown, and something is wrong with it or the vocabulary.
MUCH_OF_CORPUS = 0.2


@dataclass(frozen=True)
class Coverage:
    """What became of the words of some texts.

    A word is what lies between white space and punctuation; a punctuation mark is one
    of its own.

    Args:
        words: Number of words.
        pieces: Pieces they were cut into.
        whole: Words that are one piece, as they stand.
        unknown: Words that have no pieces and became the unknown one.
    """

    words: int
    pieces: int
    whole: int
    unknown: int

    @property
    def coverage(self) -> float:
        """Share of words that are in the vocabulary as a whole."""
        return self.whole / max(self.words, 1)

    @property
    def pieces_per_word(self) -> float:
        """Mean number of pieces of a word."""
        return self.pieces / max(self.words, 1)

    @property
    def unknown_rate(self) -> float:
        """Share of words that became the unknown piece."""
        return self.unknown / max(self.words, 1)


def measure_coverage(texts: Iterable[str], tokenizer: ElectraTokenizer) -> Coverage:
    """Count what becomes of the words of texts.

    Args:
        texts: Best those that the vocabulary was not learned from.
        tokenizer: Has the vocabulary.
    """
    words = pieces = whole = unknown = 0
    remaining = iter(texts)
    while call := list(islice(remaining, _TEXTS_PER_CALL)):
        for encoded in tokenizer.backend.encode_batch(call, add_special_tokens=False):
            # Without special pieces around the text, each piece belongs to a word.
            counts = np.bincount(np.array(encoded.word_ids, dtype=np.int64))
            missing = encoded.ids.count(tokenizer.unk_token_id)
            words += len(counts)
            pieces += len(encoded.ids)
            whole += int((counts == 1).sum()) - missing
            unknown += missing
    return Coverage(words, pieces, whole, unknown)
