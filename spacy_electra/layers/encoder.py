"""The encoder over lists of Docs, `spacy-electra.Encoder.v1`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from spacy.util import registry

from ..errors import Errors
from ..models import ElectraConfig, ElectraModel
from ..models.heads import HeadModel
from ..models.pretrained import LoadReport
from ..source import bundled_language, resolve_source
from ..tokenization import ElectraTokenizer
from .encoding import EncoderSettings, Network, WithEncoder, encode_texts
from .types import PieceStates, Text


@registry.architectures("spacy-electra.Encoder.v1")
def Encoder(
    source: str = "en_tiny",
    window: int = EncoderSettings.window,
    stride: int = EncoderSettings.stride,
    max_tokens: int = EncoderSettings.max_tokens,
    precision: str = EncoderSettings.precision,
    layer_decay: float = EncoderSettings.layer_decay,
    frozen_layers: int = EncoderSettings.frozen_layers,
    gradient_checkpointing: bool = EncoderSettings.gradient_checkpointing,
    tokenizer_config: dict[str, Any] = {},  # noqa: B006
) -> EncoderModel:
    """An ELECTRA encoder with weights of its own.

    Args:
        source: A directory, the name of a bundled checkpoint, or an id on the Hugging
            Face hub, "owner/name" or "owner/name@revision". It is read by
            ``nlp.initialize()``, or at first use; a saved pipeline holds its own
            weights and never looks at it again.
        window: Most pieces that attend to each other, [CLS] and [SEP] among them.
        stride: Pieces from the start of a window to that of the next.
        max_tokens: Most pieces of one forward pass; it bounds memory.
        precision: "auto" (bf16 where the device is fast in it), "fp32", "bf16", or
            "int8" (on a CPU, where nothing is learned; all else is as with "auto").
        layer_decay: Learning rate of a layer over that of the layer above it.
        frozen_layers: Number of layers, from the lowest, that never change; with them
            the embeddings.
        gradient_checkpointing: Whether training saves memory and takes longer.
        tokenizer_config: Settings of ``ElectraTokenizer`` to set otherwise, such as
            ``words = "spacy"`` for a checkpoint that wants the words of a Japanese
            pipeline.

    Returns:
        A model from Docs, or pairs of a Doc and a second text, to the states of the
        Docs' pieces. Dimension nO is the encoder's width, known once the weights are
        there.

    Raises:
        ValueError: If there is no such precision, or the windows make no sense.
    """
    settings = EncoderSettings(
        window=window,
        stride=stride,
        max_tokens=max_tokens,
        precision=precision,
        layer_decay=layer_decay,
        frozen_layers=frozen_layers,
        gradient_checkpointing=gradient_checkpointing,
    )
    return EncoderModel(
        "electra_encoder",
        encode_texts,
        init=_initialize,
        dims={"nO": None},
        attrs={
            "source": source,
            "tokenizer_config": dict(tokenizer_config),
            **settings.attrs,
        },
        shims=[settings.shim()],
    )


class EncoderModel(WithEncoder[Sequence[Text], PieceStates]):
    """From texts to the states of their pieces, by weights of its own."""

    __slots__ = ()

    def open(self, cls: type[Network]) -> tuple[Network, LoadReport]:
        """Read the source as a model; see ``WithEncoder``."""
        changes = self.attrs["tokenizer_config"]
        return open_source(self, cls, self.attrs["window"], tokenizer_changes=changes)


def _initialize(model: EncoderModel, X: Any = None, Y: Any = None) -> None:
    model.forget()
    model.open(ElectraModel)
    if X is not None:
        model.calibrate(X)


def open_source(
    model: WithEncoder[Any, Any],
    cls: type[Network],
    window: int,
    config_changes: Mapping[str, Any] | None = None,
    tokenizer_changes: Mapping[str, Any] | None = None,
) -> tuple[Network, LoadReport]:
    """What ``WithEncoder.open`` does for a model with a source.

    Args:
        model: Its shim takes the encoder, and a tokenizer, if it is empty.
        cls: What to read the source as.
        window: Most pieces that attend to each other.
        config_changes: Fields of the checkpoint's config to set otherwise.
        tokenizer_changes: Settings of its tokenizer to set otherwise.

    Raises:
        FileNotFoundError: If the source or one of its files is missing.
        ValueError: If it is no ELECTRA, or its positions are fewer than a window.
    """
    folder = resolve_source(model.source, wanted="checkpoint", key=model.source_key)
    limit = ElectraConfig.from_pretrained(folder).max_position_embeddings
    if window > limit:
        raise ValueError(Errors.SE302(window=window, limit=limit, source=model.source))
    # Weights that the source lacks must not depend on how often it was read before.
    with torch.random.fork_rng(devices=[]):
        network, report = cls.from_pretrained_with_report(
            folder, **(config_changes or {})
        )
    if model.shim.is_empty:
        tokenizer = ElectraTokenizer.from_pretrained(
            folder, **(tokenizer_changes or {})
        )
        tokenizer.check_fits(network.config.vocab_size, model.source)
        encoder = network.electra if isinstance(network, HeadModel) else network
        model.shim.fill(encoder, network.config, tokenizer)
        # Callers keep no more of what was read than its head.
        model.shim.is_lent = False
        model.shim.source_language = (model.source, bundled_language(folder))
        model.set_dim("nO", network.config.hidden_size, force=True)
    return network, report
