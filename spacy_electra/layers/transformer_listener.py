"""The vectors of an `electra` component, `spacy-electra.TransformerListener.v1`."""

from __future__ import annotations

from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, reduce_mean
from thinc.types import Floats2d, Ragged


@registry.architectures("spacy-electra.TransformerListener.v1")
def make_transformer_listener(
    pooling: Model[Ragged, Floats2d] | None = None,
    grad_factor: float = 1.0,
    upstream: str = "*",
) -> Model[list[Doc], list[Floats2d]]:
    """The ``tok2vec`` of a spaCy component, from a shared ``electra``.

    It is ``spacy-transformers.TransformerListener.v1`` with a default for each
    argument, and needs that package as the component does that it listens to.

    Args:
        pooling: From the states of the pieces of each token to one vector; by default
            their mean.
        grad_factor: What gradients are multiplied by on their way to the encoder; 0
            leaves it as it is.
        upstream: Name of the component that encodes; "*" takes any.

    Returns:
        A model from Docs to one vector per token, float32 [tokens, H] for each Doc.

    Raises:
        ImportError: If spacy-transformers is not installed.
    """
    from .adapter import transformer_listener_tok2vec_v1

    # Made here: a layer that two components share would be saved in each of them.
    pooling = reduce_mean() if pooling is None else pooling
    return transformer_listener_tok2vec_v1(pooling, grad_factor, upstream)
