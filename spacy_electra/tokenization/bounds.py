"""Where the tokens of texts are, for all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import IS_SPACE, LENGTH, ORTH, SPACY
from spacy.tokens import Doc

from .batch_encoding import Integers

_ATTRIBUTES = [ORTH, LENGTH, SPACY, IS_SPACE]


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

    def text_sizes(self) -> Integers:
        """Characters of each text, with the blank after it, int64 [texts]."""
        ends = np.concatenate([[0], (self.sizes + self.blanks).cumsum()])
        return np.diff(ends[np.concatenate([[0], self.counts.cumsum()])])

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


def bounds_of(docs: Sequence[Doc]) -> Bounds:
    """Where the tokens of Docs are."""
    rows = [doc.to_array(_ATTRIBUTES) for doc in docs]
    table = np.concatenate([np.zeros((0, len(_ATTRIBUTES)), dtype=np.uint64), *rows])
    orths = np.ascontiguousarray(table[:, 0])
    sizes, blanks, is_space = table[:, 1:].astype(np.int64).T
    starts = heads(sizes + blanks)
    counts = np.array([len(part) for part in rows], dtype=np.int64)
    # Where each text begins among all; one without tokens begins nowhere.
    filled = counts > 0
    starts -= np.repeat(starts[heads(counts)[filled]], counts[filled])
    return Bounds(
        starts, sizes, blanks.astype(bool), is_space.astype(bool), orths, counts
    )


def heads(sizes: Integers) -> Integers:
    """Where the parts of these sizes begin, end to end."""
    return sizes.cumsum() - sizes


def token_starts(doc: Doc) -> Integers:
    """First character of each token of a Doc, int64 [len(doc)]."""
    return bounds_of([doc]).starts
