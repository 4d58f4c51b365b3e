"""Heads that look at the vocabulary: which way their encoder has to look."""

from __future__ import annotations

import warnings

from ..errors import Errors, Warnings
from ..models import ElectraConfig
from .head_model import Head
from .listener import EncoderListener
from .network_shim import NetworkShim


class MaskedHead(Head):
    """As ``Head``; warns of a checkpoint whose pieces see nothing of what follows."""

    __slots__ = ()

    def _open(self) -> None:
        super()._open()
        if self.encoder.load().network.config.is_decoder:
            warnings.warn(Warnings.SW303(source=self.encoder.source), stacklevel=2)


class CausalHead(Head):
    """As ``Head``; refuses an encoder whose pieces see what follows them."""

    __slots__ = ()

    def load(self) -> NetworkShim:
        """The shim, with weights; see ``Head``.

        Raises:
            ValueError: If the encoder is that of an ``electra`` component and no
                decoder.
        """
        shim = super().load()
        self._check_encoder()
        return shim

    def _open(self) -> None:
        encoder = self.encoder
        if isinstance(encoder, EncoderListener):
            # Reading the source would make a decoder of an upstream without weights.
            self._check_encoder()
        super()._open()
        config = ElectraConfig.from_pretrained(encoder.source)
        if not config.is_decoder:
            warnings.warn(Warnings.SW302(source=encoder.source), stacklevel=2)

    def _check_encoder(self) -> None:
        if not self.encoder.load().network.config.is_decoder:
            raise ValueError(Errors.SE386(source=self.encoder.source))
