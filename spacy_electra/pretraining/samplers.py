"""What takes the place of a masked piece before the discriminator sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..models.vocabulary import rows_of_a_part

# Weights that are added up at once where one index of many is drawn.
_BLOCK = 128
# Words of more pieces are rare, and their pieces say much about each other.
MOST_PIECES = 4
# Counts of this many pieces of the corpus order the words well enough.
_PIECES_TO_COUNT = 20_000_000
# A word seen once is more often a misspelling or a cut name than a word.
_FEWEST_OCCURRENCES = 2


class Sampler(Protocol):
    """Draws replacements."""

    def __call__(
        self,
        originals: Tensor,
        logits: Tensor,
        progress: float,
        random: torch.Generator,
    ) -> Tensor:
        """Draw a piece for each masked place.

        Args:
            originals: What stood there, int64 [M].
            logits: The generator's scores, float [M, V].
            progress: How much of the training is over, 0 to 1.
            random: Decides.

        Returns:
            Piece ids, int64 [M].
        """
        ...


@dataclass(frozen=True)
class GeneratorSampler:
    """From the generator's softmax, as in the paper.

    Args:
        temperature: Divides the logits; 1 leaves them.
    """

    temperature: float = 1.0

    def __call__(
        self,
        originals: Tensor,
        logits: Tensor,
        progress: float,
        random: torch.Generator,
    ) -> Tensor:
        """Draw a piece for each masked place, int64 [M]."""
        uniform = _uniform(len(logits), random)
        size = rows_of_a_part(logits)
        drawn = []
        for part, numbers in zip(logits.split(size), uniform.split(size), strict=True):
            scores = part.float()
            if self.temperature != 1.0:
                scores = scores / self.temperature
            weights = torch.softmax(scores, dim=-1)
            drawn.append(_draw(weights, numbers))
        return torch.cat(drawn)


@dataclass(frozen=True)
class UnigramSampler:
    """By how often pieces occur, whatever stands around: easy to tell from real text.

    Args:
        counts: How often each piece occurs, float [V].
    """

    counts: Tensor

    def __call__(
        self,
        originals: Tensor,
        logits: Tensor,
        progress: float,
        random: torch.Generator,
    ) -> Tensor:
        """Draw a piece for each masked place, int64 [M]."""
        weights = self.counts.double().to(originals.device)
        uniform = _uniform(len(originals), random)
        return _draw(weights.expand(len(originals), -1), uniform)


class FrequencySampler:
    """A piece about as frequent as the one it replaces, and of the same kind.

    Harder than ``UnigramSampler``: neither the frequency of a piece nor a continuation
    without a beginning gives it away, only the context does. A piece moves along the
    pieces of its kind, in order of frequency, by a factor of its rank.

    Args:
        counts: How often each piece occurs, float [V].
        continues: Whether a piece continues a word, bool [V].
        spread: Standard deviation of the natural logarithm of that factor.
    """

    def __init__(self, counts: Tensor, continues: Tensor, spread: float = 0.7) -> None:
        self.spread = spread
        kinds = []
        for kind in (False, True):
            members = ((continues == kind) & (counts > 0)).nonzero().squeeze(-1)
            kinds.append(members[counts[members].argsort(descending=True)])
        self.ordered = torch.cat(kinds)
        self.kind_sizes = torch.tensor([len(kind) for kind in kinds])
        self.kind = continues.long()
        self.rank = torch.zeros(len(counts), dtype=torch.long)
        for members in kinds:
            self.rank[members] = torch.arange(len(members))

    def __call__(
        self,
        originals: Tensor,
        logits: Tensor,
        progress: float,
        random: torch.Generator,
    ) -> Tensor:
        """Draw a piece for each masked place, int64 [M]."""
        device = originals.device
        originals = originals.cpu()
        kind = self.kind[originals]
        moved = like_rank(
            self.rank[originals], self.kind_sizes[kind], self.spread, random
        )
        start = torch.where(kind == 0, 0, self.kind_sizes[0])
        return self.ordered[start + moved].to(device)


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


@dataclass(frozen=True)
class MixtureSampler:
    """From weak to strong: at each place one sampler or the other.

    Args:
        weak: Sampler of the beginning.
        strong: Sampler of the end.
        start: Share of the strong one up to ``rise_from``.
        end: Share of the strong one from ``rise_to`` on; linear in between.
        rise_from: Progress at which its share begins to rise.
        rise_to: Progress at which it has risen.
        continues: Which pieces continue a word, bool [V]: the pieces of a word come
            from one sampler.
    """

    weak: Sampler
    strong: Sampler
    start: float = 0.0
    end: float = 1.0
    rise_from: float = 0.0
    rise_to: float = 1.0
    continues: Tensor | None = None

    def strong_share(self, progress: float) -> float:
        """Share of places that the strong sampler fills."""
        span = max(self.rise_to - self.rise_from, 1e-9)
        risen = min(max((progress - self.rise_from) / span, 0.0), 1.0)
        return self.start + risen * (self.end - self.start)

    def __call__(
        self,
        originals: Tensor,
        logits: Tensor,
        progress: float,
        random: torch.Generator,
    ) -> Tensor:
        """Draw a piece for each masked place, int64 [M]."""
        share = self.strong_share(progress)
        chosen = torch.rand(len(originals), generator=random) < share
        if self.continues is not None and len(originals):
            chosen = chosen[word_numbers(originals.cpu(), self.continues)]
        chosen = chosen.to(originals.device)
        drawn = torch.empty_like(originals)
        for sampler, places in ((self.weak, ~chosen), (self.strong, chosen)):
            if bool(places.any()):
                drawn[places] = sampler(
                    originals[places], logits[places], progress, random
                )
        return drawn


def like_rank(
    ranks: Tensor, sizes: Tensor, spread: float, random: torch.Generator
) -> Tensor:
    """Ranks not far from others, int64 [M].

    Args:
        ranks: Place in the order of frequency, from 0, int64 [M].
        sizes: How many there are in that order, int64 [M].
        spread: Standard deviation of the natural logarithm of the factor by which a
            rank moves.
        random: Decides.
    """
    factor = torch.randn(len(ranks), generator=random) * spread
    # The constant lets the most frequent ones, of rank 0 to 10, move as well.
    moved = ((ranks + 10) * factor.exp() - 10).round().long().clamp(min=0)
    return torch.minimum(moved, (sizes - 1).clamp(min=0))


def word_numbers(originals: Tensor, continues: Tensor) -> Tensor:
    """Number of the word that each piece belongs to, int64 [M], M > 0.

    Args:
        originals: Pieces of words, one word after the other, int64 [M].
        continues: Which pieces of the vocabulary continue a word, bool [V].
    """
    begins = ~continues[originals]
    begins[0] = True
    return begins.cumsum(0) - 1


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


def _uniform(count: int, random: torch.Generator) -> Tensor:
    """Numbers from 0 to 1, float64 [M, 1]."""
    return torch.rand(count, 1, generator=random, dtype=torch.float64)


def _draw(weights: Tensor, uniform: Tensor) -> Tensor:
    """An index for each row of weights [M, V], as often as its weight says, int64 [M].

    One number a row [M, 1] is enough; noise for every piece of the vocabulary (the
    Gumbel trick) would cost more than the generator's own layers. Adding up all weights
    one after the other would, too: first a block is drawn, then an index in it.
    """
    size = weights.shape[1]
    whole = size - size % _BLOCK
    blocks = weights[:, :whole].unflatten(1, (-1, _BLOCK)).sum(-1)
    rest = weights[:, whole:].sum(-1, keepdim=True)
    cumulative = torch.cat([blocks, rest], dim=1).cumsum(-1)
    target = uniform.to(weights.device, weights.dtype) * cumulative[:, -1:]
    block = _invert(cumulative, target)
    before = F.pad(cumulative, (1, 0)).gather(1, block)
    inside = block * _BLOCK + torch.arange(_BLOCK, device=weights.device)
    chosen = weights.gather(1, inside.clamp(max=size - 1)) * (inside < size)
    index = block * _BLOCK + _invert(chosen.cumsum(-1), target - before)
    return index.squeeze(-1)


def _invert(cumulative: Tensor, target: Tensor) -> Tensor:
    """Where cumulative weights [M, n] exceed targets [M, 1], int64 [M, 1].

    Where rounding keeps them from it, the last index with a weight of its own.
    """
    last = (cumulative < cumulative[:, -1:]).sum(-1, keepdim=True)
    found = torch.searchsorted(cumulative, target, right=True)
    return torch.minimum(found, last)
