"""Chunks of Docs: runs of tokens without a blank between them, and their pieces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from .batch_encoding import Integers
from .bounds import Bounds
from .chunks import FEW, ChunkCache
from .ends import heads, spread

_MOST_OF_A_HASH = 2**64 - 1


class Runs:
    """The chunks of texts, none of which goes beyond the end of its text.

    Args:
        bounds: Of the tokens of all texts.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds

    @cached_property
    def ends(self) -> Integers:
        """The token after the last of each chunk, int64 [C]."""
        counts = self.bounds.counts
        is_last = self.bounds.blanks != 0
        is_last[counts.cumsum()[counts > 0] - 1] = True
        return is_last.nonzero()[0] + 1

    @cached_property
    def firsts(self) -> Integers:
        """The first token of each chunk, int64 [C]."""
        return np.append(0, self.ends[:-1]) if len(self.ends) else self.ends

    @property
    def several(self) -> Integers:
        """Which chunks have several tokens, ascending."""
        return (self.ends - self.firsts > 1).nonzero()[0]

    def keys(self) -> list[int] | NDArray[np.uint64]:
        """The hash of each chunk, that of a single token its own."""
        orths = self.bounds.orths
        raw, width = orths.tobytes(), orths.itemsize
        if len(self.bounds.counts) == 1 and len(orths) <= FEW:
            # Of so few the list is there before NumPy has begun.
            return self._keys_of_few(raw, width)
        hashes, several = orths[self.firsts], self.several
        if len(several):
            ends = (part[several] * width for part in (self.firsts, self.ends))
            runs = zip(*(part.tolist() for part in ends), strict=True)
            hashes.view(np.int64)[several] = [hash(raw[i:j]) for i, j in runs]
        return hashes

    def _keys_of_few(self, raw: bytes, width: int) -> list[int]:
        orths, blanks = self.bounds.orths.tolist(), self.bounds.blanks.tolist()
        keys: list[int] = []
        first = 0
        for end, is_last in enumerate(blanks, start=1):
            if is_last or end == len(orths):
                own = orths[first]
                if end - first > 1:
                    own = hash(raw[first * width : end * width]) & _MOST_OF_A_HASH
                keys.append(own)
                first = end
        return keys

    def texts(self, docs: Sequence[Doc], numbers: Integers) -> list[str]:
        """The texts of some chunks, by their numbers.

        Args:
            docs: The Doc of each text.
            numbers: Of the chunks.
        """
        bounds = self.bounds
        firsts = self.firsts[numbers]
        owners = heads(bounds.counts).searchsorted(firsts, side="right") - 1
        stores = [docs[owner].vocab.strings for owner in owners.tolist()]
        orths = bounds.orths[firsts].tolist()
        texts = [store[orth] for store, orth in zip(stores, orths, strict=True)]
        for place in np.isin(numbers, self.several).nonzero()[0].tolist():
            rest = slice(firsts[place] + 1, self.ends[numbers[place]])
            strings = map(stores[place].__getitem__, bounds.orths[rest].tolist())
            texts[place] += "".join(strings)
        return texts


class ChunkRow:
    """The pieces of texts, chunk by chunk, as if the texts stood in one row.

    Args:
        docs: That of each text.
        bounds: Of the tokens of all texts.
        chunks: Knows pieces by the hashes of tokens.

    Attributes:
        ids: Of the pieces, int64 [n].
        counts: Pieces of each text, int64 [texts].
    """

    def __init__(self, docs: Sequence[Doc], bounds: Bounds, chunks: ChunkCache) -> None:
        # Whoever keeps this on a Doc must not keep the others with it.
        self._runs = runs = Runs(bounds)
        texts_of = partial(runs.texts, docs)
        self._rows, self._sizes = chunks.pieces_of(runs.keys(), texts_of)
        self.ids = self._rows[:, 0].astype(np.int64)
        if len(bounds.counts) == 1:
            self.counts = np.array([len(self.ids)])
        else:
            ends = runs.ends.searchsorted(bounds.counts.cumsum(), side="right")
            pieces = np.append(0, np.asarray(self._sizes, dtype=np.int64).cumsum())
            self.counts = np.diff(pieces[ends], prepend=0)

    def offsets(self) -> Integers:
        """In the row, where texts begin at ``Bounds.text_begins``, int64 [n, 2]."""
        runs = self._runs
        begins = spread(runs.bounds.text_begins, runs.bounds.counts)
        starts = (runs.bounds.starts + begins)[runs.firsts]
        return self._rows[:, 1:] + starts.repeat(self._sizes)[:, None]
