"""Errors that people and machines make, by name: what takes the place of a word.

They work on whole words of a batch and not, as the samplers of ``samplers.py``, at
masked pieces: a misspelling has other pieces than the word, and more of them; a word
that was left out has none. So a batch is rebuilt, and the labels with it. Everything
that needs text (which words are alike, what a misspelling looks like, how it is cut
into pieces) is put into tables once; a step only looks up numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..models import PackedBatch
from .error_tables import (
    FUNCTION_WORDS,
    TABLES,
    Table,
    leading_marks,
    leading_words,
    other_marks,
)
from .lexicon import PART_OF_A_WORD, Ints, Lexicon, Words, ranges
from .misspellings import VARIANTS, listed, spelled, variants

# Words that people leave out or repeat without noticing, by their rank.
MOST_SLIPPED = 200
# Standard deviation of the logarithm of the factor by which a word's rank moves.
_SPREAD = 0.5
# Words that are put where none belongs are frequent ones: the power of their counts.
_NEEDLESS = 0.75
# Draws for another word than the one that stands there.
_TRIES = 4
# Punctuation marks are wrong about half as often as words: in what learners of English
# write (REALEC, development part) 5 % of them and 9 % of the words.
_MARKS_WRONG = 0.5


@dataclass(frozen=True)
class Changed:
    """A batch with errors in it.

    Args:
        batch: The batch; its sequences keep their order but not their lengths.
        labels: Whether a piece is an error, bool [T].
        rows: Pieces that stand in the place of one of the original, int64 [M].
        originals: What stood there, int64 [M].
        kinds: Number of the kind of error, in the order of the weights, -1 where there
            is none, int64 [T].
    """

    batch: PackedBatch
    labels: torch.Tensor
    rows: torch.Tensor
    originals: torch.Tensor
    kinds: torch.Tensor


class ErrorMixture:
    """Puts errors of several kinds into a batch.

    Of each sequence a share of the words is wrong, drawn between 0 and
    ``largest_share``, so that the discriminator sees clean text too. A word of which
    there is no error of the kind drawn gets one of another kind.

    All pieces of a wrong word are labelled. For a word that was left out the one after
    it is; of a doubled word the second one; of two words in the wrong order both.
    Punctuation is treated alike: a mark is another one, is left out, or stands before
    a word that follows such a mark elsewhere.

    Args:
        lexicon: Words of the corpus.
        weights: How often each kind occurs beside the others, by name: of ``KINDS``.
        largest_share: Of the words of a sequence.
        misspellings: For the kind "misspelling", those of each word.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        weights: Mapping[str, float],
        largest_share: float,
        misspellings: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.lexicon = lexicon
        self.kinds = tuple(weights)
        self.weights = np.array([weights[kind] for kind in self.kinds])
        self.largest_share = largest_share
        pieces = list(lexicon.pieces)
        self.tables: dict[str, Table] = {}
        for kind in self.kinds:
            if kind in TABLES:
                self.tables[kind] = TABLES[kind](lexicon)
            elif kind in VARIANTS:
                self.tables[kind] = spelled(lexicon, variants(lexicon, kind), pieces)
            elif kind == "misspelling":
                made = listed(lexicon, misspellings or {})
                self.tables[kind] = spelled(lexicon, made, pieces)
        self.leads = leading_words(lexicon)
        self.before = leading_marks(lexicon)
        self.other_marks = other_marks(lexicon)
        self.first_mark = len(pieces)
        pieces += [[mark] for mark in lexicon.marks.tolist()]
        self.entry_sizes = np.array([len(ids) for ids in pieces], dtype=np.int64)
        self.entry_starts = np.cumsum(self.entry_sizes) - self.entry_sizes
        self.entry_pieces = np.array(
            [piece for ids in pieces for piece in ids], dtype=np.int64
        )
        frequent = lexicon.counts[:FUNCTION_WORDS] ** _NEEDLESS
        self.needless = np.cumsum(frequent) / max(frequent.sum(), 1.0)

    def __call__(self, batch: PackedBatch, random: torch.Generator) -> Changed:
        """Put errors into a batch.

        Args:
            batch: On the CPU.
            random: Decides; its state alone determines the outcome.
        """
        seed = int(torch.randint(2**62, (), generator=random))
        draws = np.random.default_rng(seed)
        ids = batch.input_ids.numpy()
        lengths = np.array(batch.lengths, dtype=np.int64)
        words = self.lexicon.find(ids)
        sequence = np.repeat(np.arange(len(lengths)), lengths)[words.starts]
        shares = draws.random(len(lengths)) * self.largest_share
        drawn = draws.random(len(words.starts))
        chosen = (drawn < shares[sequence]) & (words.known >= 0)
        if "punctuation" in self.kinds:
            few = drawn < shares[sequence] * _MARKS_WRONG
            chosen |= few & (words.marks >= 0)
        places = np.flatnonzero(chosen)
        kind = np.full(len(words.starts), -1, dtype=np.int64)
        kind[places] = self._draw_kinds(words, places, draws)
        parts = self._parts(words, kind, draws)
        return self._rebuilt(ids, words.starts, sequence, parts)

    def _draw_kinds(
        self, words: Words, places: Ints, draws: np.random.Generator
    ) -> Ints:
        """A kind of error for each place that can have one, else -1, int64 [n]."""
        own, is_mark = words.known[places], words.marks[places] >= 0
        following = words.known[np.minimum(places + 1, len(words.known) - 1)]
        is_chosen = np.zeros(len(words.known), dtype=bool)
        is_chosen[places] = True
        free = _next_is_right(words, places, is_chosen)
        before = np.maximum(places - 1, 0)
        inside = (words.known[before] != PART_OF_A_WORD) & (words.marks[before] < 0)
        possible = np.ones((len(places), len(self.kinds)), dtype=bool)
        for column, kind in enumerate(self.kinds):
            if kind in self.tables:
                possible[:, column] = self.tables[kind].has(own)
            elif kind in ("omission", "doubling"):
                possible[:, column] = own < MOST_SLIPPED
            elif kind == "needless":
                possible[:, column] = self.leads.has(own)
            elif kind == "lead":
                leads = self.leads.has(following) & (following >= 0)
                possible[:, column] = leads & (own < FUNCTION_WORDS)
            if kind in ("omission", "order", "lead"):
                possible[:, column] &= free
            if kind == "order":
                possible[:, column] &= (following >= 0) & (following != own)
            if kind == "punctuation":
                marks = is_mark & self.other_marks.has(words.marks[places])
                possible[:, column] = marks | (self.before.has(own) & inside)
            else:
                possible[:, column] &= ~is_mark
        cumulative = np.cumsum(possible * self.weights, axis=1)
        target = draws.random(len(places)) * cumulative[:, -1]
        kinds = (cumulative <= target[:, None]).sum(axis=1)
        return np.where(cumulative[:, -1] > 0, kinds, -1)

    def _parts(self, words: Words, kind: Ints, draws: np.random.Generator) -> _Parts:
        """What the new batch is put together from, one part a word, or two."""
        starts, new_sizes, mark = words.starts.copy(), words.sizes.copy(), kind.copy()
        # Entries come after the pieces of the batch.
        base = int(words.sizes.sum())
        twice = np.zeros(len(starts), dtype=bool)
        order = np.zeros(0, dtype=np.int64)
        # What is put before a word, by its number in the list of entries.
        put = np.full(len(starts), -1, dtype=np.int64)
        for number, name in enumerate(self.kinds):
            places = np.flatnonzero(kind == number)
            left_out = np.zeros(0, dtype=np.int64)
            if name == "punctuation":
                is_mark = words.marks[places] >= 0
                unmarked, places = places[~is_mark], places[is_mark]
                drawn = self.before.draw(words.known[unmarked], draws)
                put[unmarked] = self.first_mark + drawn
                free = _next_is_right(words, places, kind >= 0)
                free &= draws.random(len(places)) < 0.5
                left_out, places = places[free], places[~free]
            if name in NEEDLESS:
                put[places] = self._draw_needless(name, words.known[places], draws)
            elif name == "doubling":
                twice[places] = True
                mark[places] = -1
            elif name == "order":
                mark[places + 1] = number
                order = places
            elif name == "omission":
                left_out = places
            else:
                entries = self._draw_entries(name, words, places, draws)
                starts[places] = base + self.entry_starts[entries]
                new_sizes[places] = self.entry_sizes[entries]
                # Where chance has put what stood there it is no error.
                mark[places[entries == words.known[places]]] = -1
            new_sizes[left_out] = 0
            mark[left_out] = -1
            mark[left_out + 1] = number
        needless = np.flatnonzero(put >= 0)
        twice[needless] = True
        mark[needless] = -1
        word = np.repeat(np.arange(len(starts)), 1 + twice)
        second = np.zeros(len(word), dtype=bool)
        second[1:] = word[1:] == word[:-1]
        marks = mark[word]
        marks[second] = kind[word[second]]
        # Where a word gave way to one of as many pieces, what stood there is known.
        same = (mark == kind) & (kind >= 0) & (new_sizes == words.sizes)
        same[order] = False
        starts, new_sizes = starts[word], new_sizes[word]
        # The word that is too many stands before the one that belongs.
        extra = np.searchsorted(word, needless)
        starts[extra] = base + self.entry_starts[put[needless]]
        new_sizes[extra] = self.entry_sizes[put[needless]]
        marks[extra], marks[extra + 1] = marks[extra + 1], -1
        at = np.arange(len(word))
        early = np.searchsorted(word, order)
        at[early], at[early + 1] = early + 1, early
        return _Parts(word[at], starts[at], new_sizes[at], marks[at], same[word[at]])

    def _draw_needless(
        self, kind: str, words: Ints, draws: np.random.Generator
    ) -> Ints:
        """What is put before each word, int64 [n]."""
        if kind == "needless":
            return self.leads.draw(words, draws)
        return np.searchsorted(self.needless, draws.random(len(words)))

    def _draw_entries(
        self, kind: str, found: Words, places: Ints, draws: np.random.Generator
    ) -> Ints:
        """What takes the place of each word or mark, int64 [n]."""
        words = found.known[places]
        if kind in self.tables:
            return self.tables[kind].draw(words, draws)
        if kind == "punctuation":
            return self.first_mark + self.other_marks.draw(found.marks[places], draws)
        if kind == "lead":
            entries = self.leads.draw(found.known[places + 1], draws)
            for _ in range(_TRIES):
                same = np.flatnonzero(entries == words)
                entries[same] = self.leads.draw(found.known[places[same] + 1], draws)
            return entries
        # Moves along the order of frequency; the constant lets the first ones move.
        factor = np.exp(draws.standard_normal(len(words)) * _SPREAD)
        moved = np.rint((words + 10) * factor - 10).astype(np.int64)
        moved = moved.clip(0, len(self.lexicon) - 1)
        aside = np.where(words + 1 < len(self.lexicon), words + 1, words - 1)
        return np.where(moved == words, aside, moved)

    def _rebuilt(
        self, ids: Ints, first: Ints, sequence: Ints, parts: _Parts
    ) -> Changed:
        pool = np.concatenate([ids, self.entry_pieces])
        taken = pool[ranges(parts.starts, parts.sizes)]
        kinds = np.repeat(parts.marks, parts.sizes)
        lengths = np.bincount(sequence[parts.words], weights=parts.sizes)
        lengths = lengths.astype(np.int64)
        # The original pieces of words that are replaced one for one.
        rows = np.flatnonzero(np.repeat(parts.same, parts.sizes))
        originals = ids[ranges(first[parts.words[parts.same]], parts.sizes[parts.same])]
        positions = ranges(np.zeros(len(lengths), dtype=np.int64), lengths)
        new = torch.from_numpy(taken)
        batch = PackedBatch(
            input_ids=new,
            token_type_ids=torch.zeros_like(new),
            position_ids=torch.from_numpy(positions),
            lengths=lengths.tolist(),
        )
        return Changed(
            batch=batch,
            labels=torch.from_numpy(kinds >= 0),
            rows=torch.from_numpy(rows),
            originals=torch.from_numpy(originals),
            kinds=torch.from_numpy(kinds),
        )


@dataclass(frozen=True)
class _Parts:
    """Parts of a new batch, in order.

    Args:
        words: The word that each comes from, int64 [P].
        starts: Where its pieces begin, in the batch or after it, int64 [P].
        sizes: How many there are, int64 [P].
        marks: Kind of error, -1 for none, int64 [P].
        same: Whether it takes the place of as many other pieces, bool [P].
    """

    words: Ints
    starts: Ints
    sizes: Ints
    marks: Ints
    same: NDArray[np.bool_]


def _next_is_right(
    words: Words, places: Ints, is_wrong: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether the word that can be marked for each place is there, and right."""
    after = np.minimum(places + 1, len(words.known) - 1)
    return (words.known[after] != PART_OF_A_WORD) & ~is_wrong[after]


# Put before a word: any frequent word, or one that often stands there.
NEEDLESS = ("insertion", "needless")
# Words of like frequency, and what can be done to a word itself.
KINDS = (
    "word",
    *TABLES,
    *VARIANTS,
    "misspelling",
    "lead",
    "omission",
    "doubling",
    *NEEDLESS,
    "order",
    "punctuation",
)
