"""Words in place of words: replacements that are whole words about as frequent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .sampler import Sampler, like_rank, word_numbers

# Words of more pieces are rare, and their pieces say much about each other.
MOST_PIECES = 4
# Counts of this many pieces of the corpus order the words well enough.
_PIECES_TO_COUNT = 20_000_000
# A word seen once is more often a misspelling or a cut name than a word.
_FEWEST_OCCURRENCES = 2


class WordSampler:
    """A word of as many pieces and about as frequent as the one it replaces.

    ``FrequencySampler`` replaces each piece on its own, so that a word of several
    pieces becomes a string that is no word, which gives it away. Meant for masks of
    whole words.

    Args:
        words: Words of one piece, of two and so on, each int64 [N, pieces], the most
            frequent ones first, as ``count_words`` makes them.
        continues: Which pieces continue a word, bool [V].
        otherwise: Replaces pieces of what is not among the words.
        spread: Standard deviation of the natural logarithm of the factor by which a
            word moves along the words of its kind.
    """

    def __init__(
        self,
        words: Sequence[Tensor],
        continues: Tensor,
        otherwise: Sampler,
        spread: float = 0.7,
    ) -> None:
        self.words = words
        self.continues = continues
        self.otherwise = otherwise
        self.spread = spread
        self.sorted_codes = []
        self.ranks = []
        for known in words:
            codes, ranks = _encode(known, len(continues)).sort()
            self.sorted_codes.append(codes)
            self.ranks.append(ranks)

    def __call__(
        self,
        originals: Tensor,
        logits: Tensor,
        progress: float,
        random: torch.Generator,
    ) -> Tensor:
        """Draw a piece for each masked place, int64 [M]."""
        drawn = self.otherwise(originals, logits, progress, random).cpu()
        pieces = originals.cpu()
        if not len(pieces):
            return drawn.to(originals.device)
        sizes = torch.bincount(word_numbers(pieces, self.continues))
        starts = sizes.cumsum(0) - sizes
        for size, known in enumerate(self.words, 1):
            rows = starts[sizes == size, None] + torch.arange(size)
            codes = _encode(pieces[rows], len(self.continues))
            places = torch.searchsorted(self.sorted_codes[size - 1], codes)
            places = places.clamp(max=len(known) - 1)
            found = self.sorted_codes[size - 1][places] == codes
            ranks = self.ranks[size - 1][places[found]]
            limits = torch.full_like(ranks, len(known))
            moved = like_rank(ranks, limits, self.spread, random)
            drawn[rows[found]] = known[moved]
        return drawn.to(originals.device)


def count_words(
    ids: NDArray[np.integer], continues: Tensor, special_ids: Sequence[int] = ()
) -> list[Tensor]:
    """The words of a corpus by their number of pieces, the most frequent ones first.

    Args:
        ids: Pieces of the corpus, end to end, int [T]; its first part counts.
        continues: Which pieces continue a word, bool [V].
        special_ids: Pieces that are no words.

    Returns:
        For one piece, two and so on up to ``MOST_PIECES``, int64 [N, pieces]; it ends
        before a number of which there is no word.
    """
    vocab_size = len(continues)
    pieces = torch.from_numpy(np.asarray(ids[:_PIECES_TO_COUNT]).astype(np.int64))
    begins = (~continues[pieces]).nonzero().squeeze(-1)
    sizes = begins.diff(append=torch.tensor([len(pieces)]))
    words = []
    for size in range(1, MOST_PIECES + 1):
        # Codes of longer words would not fit int64.
        if vocab_size**size > 2**62:
            break
        rows = begins[sizes == size, None] + torch.arange(size)
        found = pieces[rows]
        found = found[~torch.isin(found[:, 0], torch.tensor(list(special_ids)))]
        codes, counts = _encode(found, vocab_size).unique(return_counts=True)
        frequent = counts >= _FEWEST_OCCURRENCES
        codes, counts = codes[frequent], counts[frequent]
        if not len(codes):
            break
        codes = codes[counts.argsort(descending=True, stable=True)]
        scale = vocab_size ** torch.arange(size - 1, -1, -1)
        words.append(codes[:, None] // scale % vocab_size)
    return words


def _encode(words: Tensor, vocab_size: int) -> Tensor:
    """One number a word, int64 [N], for pieces [N, n]."""
    codes = torch.zeros(len(words), dtype=torch.int64)
    for column in words.unbind(1):
        codes = codes * vocab_size + column
    return codes
