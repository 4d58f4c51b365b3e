"""Token vectors for any component, `spacy-electra.Tok2Vec.v1`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, chain, reduce_mean
from thinc.types import Floats2d, Ints1d, Ragged

from .types import PieceStates
from .units import rows_of_tokens

Tok2VecModel = Model[list[Doc], list[Floats2d]]


@registry.architectures("spacy-electra.Tok2Vec.v1")
def Tok2Vec(
    encoder: Model[list[Doc], PieceStates],
    pooling: Model[Ragged, Floats2d] | None = None,
    grad_factor: float = 1.0,
) -> Tok2VecModel:
    """The ``tok2vec`` of any spaCy component.

    Args:
        encoder: ``spacy-electra.Encoder.v1`` for weights of the component's own, or
            ``spacy-electra.EncoderListener.v1`` for those of an ``electra`` component.
        pooling: From the states of the pieces of each token to one vector; by default
            their mean.
        grad_factor: What gradients are multiplied by on their way to the encoder; 0
            leaves it as it is.

    Returns:
        A model from Docs to one vector a token, float32 [tokens, H] a Doc.
    """
    pooling = reduce_mean() if pooling is None else pooling
    return chain(encoder, pool_pieces(pooling, grad_factor))


def pool_pieces(
    pooling: Model[Ragged, Floats2d], grad_factor: float
) -> Model[PieceStates, list[Floats2d]]:
    """From the states of pieces to vectors of tokens."""
    return Model(
        "pool_pieces",
        _forward,
        init=_initialize,
        layers=[pooling],
        attrs={"grad_factor": grad_factor},
    )


def _initialize(model: Model[Any, Any], X: Any = None, Y: Any = None) -> None:
    model.layers[0].initialize()


def _forward(
    model: Model[PieceStates, list[Floats2d]], encoded: PieceStates, is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], PieceStates]]:
    ops = model.ops
    rows, lengths = rows_of_tokens(encoded.pieces)
    rows_xp = ops.asarray1i(cast(Ints1d, rows))
    ragged = Ragged(encoded.states[rows_xp], ops.asarray1i(cast(Ints1d, lengths)))
    if len(rows):
        pooled, backprop_pooling = model.layers[0](ragged, is_train)
    else:
        # Thinc's reductions lose the width of a batch without any pieces.
        pooled = ops.alloc2f(len(lengths), encoded.states.shape[1])
    counts = [len(part.alignment.lengths) for part in encoded.pieces]
    ends = np.cumsum(counts)[:-1].tolist()
    vectors = ops.xp.split(pooled, ends) if counts else []

    def backprop(gradients: list[Floats2d]) -> PieceStates:
        states = ops.alloc2f(*encoded.states.shape)
        if len(rows):
            flat = ops.xp.concatenate(gradients)
            of_rows = backprop_pooling(flat).dataXd * model.attrs["grad_factor"]
            ops.scatter_add(states, rows_xp, of_rows)
        return encoded.gradient(states)

    return vectors, backprop
