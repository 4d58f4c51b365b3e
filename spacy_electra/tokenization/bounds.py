"""Where the tokens of texts are, for all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

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


class Bounds(NamedTuple):
    """Where the tokens of texts are, one text after the other.

    Args:
        starts: First character of each token in its own text, int64 [n].
        sizes: Characters of each token, int64 [n].
        blanks: Which tokens a blank follows, bool [n].
        is_space: Which tokens are white space, bool [n].
        orths: Hash of each token's text, uint64 [n].
        counts: Tokens of each text, int64 [texts].
    """

    starts: Integers
    sizes: Integers
    blanks: NDArray[np.bool_]
    is_space: NDArray[np.bool_]
    orths: NDArray[np.uint64]
    counts: Integers

    def text_begins(self) -> Integers:
        """First character of each text, were they in a row, two apart, int64 [texts].

        Each has the blank after its last token with it.
        """
        if len(self.counts) == 1:
            return _ZERO
        ends = np.concatenate([[0], (self.sizes + self.blanks).cumsum()])
        sizes = np.diff(ends[np.concatenate([[0], self.counts.cumsum()])])
        return heads(sizes + 1)

    def of_texts(self, firsts: Integers, counts: Integers) -> Bounds:
        """Those of other texts: runs of these tokens.

        Args:
            firsts: First token of each, int64 [texts].
            counts: Tokens of each, int64 [texts].
        """
        tokens = np.arange(counts.sum()) + np.repeat(firsts - heads(counts), counts)
        filled = counts > 0
        starts = self.starts[tokens]
        starts -= np.repeat(self.starts[firsts[filled]], counts[filled])
        return Bounds(
            starts=starts,
            sizes=self.sizes[tokens],
            blanks=self.blanks[tokens],
            is_space=self.is_space[tokens],
            orths=self.orths[tokens],
            counts=counts,
        )


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
    if len(rows) == 1:
        (table,) = rows
    else:
        empty = np.zeros((0, len(_ATTRIBUTES)), dtype=np.uint64)
        table = np.concatenate([empty, *rows])
    orths = np.ascontiguousarray(table[:, 0])
    sizes, blanks, is_space = table[:, 1:].astype(np.int64).T
    starts = heads(sizes + blanks)
    counts = np.array([len(part) for part in rows], dtype=np.int64)
    if len(rows) > 1:
        # Where each text begins among all; one without tokens begins nowhere.
        filled = counts > 0
        starts -= np.repeat(starts[heads(counts)[filled]], counts[filled])
    return Bounds(
        starts, sizes, blanks.astype(bool), is_space.astype(bool), orths, counts
    )


def token_starts(doc: Doc) -> Integers:
    """First character of each token of a Doc, int64 [len(doc)]."""
    return bounds_of([doc]).starts
