"""A PyTorch network inside a Thinc model."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import safetensors.torch
import srsly
import torch
from thinc.api import Optimizer, PyTorchShim, get_torch_default_device
from thinc.types import FloatsXd
from thinc.util import torch2xp, xp2torch
from torch import Tensor, nn

from ..checkpoints.names import split_fused
from ..errors import Errors, Warnings
from ..models import ElectraConfig, ElectraForMaskedLM, ElectraModel
from ..models.heads.replaced_token import ReplacedTokenHead
from ..models.inference import ROWS_A_PASS, InferenceEncoder, can_infer
from ..models.precision import autocast, resolve_precision
from ..tokenization import ElectraTokenizer
from .forking import make_forks_safe

# What a shim can hold: each is built from a config alone, so bytes never name code.
NETWORKS: dict[str, Callable[[ElectraConfig], nn.Module]] = {
    "ElectraModel": ElectraModel,
    "ElectraForMaskedLM": ElectraForMaskedLM,
    "ReplacedTokenHead": ReplacedTokenHead,
}
# Above it, fine-tuning a pretrained encoder usually ruins it (Clark et al., 2020, table
# 7, tune between 5e-5 and 3e-4).
HIGHEST_LEARN_RATE = 3e-4


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


class ElectraShim(PyTorchShim):
    """Holds a network, its config and, for an encoder, its tokenizer.

    Unlike Thinc's own it autocasts on the device in use, writes safetensors, keeps the
    tokenizer with the weights, and may be empty until weights are needed.

    Args:
        run: Calls the network: (network, inputs) -> output. A function of a module, so
            that worker processes find it by name.
        precision: "auto", "fp32" or "bf16".
        tuning: Of an encoder.
    """

    def __init__(
        self,
        run: Callable[[Any, Any], Tensor],
        precision: str = "auto",
        tuning: Tuning | None = None,
    ) -> None:
        super().__init__(None)
        self.run = run
        self.precision = precision
        self.tuning = tuning or Tuning()
        self._has_warned = False
        self._inference: InferenceEncoder | None = None
        self._inference_key: tuple[Any, ...] = ()
        self.config: ElectraConfig | None = None
        self.tokenizer: ElectraTokenizer | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it has no network yet."""
        return self._model is None

    @property
    def network(self) -> Any:
        """The network.

        Raises:
            ValueError: If there is none yet.
        """
        if self._model is None:
            raise ValueError(Errors.SE300())
        return self._model

    def fill(
        self,
        network: nn.Module,
        config: ElectraConfig,
        tokenizer: ElectraTokenizer | None = None,
    ) -> None:
        """Hold a network, on the device that Thinc uses.

        Raises:
            ValueError: If more layers are to be frozen than there are.
        """
        self._model = network.to(get_torch_default_device())
        self._inference = None
        self.config = config
        self.tokenizer = tokenizer
        if isinstance(network, ElectraModel):
            frozen, layers = self.tuning.frozen_layers, config.num_hidden_layers
            if frozen > layers:
                raise ValueError(Errors.SE322(frozen=frozen, layers=layers))
            network.encoder.checkpointing = self.tuning.gradient_checkpointing
            for name, weight in network.named_parameters():
                if frozen and depth_of(name) <= frozen:
                    weight.requires_grad_(False)

    def __call__(
        self, inputs: Any, is_train: bool
    ) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Run the network.

        Args:
            inputs: What ``run`` takes.
            is_train: Whether to run in training mode and keep what the way back needs.

        Returns:
            The output, and a callback that takes its gradient and adds those of the
            weights (and of inputs that require one).
        """
        return self.ready(is_train)(inputs)

    def ready(
        self, is_train: bool, run: Callable[[Any, Any], Tensor] | None = None
    ) -> Callable[[Any], tuple[Tensor, Callable[[Tensor], None]]]:
        """Look once at the weights, and run the network on any number of inputs.

        Args:
            is_train: As when the shim is called.
            run: Calls the network, in place of the shim's own ``run``.

        Returns:
            Does what calling the shim does, with the weights as they are now.
        """
        network = self.network
        if network.training != is_train:
            network.train(is_train)
        if not is_train:
            network = self._for_inference()
        device = self.device
        run = run or self.run

        def call(inputs: Any) -> tuple[Tensor, Callable[[Tensor], None]]:
            with torch.set_grad_enabled(is_train), autocast(device, self.precision):
                output = run(network, inputs)

            def backprop(gradient: Tensor) -> None:
                if not is_train:
                    raise ValueError(Errors.SE301())
                # Nothing does where every layer is frozen.
                if output.requires_grad:
                    output.backward(gradient.to(output.dtype))

            return output, backprop

        return call

    @property
    def rows_a_pass(self) -> int | None:
        """Most rows that a pass of inference should have; None for any number."""
        return ROWS_A_PASS if self.device.type == "cpu" else None

    def _for_inference(self) -> Any:
        """The network, or one that gives the same faster where nothing is learned."""
        dtype = resolve_precision(self.precision, self.device)
        if not can_infer(self.network, dtype):
            return self.network
        # Weights may also change by hand, in place or replaced.
        weights = [(p.data_ptr(), p._version) for p in self.network.parameters()]
        key = (dtype, *weights)
        if self._inference is None or key != self._inference_key:
            self._inference = InferenceEncoder(self.network, dtype)
            self._inference_key = key
        return self._inference

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let Thinc's optimizer change the weights.

        The gradients are dropped, not zeroed: a weight that two networks share must
        change once, with the first of them.
        """
        if self.is_empty:
            return
        # An optimizer writes through NumPy, which torch's versions do not see.
        self._inference = None
        self._warn_of_learn_rate(optimizer)
        for name, weight in self.network.named_parameters():
            if weight.grad is None:
                continue
            # An optimizer clips gradients and counts updates by the matrix, so what
            # was learned would depend on which of them are one here.
            parts = split_fused(name, weight.data)
            gradients = split_fused(name, weight.grad)
            for (part, values), (_, gradient) in zip(parts, gradients, strict=True):
                changed, _ = optimizer(
                    (self.id, part),
                    cast(FloatsXd, torch2xp(values)),
                    cast(FloatsXd, torch2xp(gradient)),
                    lr_scale=self.learn_rate_scale(name),
                )
                updated = xp2torch(changed, device=values.device)
                # Thinc's optimizers write into what they are given. Keeping that again
                # would chain arrays and tensors over the same memory.
                if updated.data_ptr() != values.data_ptr():
                    values.copy_(updated)
            weight.grad = None

    def learn_rate_scale(self, name: str) -> float:
        """What the learning rate of a parameter is multiplied by."""
        if self.config is None or not isinstance(self._model, ElectraModel):
            return 1.0
        above = self.config.num_hidden_layers + 1 - depth_of(name)
        return float(self.tuning.layer_decay**above)

    def _warn_of_learn_rate(self, optimizer: Optimizer) -> None:
        rate = optimizer.learn_rate
        if (
            isinstance(self._model, ElectraModel)
            and not self._has_warned
            and rate > HIGHEST_LEARN_RATE
        ):
            self._has_warned = True
            warnings.warn(
                Warnings.SW310(rate=rate, highest=HIGHEST_LEARN_RATE), stacklevel=3
            )

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Use other weights for a while, for instance an optimizer's averages.

        Args:
            params: By the keys that ``finish_update`` gives to the optimizer.
        """
        kept: list[tuple[nn.Parameter, Tensor]] = []
        for name, weight in [] if self.is_empty else self.network.named_parameters():
            keys = [(self.id, part) for part, _ in split_fused(name, weight.data)]
            if all(key in params for key in keys):
                kept.append((weight, weight.data))
                arrays = [xp2torch(params[key], device=weight.device) for key in keys]
                weight.data = torch.cat(arrays)
        self._inference = None
        try:
            yield
        finally:
            self._inference = None
            for weight, data in kept:
                weight.data = data

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the network, if there is one."""
        if not self.is_empty:
            super().to_device(device_type, device_id)

    def move_to_default_device(self) -> None:
        """Follow ``spacy.require_gpu`` and ``require_cpu``, at any time."""
        device = get_torch_default_device()
        if self.device != device:
            self.network.to(device)

    def to_bytes(self) -> bytes:
        """Config, tokenizer and weights; an empty shim stays one."""
        if self._model is None or self.config is None:
            return bytes(srsly.msgpack_dumps({}))
        # A tied weight has several names here, but safetensors wants it once.
        state = {
            name: value.detach().to("cpu").contiguous()
            for name, value in self._model.named_parameters()
        }
        message = {
            "network": type(self._model).__name__,
            "config": self.config.to_dict(),
            "weights": safetensors.torch.save(state),
            "tokenizer": self.tokenizer.to_bytes() if self.tokenizer else None,
        }
        return bytes(srsly.msgpack_dumps(message))

    def from_bytes(self, bytes_data: bytes) -> ElectraShim:
        """Take what ``to_bytes`` gave.

        Raises:
            ValueError: If it names no known network.
        """
        message = srsly.msgpack_loads(bytes_data)
        if not message:
            self._model = self.config = self.tokenizer = None
            return self
        name = message["network"]
        if name not in NETWORKS:
            known = ", ".join(NETWORKS)
            raise ValueError(Errors.SE002(name="network", value=name, choices=known))
        config = ElectraConfig.from_dict(message["config"])
        network = NETWORKS[name](config)
        network.load_state_dict(
            safetensors.torch.load(message["weights"]), strict=False
        )
        tokenizer = message["tokenizer"]
        self.fill(
            network,
            config,
            ElectraTokenizer.from_bytes(tokenizer) if tokenizer else None,
        )
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes started by spawn, and copies, get the same bytes as a file.
        return {
            "id": self.id,
            "run": self.run,
            "precision": self.precision,
            "tuning": self.tuning,
            "data": self.to_bytes(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        ElectraShim.__init__(self, state["run"], state["precision"], state["tuning"])
        self.id = state["id"]
        self.from_bytes(state["data"])


def depth_of(name: str) -> int:
    """How high a parameter of ``ElectraModel`` stands: 0 for the embeddings."""
    layer = re.search(r"(?:^|\.)layers\.(\d+)\.", name)
    return int(layer.group(1)) + 1 if layer else 0


make_forks_safe()
