"""An encoder inside a Thinc model: with its tokenizer, and how it is fine-tuned."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from thinc.api import Optimizer
from torch import Tensor, nn

from ..checkpoints import from_int8_rows, to_int8_rows
from ..errors import Errors, Warnings
from ..models import ElectraConfig, ElectraModel, PackedBatch
from ..models.inference import ROWS_PER_PASS, InferenceEncoder, can_infer
from ..models.int8 import Int8Encoder, can_quantize
from ..models.precision import INT8, PRECISIONS, resolve_precision
from ..tokenization import ElectraTokenizer
from ..tokenization.alignment import Pieces, joined
from .freed_memory import keep_freed_memory
from .network_shim import NetworkShim, Run, Weights
from .weight_watch import WeightWatch

# Above it, fine-tuning a pretrained encoder usually ruins it (Clark et al., 2020, table
# 7, tune between 5e-5 and 3e-4).
HIGHEST_LEARN_RATE = 3e-4

# A schedule that is set to that rate may compute a hair more.
_RUINOUS = HIGHEST_LEARN_RATE * 1.001


@dataclass(frozen=True)
class Tuning:
    """How an encoder is fine-tuned.

    Args:
        layer_decay: Learning rate of a layer over that of the layer above it; the
            embeddings stand below the first (Clark et al., 2020, section 3.1).
        frozen_layers: Number of layers, from the lowest, that never change; with them
            the embeddings.
        gradient_checkpointing: Whether training keeps the input of each layer alone
            and computes the rest again on the way back: less memory, a third more
            time.

    Raises:
        ValueError: If a value can't be; the message names it.
    """

    layer_decay: float = 1.0
    frozen_layers: int = 0
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.layer_decay <= 1.0:
            requirement = "above 0 and at most 1"
            raise ValueError(
                Errors.SE003(
                    name="layer_decay", requirement=requirement, value=self.layer_decay
                )
            )
        if self.frozen_layers < 0:
            raise ValueError(
                Errors.SE003(
                    name="frozen_layers",
                    requirement="0 or more",
                    value=self.frozen_layers,
                )
            )


class _Inference(NamedTuple):
    """What stands in for a network where nothing is learned.

    Args:
        key: The precision and the device that it was made for.
        watch: Of the weights that it was made of.
        encoder: Gives what the network gives.
    """

    key: tuple[str, torch.device]
    watch: WeightWatch
    encoder: InferenceEncoder


class EncoderShim(NetworkShim):
    """Holds an encoder and its tokenizer.

    Args:
        precision: "auto", "fp32", "bf16" or "int8".
        tuning: How it is fine-tuned.

    Attributes:
        tokenizer: Makes its pieces, once it is filled.
        quantizes: Whether the precision is "int8".
        calibration: Sequences of pieces that the ranges of 8-bit integers come from.
        stores_int8: Whether its matrices are saved as 8-bit integers.
        source_language: What was read just now, a source and the language it is known
            to be for, if any; None of saved weights, whose user was told.
    """

    def __init__(self, precision: str = "auto", tuning: Tuning | None = None) -> None:
        check_precision(precision)
        self.quantizes = precision == INT8
        # What learns, and the heads, compute in this one.
        own = "auto" if self.quantizes else precision
        super().__init__(ElectraModel, "encoder", own)
        self.tuning = tuning or Tuning()
        self.tokenizer: ElectraTokenizer | None = None
        self.source_language: tuple[str, str | None] | None = None
        self.stores_int8 = False
        self.calibration: list[list[int]] = []
        self._has_warned = False
        self._has_met_unknown = False
        self._has_fallen_back = False
        self._inference: _Inference | None = None

    def fill(
        self,
        network: nn.Module,
        config: ElectraConfig,
        tokenizer: ElectraTokenizer | None = None,
    ) -> None:
        """Hold an encoder, on the device that Thinc uses.

        Raises:
            ValueError: If more layers are to be frozen than there are.
        """
        frozen, layers = self.tuning.frozen_layers, config.num_hidden_layers
        if frozen > layers:
            raise ValueError(Errors.SE322(frozen=frozen, layers=layers))
        super().fill(network, config)
        self._inference = None
        self.tokenizer = tokenizer
        self.source_language = None
        own = self._own_network
        own.encoder.checkpointing = self.tuning.gradient_checkpointing
        for name, weight in own.named_parameters():
            if frozen and depth_of(name) <= frozen:
                weight.requires_grad_(False)

    def clear(self) -> None:
        """Hold nothing."""
        super().clear()
        self.tokenizer = self._inference = None
        self.stores_int8, self.calibration = False, []

    def calibrate(self, sequences: Sequence[Sequence[int]]) -> None:
        """Choose the ranges of 8-bit integers by sequences of pieces, from now on.

        They are chosen anew whenever the weights have changed, and saved.

        Args:
            sequences: Like those that the encoder will meet, [CLS] and [SEP] included.
        """
        self.calibration = [list(sequence) for sequence in sequences]
        self._inference = None

    def round_weights(self) -> None:
        """Round the matrices to 8-bit integers with a scale a row, and save them so."""
        weights = {name: w.data for name, w in self.own_weights().items()}
        rounded = from_int8_rows(to_int8_rows(weights))
        for name, weight in weights.items():
            weight.copy_(rounded[name])
        self._inference, self.stores_int8 = None, True

    def note_language(self, lang: str) -> None:
        """Warn, once, of a source that is for another language than a pipeline.

        Args:
            lang: Code of the pipeline's; "xx" and "mul" are any.
        """
        source, trained = self.source_language or ("", None)
        self.source_language = None
        if trained and lang not in (trained, "", "xx", "mul"):
            message = Warnings.SW456(source=source, trained=trained, lang=lang)
            warnings.warn(message, stacklevel=2)

    def note_unknown(self, pieces: Sequence[Pieces]) -> None:
        """Warn, once, of texts that the vocabulary has hardly any pieces for."""
        if self._has_met_unknown or self.tokenizer is None:
            return
        texts = joined(pieces)
        found = texts.mostly_unknown
        if found is not None:
            self._has_met_unknown = True
            number, share = found
            count, unk = int(texts.counts[number]), self.tokenizer.unk_token
            message = Warnings.SW132(share=share, count=count, unk=unk)
            warnings.warn(message, stacklevel=2)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        # Thinc asks the first of all parameters, by way of several generators.
        weight: Tensor = self._own_network.embeddings.word_embeddings.weight
        return weight.device

    def rows_per_pass(self, device: torch.device) -> int | None:
        """Most rows that a pass of inference should have; None for any number.

        Args:
            device: Where the network is.
        """
        if device.type != "cpu":
            return None
        # fp32 fills the caches with half as many rows.
        dtype = resolve_precision(self.precision, device)
        is_wide = dtype == torch.float32 and not self.quantizes
        return ROWS_PER_PASS // 2 if is_wide else ROWS_PER_PASS

    def _runner(self, network: Any, is_train: bool, precision: str) -> Run:
        if not is_train:
            keep_freed_memory()
            network = self._for_inference(precision)
            if isinstance(network, InferenceEncoder):
                # It needs no context, and to enter one takes long for a short text.
                return partial(_infer, network)
        return super()._runner(network, is_train, precision)

    def _for_inference(self, precision: str) -> Any:
        """The network, or one that gives the same faster where nothing is learned."""
        device, known = self.device, self._inference
        key = (precision, device)
        # Nobody can have changed weights that nobody else holds.
        if (
            known is not None
            and known.key == key
            and (not self.is_lent or known.watch.is_unchanged())
        ):
            return known.encoder
        network = self._own_network
        dtype = resolve_precision(precision, device)
        quantizes = self.quantizes and self._can_quantize()
        if not (quantizes or can_infer(network, dtype)):
            return network
        watch = WeightWatch(network)
        if quantizes:
            sequences = [torch.tensor(ids) for ids in self.calibration]
            batch = PackedBatch.from_sequences(sequences)
            encoder: InferenceEncoder = Int8Encoder(network, batch)
        else:
            encoder = InferenceEncoder(network, dtype)
        # At once, since other threads may read it.
        self._inference = _Inference(key, watch, encoder)
        return encoder

    def _can_quantize(self) -> bool:
        """Whether 8-bit integers serve; warns, once, where they do not."""
        if not can_quantize(self._own_network):
            message = Warnings.SW347()
        elif not self.calibration:
            message = Warnings.SW346()
        else:
            return True
        if not self._has_fallen_back:
            self._has_fallen_back = True
            warnings.warn(message, stacklevel=2)
        return False

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let Thinc's optimizer change the weights; warn of a rate that ruins them."""
        # An optimizer writes through NumPy, which torch's versions do not see.
        self._inference, self.stores_int8 = None, False
        rate = optimizer.learn_rate
        if not (self.is_empty or self._has_warned) and rate > _RUINOUS:
            self._has_warned = True
            warnings.warn(
                Warnings.SW310(rate=rate, highest=HIGHEST_LEARN_RATE), stacklevel=2
            )
        super().finish_update(optimizer)

    def learn_rate_scale(self, name: str) -> float:
        """What the learning rate of a weight is multiplied by, for its layer."""
        assert self.config is not None
        above = self.config.num_hidden_layers + 1 - depth_of(name)
        return float(self.tuning.layer_decay**above)

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Use other weights for a while, for instance an optimizer's averages."""
        self._inference = None
        try:
            with super().use_params(params):
                yield
        finally:
            self._inference = None

    def _message(self) -> dict[str, Any]:
        message = super()._message()
        if message and self.tokenizer is not None:
            message["tokenizer"] = self.tokenizer.to_bytes()
            if self.calibration:
                message["calibration"] = self.calibration
        return message

    def _to_save(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return to_int8_rows(weights) if self.stores_int8 else weights

    def _open(
        self, message: Mapping[str, Any]
    ) -> tuple[ElectraConfig, Weights, tuple[Any, ...]]:
        config, weights, _ = super()._open(message)
        tokenizer = ElectraTokenizer.from_bytes(message["tokenizer"])
        tokenizer.check_fits(config.vocab_size, "the saved pipeline")
        calibration = message.get("calibration", [])
        _check_calibration(calibration, config)
        self.calibration = calibration
        self.stores_int8 = any(w.dtype == torch.int8 for w in weights.values())
        weights = from_int8_rows(weights)
        return config, weights, (tokenizer,)

    def __getstate__(self) -> dict[str, Any]:
        precision = INT8 if self.quantizes else self.precision
        state = {**super().__getstate__(), "precision": precision}
        return {**state, "tuning": self.tuning}

    def __setstate__(self, state: dict[str, Any]) -> None:
        EncoderShim.__init__(self, state["precision"], state["tuning"])
        self.id = state["id"]
        self.from_bytes(state["data"])


def _infer(
    encoder: InferenceEncoder, compute: Callable[[Any], Tensor]
) -> tuple[Tensor, Callable[[Tensor], None]]:
    """What ``ready`` gives where an encoder for inference stands in."""
    return compute(encoder), _never


def _never(gradient: Tensor) -> None:
    raise ValueError(Errors.SE301())


def check_precision(precision: str) -> None:
    """Refuse a precision that an encoder does not have.

    Raises:
        ValueError: If it does not.
    """
    choices = (*PRECISIONS, INT8)
    if precision not in choices:
        message = Errors.SE002(
            name="precision", value=precision, choices=", ".join(choices)
        )
        raise ValueError(message)


def _check_calibration(sequences: Any, config: ElectraConfig) -> None:
    for ids in sequences:
        if not 0 < len(ids) <= config.max_position_embeddings:
            raise ValueError(f"a calibration sequence of {len(ids)} pieces")
        if not all(type(i) is int and 0 <= i < config.vocab_size for i in ids):
            raise ValueError("a calibration sequence with pieces that do not exist")


def depth_of(name: str) -> int:
    """How high a parameter of ``ElectraModel`` stands: 0 for the embeddings."""
    layer = re.search(r"(?:^|\.)layers\.(\d+)\.", name)
    return int(layer.group(1)) + 1 if layer else 0
