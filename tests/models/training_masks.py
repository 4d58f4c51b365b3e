"""Masks of dropout that two ways to compute the same have in common."""

import math

from spacy_electra.models import dropout
from spacy_electra.models.training import attention, share


def by_size(monkeypatch):
    """Let dropout keep the same values whenever it is asked for as many."""
    drawn = dropout.keeping_bits

    def of_one(shape, p, seed=None):
        number = math.prod(shape)
        return drawn((number,), p, seed=number).view(*shape)

    for module in (dropout, attention):
        monkeypatch.setattr(module, "keeping_bits", of_one)
    monkeypatch.setattr(
        share,
        "_drawn",
        lambda sizes, p, _: [of_one((size,), p) if p else None for size in sizes],
    )
