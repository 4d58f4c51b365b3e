"""The words of a corpus by their own counts, and how words of a batch are found."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..tokenization.wordpiece import ElectraTokenizer

Ints = NDArray[np.int64]
# Words of more pieces are rare, and most of them are names.
MOST_PIECES = 4
# Counts of this many pieces of the corpus order the words well enough.
_PIECES_TO_COUNT = 20_000_000
_FEWEST_OCCURRENCES = 3
UNKNOWN, PART_OF_A_WORD = -1, -2
# Words whose company is counted: what most often stands before another word.
MOST_LEADING = 100
# What stands beside these is a part of a word: "don't" is three strings of pieces.
_JOINING = ("'", "’", "-")


def ranges(starts: Ints, sizes: Ints) -> Ints:
    """The numbers from each start on, ``sizes`` of them, end to end."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - sizes), sizes)


@dataclass(frozen=True)
class Words:
    """The words of a string of pieces.

    Args:
        starts: First piece of each, int64 [W].
        sizes: Number of pieces, int64 [W].
        known: Number in the lexicon; ``UNKNOWN`` for what is not in it,
            ``PART_OF_A_WORD`` for special pieces and what stands beside an apostrophe
            or hyphen, int64 [W].
        marks: Number of a punctuation mark in the lexicon, -1 for all else, int64 [W].
    """

    starts: Ints
    sizes: Ints
    known: Ints
    marks: Ints


class Lexicon:
    """Words of up to four pieces, the most frequent ones first.

    Args:
        words: Text of each, lower or upper case as the vocabulary has it, [N].
        counts: How often each occurs, int64 [N], falling.
        pieces: Ids of each, [N].
        tokenizer: Of the vocabulary.
        pairs: What stands before what, int64 [P, 3]: a frequent word or a mark, the
            word after it, how often. Marks are numbered after the words.
    """

    def __init__(
        self,
        words: Sequence[str],
        counts: Ints,
        pieces: Sequence[Sequence[int]],
        tokenizer: ElectraTokenizer,
        pairs: Ints | None = None,
    ) -> None:
        self.words = list(words)
        self.counts = counts
        self.pieces = [list(ids) for ids in pieces]
        self.tokenizer = tokenizer
        self.continues = np.asarray(tokenizer.continuations)
        vocab = tokenizer.vocab
        self.joining = np.array(
            [vocab[text] for text in _JOINING if text in vocab], dtype=np.int64
        )
        self.special = np.array(tokenizer.all_special_ids, dtype=np.int64)
        self.marks = _punctuation(tokenizer)
        self.mark_numbers = np.full(len(self.continues), -1, dtype=np.int64)
        self.mark_numbers[self.marks] = np.arange(len(self.marks))
        none = np.zeros((0, 3), dtype=np.int64)
        self.pairs = none if pairs is None else pairs
        sizes = np.array([len(ids) for ids in self.pieces], dtype=np.int64)
        self.codes: list[Ints] = []
        self.numbers: list[Ints] = []
        for size in range(1, MOST_PIECES + 1):
            numbers = np.flatnonzero(sizes == size)
            rows = np.array([self.pieces[n] for n in numbers], dtype=np.int64)
            codes = _encode(rows.reshape(len(numbers), size), len(self.continues))
            order = np.argsort(codes)
            self.codes.append(codes[order])
            self.numbers.append(numbers[order])

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def count(
        cls, ids: NDArray[np.integer], tokenizer: ElectraTokenizer, most: int = 60_000
    ) -> Lexicon:
        """Count the words of a corpus.

        Args:
            ids: Its pieces, end to end, int [T]; the first part of them counts.
            tokenizer: Made the pieces.
            most: How many words to keep.
        """
        pieces = np.asarray(ids[:_PIECES_TO_COUNT]).astype(np.int64)
        empty = cls([], np.zeros(0, dtype=np.int64), [], tokenizer)
        found = empty.find(pieces)
        size_of_vocabulary = len(empty.continues)
        strings = tokenizer.strings
        prefix = len(tokenizer.wordpieces_prefix)
        entries: list[tuple[int, str, list[int]]] = []
        whole = found.known > PART_OF_A_WORD
        for size in range(1, MOST_PIECES + 1):
            if size_of_vocabulary**size > 2**62:
                break
            rows = found.starts[whole & (found.sizes == size), None] + np.arange(size)
            codes, counts = np.unique(
                _encode(pieces[rows], size_of_vocabulary), return_counts=True
            )
            often = counts >= _FEWEST_OCCURRENCES
            for code, number in zip(
                codes[often].tolist(), counts[often].tolist(), strict=True
            ):
                own: list[int] = []
                for _ in range(size):
                    code, piece = divmod(code, size_of_vocabulary)
                    own.insert(0, piece)
                text = strings[own[0]] + "".join(strings[p][prefix:] for p in own[1:])
                if text.isalpha():
                    entries.append((-number, text, own))
        entries.sort()
        entries = entries[:most]
        made = cls(
            [text for _, text, _ in entries],
            np.array([-number for number, _, _ in entries], dtype=np.int64),
            [own for _, _, own in entries],
            tokenizer,
        )
        made.pairs = made._count_pairs(pieces)
        return made

    def _count_pairs(self, ids: Ints) -> Ints:
        """How often a frequent word or a mark stands before a word, int64 [P, 3]."""
        found = self.find(ids)
        lead = np.where(found.known < MOST_LEADING, found.known, -1)
        lead = np.where(found.marks >= 0, len(self) + found.marks, lead)[:-1]
        after = found.known[1:]
        both = (lead >= 0) & (after >= 0)
        codes, counts = np.unique(
            lead[both] * len(self) + after[both], return_counts=True
        )
        often = counts >= _FEWEST_OCCURRENCES
        leads, words = np.divmod(codes[often], max(len(self), 1))
        return np.stack([leads, words, counts[often]], axis=1).astype(np.int64)

    def find(self, ids: Ints) -> Words:
        """The words of pieces [T], special ones a word each."""
        special = np.isin(ids, self.special)
        begins = special | ~self.continues[ids]
        begins[1:] |= special[:-1]
        begins[:1] = True
        starts = np.flatnonzero(begins)
        sizes = np.diff(np.append(starts, len(ids)))
        known = np.full(len(starts), UNKNOWN, dtype=np.int64)
        for size, (codes, numbers) in enumerate(
            zip(self.codes, self.numbers, strict=True), 1
        ):
            if not len(codes):
                continue
            at = np.flatnonzero(sizes == size)
            own = _encode(ids[starts[at, None] + np.arange(size)], len(self.continues))
            places = np.searchsorted(codes, own).clip(max=len(codes) - 1)
            hit = codes[places] == own
            known[at[hit]] = numbers[places[hit]]
        joining = np.isin(ids[starts], self.joining)
        beside = joining.copy()
        beside[1:] |= joining[:-1]
        beside[:-1] |= joining[1:]
        known[beside | special[starts]] = PART_OF_A_WORD
        marks = self.mark_numbers[ids[starts]]
        marks[(sizes > 1) | (known != UNKNOWN)] = -1
        return Words(starts, sizes, known, marks)


def _punctuation(tokenizer: ElectraTokenizer) -> Ints:
    """Ids of the pieces that are one punctuation mark, int64 [M]."""
    special = set(tokenizer.all_special_ids)
    return np.array(
        [
            number
            for number, text in enumerate(tokenizer.strings)
            if len(text) == 1
            and unicodedata.category(text).startswith("P")
            and text not in _JOINING
            and number not in special
        ],
        dtype=np.int64,
    )


def _encode(rows: Ints, vocab_size: int) -> Ints:
    """One number a word, int64 [N], for pieces [N, n]."""
    codes = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        codes = codes * vocab_size + column
    return codes
