"""Masks of dropout that two ways to compute the same have in common."""

from spacy_electra.models import dropout, training_attention, training_share


def by_shape(monkeypatch):
    """Let dropout keep the same values whenever it is asked for as many.

    What is drawn for several layers at once has as many of them as its first dimension.
    """
    drawn = dropout.keeping_bits

    def of_one(shape, p, seed=None):
        return drawn(shape, p, seed=sum(shape))

    def of_layers(shape, p, seed=None):
        return of_one(shape[1:], p).expand(shape).clone()

    for module in (dropout, training_attention):
        monkeypatch.setattr(module, "keeping_bits", of_one)
    monkeypatch.setattr(training_share, "keeping_bits", of_layers)
