"""One vector for each token of a Doc, from the states of its pieces."""

from __future__ import annotations

from typing import cast

from spacy.tokens import Doc
from thinc.api import get_array_module
from thinc.types import Floats2d

from ..errors import Errors


def token_vectors(doc: Doc) -> Floats2d:
    """One vector a token: the mean of the states of its pieces.

    Args:
        doc: Annotated by an ``electra`` or a ``transformer`` component.

    Returns:
        float32 [tokens, H]; zeros for white space. Where ``doc._.trf_data`` is gone,
        ``doc.tensor``, if that was set.

    Raises:
        ValueError: If neither is there.
    """
    data = doc._.trf_data if Doc.has_extension("trf_data") else None
    if data is None or "last_hidden_state" not in data.model_output:
        if len(doc.tensor) == len(doc) and doc.tensor.ndim == 2:
            return cast(Floats2d, doc.tensor)
        raise ValueError(Errors.SE360())
    states = data.model_output.last_hidden_state
    xp = get_array_module(states)
    lengths = xp.asarray(data.align.lengths)
    rows = states.reshape(-1, states.shape[-1])[xp.asarray(data.align.dataXd).ravel()]
    vectors = xp.zeros((len(doc), states.shape[-1]), dtype="f")
    filled = lengths > 0
    if bool(filled.any()):
        ends = xp.cumsum(lengths)[filled]
        sums = xp.cumsum(rows.astype("d"), axis=0)[ends - 1]
        sums[1:] -= sums[:-1].copy()
        vectors[filled] = sums / lengths[filled][:, None]
    return cast(Floats2d, vectors)
