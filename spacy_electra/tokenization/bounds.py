"""Where the tokens of texts are, for all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import IS_SPACE, LENGTH, ORTH, SPACY
from spacy.tokens import Doc

from .batch_encoding import Integers
from .ends import heads

_ATTRIBUTES = [ORTH, LENGTH, SPACY, IS_SPACE]
_ZERO = np.zeros(1, dtype=np.int64)
_Remembered = dict[tuple[int, ...], tuple["Bounds", list[Doc]]]
_remembered: ContextVar[_Remembered | None] = ContextVar("bounds", default=None)


class Bounds:
    """Where the tokens of texts are, one text after the other.

    What follows from spaCy's attributes is found when somebody asks: for the pieces of
    a text that comes alone little of it is needed before the network has run.

    Args:
        table: What spaCy says of each token, its hash, length, whether a blank follows,
            and whether it is white space, uint64 [n, 4].
        counts: Tokens of each text, int64 [texts].
    """

    def __init__(self, table: NDArray[np.uint64], counts: Integers) -> None:
        self.counts = counts
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    @property
    def orths(self) -> NDArray[np.uint64]:
        """Hash of each token's text, uint64 [n]."""
        return self._table[:, 0]

    @cached_property
    def sizes(self) -> Integers:
        """Characters of each token, int64 [n]."""
        return self._table[:, 1].astype(np.int64)

    @property
    def blanks(self) -> NDArray[np.uint64]:
        """1 for a token that a blank follows, 0 for others, uint64 [n]."""
        return self._table[:, 2]

    @property
    def is_space(self) -> NDArray[np.bool_]:
        """Which tokens are white space, bool [n]."""
        return self._table[:, 3] != 0

    @cached_property
    def starts(self) -> Integers:
        """First character of each token in its own text, int64 [n]."""
        starts = heads(self.sizes + self.blanks.astype(np.int64))
        if len(self.counts) > 1:
            # Where each text begins among all; one without tokens begins nowhere.
            filled = self.counts > 0
            begins = heads(self.counts)[filled]
            starts -= np.repeat(starts[begins], self.counts[filled])
        return starts

    @cached_property
    def text_begins(self) -> Integers:
        """First character of each text, were they in a row, two apart, int64 [texts].

        Each has the blank after its last token with it.
        """
        if len(self.counts) == 1:
            return _ZERO
        lengths = self.sizes + self.blanks.astype(np.int64)
        ends = np.concatenate([[0], lengths.cumsum()])
        sizes = np.diff(ends[np.concatenate([[0], self.counts.cumsum()])])
        return heads(sizes + 1)

    def of_texts(self, firsts: Integers, counts: Integers) -> Bounds:
        """Those of other texts: runs of these tokens.

        Args:
            firsts: First token of each, int64 [texts].
            counts: Tokens of each, int64 [texts].
        """
        tokens = np.arange(counts.sum()) + np.repeat(firsts - heads(counts), counts)
        return Bounds(self._table[tokens], counts)


@contextmanager
def bounds_remembered() -> Iterator[None]:
    """Within it, the tokens of the same Docs are looked up only once.

    So nobody may change Docs there. spaCy copies the attributes of each Doc's tokens,
    which takes as long as it takes to find all their pieces.
    """
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def bounds_of(docs: Sequence[Doc]) -> Bounds:
    """Where the tokens of Docs are."""
    remembered = _remembered.get()
    if remembered is None:
        return _bounds_of(docs)
    key = tuple(map(id, docs))
    if key not in remembered:
        # With the Docs, so that none of another one gets its place in memory.
        remembered[key] = _bounds_of(docs), list(docs)
    return remembered[key][0]


def _bounds_of(docs: Sequence[Doc]) -> Bounds:
    # spaCy's types have floats there.
    rows: list[Any] = [doc.to_array(_ATTRIBUTES) for doc in docs]
    counts = np.array([*map(len, rows)], dtype=np.int64)
    if len(rows) == 1:
        return Bounds(rows[0], counts)
    empty = np.zeros((0, len(_ATTRIBUTES)), dtype=np.uint64)
    return Bounds(np.concatenate([empty, *rows]), counts)


def token_starts(doc: Doc) -> Integers:
    """First character of each token of a Doc, int64 [len(doc)]."""
    return bounds_of([doc]).starts
