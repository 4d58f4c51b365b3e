"""Heads over an encoder: `spacy-electra.RTD.v1`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model
from thinc.types import Floats1d, Floats2d
from thinc.util import torch2xp, xp2torch
from torch import Tensor

from ..errors import Warnings
from ..models import ElectraForPreTraining
from ..models.heads.replaced_token import ReplacedTokenHead
from .encoder import EncoderModel, encoder_shim, source_of
from .pooling import max_over_pieces
from .shim import ElectraShim
from .types import PieceStates

RTDModel = Model[list[Doc], list[Floats1d]]


@registry.architectures("spacy-electra.RTD.v1")
def RTD(encoder: EncoderModel) -> RTDModel:
    """Replaced-token detection: the logit of each token for "was replaced".

    It has room for a generator as well, so that one that trains along is saved, moved
    and updated with the rest.

    The head's weights come from the encoder's source, where it is a discriminator;
    otherwise they are new and need training.

    Args:
        encoder: From Docs to the states of their pieces; with an ``EncoderListener``
            the encoder is that of an ``electra`` component.

    Returns:
        A model from Docs to one float32 array a Doc: the largest logit among the
        pieces of each token, minus infinity for a token without pieces.
    """
    return Model(
        "electra_rtd",
        _forward,
        init=_initialize,
        layers=[encoder],
        attrs={"piece_counts": None},
        shims=[ElectraShim(_run), ElectraShim(_run)],
    )


def encoder_of(model: RTDModel) -> EncoderModel:
    """The encoder below the head."""
    # Not a reference: Thinc's copy() loses those.
    return model.layers[0]


def head_shim(model: RTDModel) -> ElectraShim:
    """The shim of the head, as it is."""
    shim = model.shims[0]
    assert isinstance(shim, ElectraShim)
    return shim


def generator_shim(model: RTDModel) -> ElectraShim:
    """The shim of the generator, which is empty but where RTD is pretrained."""
    shim = model.shims[1]
    assert isinstance(shim, ElectraShim)
    return shim


def load_head(model: RTDModel) -> ElectraShim:
    """The shim of the head, with weights: its own, or else those of the source."""
    shim = head_shim(model)
    # Not before: until it is linked, a listener does not know.
    shim.precision = encoder_shim(encoder_of(model)).precision
    if shim.is_empty:
        _initialize_head(model)
    shim.move_to_default_device()
    return shim


def _run(network: ReplacedTokenHead, states: Tensor) -> Tensor:
    logits: Tensor = network(states)
    return logits


def _initialize(model: RTDModel, X: Any = None, Y: Any = None) -> None:
    encoder_of(model).initialize()
    _initialize_head(model)


def _initialize_head(model: RTDModel) -> None:
    source = source_of(encoder_of(model))
    with torch.random.fork_rng(devices=[]):
        network, report = ElectraForPreTraining.from_pretrained_with_report(source)
    new = [name for name in report.newly_initialized if name.startswith("head.")]
    if new:
        warnings.warn(Warnings.SW300(source=source), stacklevel=2)
    head_shim(model).fill(network.head, network.config)


def _forward(
    model: RTDModel, docs: list[Doc], is_train: bool
) -> tuple[list[Floats1d], Callable[[list[Floats1d]], list[Doc]]]:
    encoder = encoder_of(model)
    encoded, backprop_encoder = encoder(docs, is_train)
    shim = load_head(model)
    states = xp2torch(encoded.states, requires_grad=is_train, device=shim.device)
    logits, backprop_head = shim(states, is_train)
    values = logits.detach().cpu().numpy()
    largest, rows = max_over_pieces(values, encoded.pieces, empty=-np.inf)
    ends = np.cumsum([len(doc) for doc in docs])
    scores = cast(list[Floats1d], np.split(largest, ends[:-1]) if docs else [])

    def backprop(gradients: list[Floats1d]) -> list[Doc]:
        flat = np.concatenate([model.ops.to_numpy(part) for part in gradients])
        of_pieces = np.zeros_like(values)
        np.add.at(of_pieces, rows[rows >= 0], flat[rows >= 0])
        backprop_head(torch.from_numpy(of_pieces).to(logits.device))
        assert states.grad is not None
        gradient = PieceStates(
            states=cast(Floats2d, torch2xp(states.grad)),
            cls_states=model.ops.alloc2f(*encoded.cls_states.shape),
            windows_per_doc=encoded.windows_per_doc,
            pieces=encoded.pieces,
        )
        return backprop_encoder(gradient)

    return scores, backprop
