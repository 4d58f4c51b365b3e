"""Changes to a network that is there: heads pruned, vocabulary resized."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from ..errors import Errors
from .config import ElectraConfig
from .embeddings import ElectraEmbeddings
from .encoder import Encoder, EncoderLayer


class _Encoder(Protocol):
    """What of ``ElectraModel``, which stands above, is cut here."""

    config: ElectraConfig
    embeddings: ElectraEmbeddings
    encoder: Encoder


class Surgery(nn.Module):
    """A network that can be changed, whether it has a head or not.

    Weights stay the same objects and change their shape, so that whoever shares them
    follows. Make the optimizer afterwards: what it remembers has the old shapes.
    """

    def __init__(self, config: ElectraConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def base_model(self) -> _Encoder:
        """The encoder, which is the model itself where there is no head."""
        return cast(_Encoder, getattr(self, "electra", self))

    def prune_heads(self, heads: Mapping[int, Iterable[int]]) -> None:
        """Take attention heads out, and their weights with them.

        Args:
            heads: Numbers of heads by layer, as of the whole network, both from 0.
                Those that are gone already may be among them.

        Raises:
            ValueError: If there is no such layer or head, or a layer would have none
                left; nothing has changed then.
        """
        pruned = {layer: list(gone) for layer, gone in self.config.pruned_heads.items()}
        for layer, numbers in heads.items():
            pruned[layer] = [*pruned.get(layer, ()), *numbers]
        config = replace(self.config, pruned_heads=pruned)
        for layer, gone in config.pruned_heads.items():
            module = self.base_model.encoder.layers[layer]
            cast(EncoderLayer, module).attention.prune(gone)
        self._set_config(config)

    def get_input_embeddings(self) -> nn.Embedding:
        """The word embeddings."""
        return self.base_model.embeddings.word_embeddings

    def set_input_embeddings(self, embeddings: nn.Embedding) -> None:
        """Use other word embeddings; what is tied to them, and the vocabulary, follow.

        Raises:
            ValueError: If they are not as wide as those before.
        """
        if embeddings.embedding_dim != self.config.embedding_size:
            raise ValueError(
                Errors.SE017(
                    found=embeddings.embedding_dim, expected=self.config.embedding_size
                )
            )
        config = replace(self.config, vocab_size=embeddings.num_embeddings)
        self.base_model.embeddings.word_embeddings = embeddings
        self.tie_weights()
        self._resize_output(config.vocab_size)
        self._set_config(config)

    def get_output_embeddings(self) -> nn.Linear | None:
        """The product with the vocabulary, of a head that has one."""
        return getattr(getattr(self, "head", None), "decoder", None)

    def resize_token_embeddings(self, size: int | None = None) -> nn.Embedding:
        """Make the vocabulary larger or smaller at its end.

        New rows are the mean of the old ones and some noise, so that a language model
        gives new pieces no more than their share (Hewitt, 2021). Networks that share
        these embeddings share the new rows too: call this on each of them, in any
        order, so that its output and its config follow.

        Args:
            size: Number of pieces; None changes nothing.

        Returns:
            The word embeddings.

        Raises:
            ValueError: If the size is no positive number, or the padding piece would
                be gone.
        """
        words = self.get_input_embeddings()
        if size is not None:
            config = replace(self.config, vocab_size=size)
            _resize(words.weight, size, config.initializer_range)
            words.num_embeddings = size
            self._resize_output(size)
            self._set_config(config)
        return words

    def gradient_checkpointing_enable(self) -> None:
        """Let training keep only what lies between the layers, and compute it again."""
        self.base_model.encoder.checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Let training keep everything, which is faster."""
        self.base_model.encoder.checkpointing = False

    def tie_weights(self) -> None:
        """Make one what is one; a model with a head says what."""

    def _resize_output(self, size: int) -> None:
        decoder = self.get_output_embeddings()
        if decoder is not None:
            for weight in (decoder.weight, decoder.bias):
                _resize(weight, size, self.config.initializer_range)
            decoder.out_features = size

    def _set_config(self, config: ElectraConfig) -> None:
        self.config = self.base_model.config = config


def _resize(weight: Tensor, size: int, deviation: float) -> None:
    """Cut rows off, or add some around the mean of those that are there."""
    old = weight.detach()
    if len(old) == size:
        return
    new = old[:size].clone()
    if size > len(old):
        more = old.new_empty((size - len(old), *old.shape[1:])).normal_(std=deviation)
        new = torch.cat([old, more + old.mean(0)])
    weight.data, weight.grad = new, None
