"""The registered architectures of heads over an encoder."""

from __future__ import annotations

from typing import cast

from spacy.util import registry

from ..models import ElectraForMaskedLM, ElectraForPreTraining
from .encoding import AnyEncoder
from .head import Head
from .network_shim import NetworkShim
from .units import LARGEST_PIECE


@registry.architectures("spacy-electra.RTD.v1")
def RTD(encoder: AnyEncoder) -> Head:
    """Replaced-token detection: the logit of each token for "was replaced".

    A second shim holds the generator during pretraining, so that Thinc saves, moves and
    updates it too.

    Args:
        encoder: From texts to the states of their pieces; with an ``EncoderListener``
            the encoder is that of an ``electra`` component.

    Returns:
        A model from Docs to one float32 array per Doc: the largest logit among the
        pieces of each token, minus infinity for a token without pieces.
    """
    return Head(
        "electra_rtd",
        encoder,
        ElectraForPreTraining,
        LARGEST_PIECE,
        kind="discriminator",
        attrs={"piece_counts": None},
        shims=[NetworkShim(ElectraForMaskedLM, "generator")],
    )


def generator_shim(model: Head) -> NetworkShim:
    """The shim of the generator, which is empty but where RTD is pretrained."""
    return cast(NetworkShim, model.shims[1])
