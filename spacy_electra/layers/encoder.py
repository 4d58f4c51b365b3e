"""The encoder over lists of Docs, `spacy-electra.Encoder.v1`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from spacy.util import registry
from thinc.api import Model

from ..errors import Errors
from ..models import ElectraConfig, ElectraModel
from ..models.precision import resolve_precision
from ..source import resolve_source
from ..tokenization import ElectraTokenizer
from ..tokenization.windows import make_windows
from .encoding import encode_texts, last_hidden
from .listener import EncoderListener
from .shim import ElectraShim, Tuning
from .types import PieceStates, Text

EncoderModel = Model[Sequence[Text], PieceStates]


@registry.architectures("spacy-electra.Encoder.v1")
def Encoder(
    source: str = "en_tiny",
    window: int = 128,
    stride: int = 96,
    max_tokens: int = 8192,
    precision: str = "auto",
    layer_decay: float = 1.0,
    frozen_layers: int = 0,
    gradient_checkpointing: bool = False,
) -> EncoderModel:
    """An ELECTRA encoder with weights of its own.

    Args:
        source: A directory, the name of a bundled checkpoint, or an id on the Hugging
            Face hub. It is read by ``nlp.initialize()``, or at first use; a saved
            pipeline holds its own weights and never looks at it again.
        window: Most pieces that attend to each other, [CLS] and [SEP] among them.
        stride: Pieces from the start of a window to that of the next.
        max_tokens: Most pieces of one forward pass; it bounds memory.
        precision: "auto" (bf16 where the device is fast in it), "fp32" or "bf16".
        layer_decay: Learning rate of a layer over that of the layer above it.
        frozen_layers: Number of layers, from the lowest, that never change; with them
            the embeddings.
        gradient_checkpointing: Whether training saves memory and takes longer.

    Returns:
        A model from Docs, or pairs of a Doc and a second text, to the states of the
        Docs' pieces. Dimension nO is the encoder's width, known once the weights are
        there.

    Raises:
        ValueError: If there is no such precision, or the windows make no sense.
    """
    resolve_precision(precision, torch.device("cpu"))
    make_windows([], window=window, stride=stride, cls_id=0, sep_id=0)
    tuning = Tuning(layer_decay, frozen_layers, gradient_checkpointing)
    return Model(
        "electra_encoder",
        _forward,
        init=_initialize,
        dims={"nO": None},
        attrs={
            "source": source,
            "window": window,
            "stride": stride,
            "max_tokens": max_tokens,
        },
        shims=[ElectraShim(last_hidden, precision, tuning)],
    )


def load_encoder(model: EncoderModel) -> ElectraShim:
    """The shim of an encoder, with weights: its own, or else those of its source.

    Raises:
        FileNotFoundError: If the source or one of its files is missing.
        ValueError: If it is no ELECTRA, or its positions are fewer than a window; or
            if the model is a listener that is not linked yet.
    """
    shim = encoder_shim(model)
    if shim.is_empty:
        holder_of(model).initialize()
    shim.move_to_default_device()
    return shim


def encoder_shim(model: EncoderModel) -> ElectraShim:
    """The shim of an encoder, or of the one that a listener listens to, as it is.

    Raises:
        ValueError: If the model is a listener that is not linked yet.
    """
    shim = holder_of(model).shims[0]
    assert isinstance(shim, ElectraShim)
    return shim


def source_of(model: EncoderModel) -> str:
    """Where the weights of an encoder come from.

    Raises:
        ValueError: If the model is a listener that is not linked yet.
    """
    attrs = holder_of(model).attrs
    # That of a TransformerModel has the name that spacy-transformers gives it.
    return str(attrs["source"] if "source" in attrs else attrs["name"])


def holder_of(model: EncoderModel) -> Model[Any, Any]:
    """The model with the weights: this one, or that which a listener listens to.

    Raises:
        ValueError: If the model is a listener that is not linked yet.
    """
    if not isinstance(model, EncoderListener):
        return model
    if model.upstream is None:
        raise ValueError(Errors.SE326(upstream=model.upstream_name))
    return model.upstream


def _initialize(model: EncoderModel, X: Any = None, Y: Any = None) -> None:
    fill_from_source(
        encoder_shim(model), model.attrs["source"], window=model.attrs["window"]
    )
    model.set_dim("nO", encoder_shim(model).network.config.hidden_size, force=True)


def fill_from_source(
    shim: ElectraShim,
    source: str,
    window: int,
    config_changes: Mapping[str, Any] | None = None,
    tokenizer_changes: Mapping[str, Any] | None = None,
) -> None:
    """Read an encoder and its tokenizer into a shim.

    Args:
        shim: Gets them.
        source: As in ``Encoder``.
        window: Most pieces that attend to each other.
        config_changes: Fields of the checkpoint's config to set otherwise.
        tokenizer_changes: Settings of its tokenizer to set otherwise.

    Raises:
        FileNotFoundError: If the source or one of its files is missing.
        ValueError: If it is no ELECTRA, or its positions are fewer than a window.
    """
    folder = resolve_source(source)
    limit = ElectraConfig.from_pretrained(folder).max_position_embeddings
    if window > limit:
        raise ValueError(Errors.SE302(window=window, limit=limit, source=source))
    tokenizer = ElectraTokenizer.from_pretrained(folder)
    if tokenizer_changes:
        settings = {**tokenizer.settings, **tokenizer_changes}
        tokenizer = ElectraTokenizer(tokenizer.vocab, **settings)
    network, _ = ElectraModel.from_pretrained_with_report(
        folder, **(config_changes or {})
    )
    shim.fill(network, network.config, tokenizer)


def _forward(
    model: EncoderModel, texts: Sequence[Text], is_train: bool
) -> tuple[PieceStates, Callable[[PieceStates], Sequence[Text]]]:
    encoded, backprop = encode_texts(model, load_encoder(model), texts, is_train)

    def backprop_texts(gradient: PieceStates) -> Sequence[Text]:
        backprop(gradient)
        return texts

    return encoded, backprop_texts
