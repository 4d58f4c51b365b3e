"""A PyTorch network inside a Thinc model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import safetensors.torch
import srsly
import torch
from safetensors import SafetensorError
from thinc.api import (
    NumpyOps,
    Optimizer,
    PyTorchShim,
    Shim,
    get_current_ops,
    get_torch_default_device,
)
from thinc.types import FloatsXd
from thinc.util import torch2xp, xp2torch
from torch import Tensor, nn

from ..checkpoints.names import split_fused
from ..errors import Errors, listed
from ..models import ElectraConfig
from ..models.precision import resolve_precision
from ..models.pretrained import PretrainedModel
from .adam import Part, is_plain_adam, step
from .division import add_up_gradients
from .forking import make_forks_safe

Backprop = Callable[[Tensor], None]
# Takes what to compute with the network, and gives the result and its way back.
Run = Callable[[Callable[[Any], Tensor]], tuple[Tensor, Backprop]]
Weights = Mapping[str, Tensor]
# What reading damaged bytes raises.
_DAMAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError),
    SafetensorError,
)
# Bytes that claim more layers than that, and than they have weights, are not built.
_MOST_LAYERS = 64
_CPU = torch.device("cpu")


class NetworkShim(PyTorchShim):
    """Holds a network and its config.

    Unlike Thinc's own it autocasts on the device in use, writes safetensors, and may be
    empty until weights are needed.

    Args:
        kind: Makes the network of a config alone, so that bytes never name code.
        part: What it is in its component, for messages: "encoder", "head".
        precision: "auto", "fp32" or "bf16".

    Attributes:
        config: Of the network, once there is one.
        was_filled: Whether it ever held a network.
        is_lent: Whether others may hold the network, and change it by hand.
    """

    _held: Any = None

    def __init__(
        self,
        kind: type[nn.Module],
        part: str,
        precision: str = "auto",
    ) -> None:
        super().__init__(None)
        make_forks_safe()
        self.kind = kind
        self.part = part
        self.precision = precision
        self.config: ElectraConfig | None = None
        self.was_filled = False

    @property
    def is_empty(self) -> bool:
        """Whether it has no network yet."""
        return self._held is None

    @property
    def network(self) -> Any:
        """The network, for others: from now on they may change it.

        Raises:
            ValueError: If there is none yet.
        """
        self.is_lent = True
        return self._own_network

    @property
    def _own_network(self) -> Any:
        if self._held is None:
            raise ValueError(Errors.SE300())
        return self._held

    @property
    def _model(self) -> Any:
        """Thinc's name for what is held; None for nothing."""
        self.is_lent = True
        return self._held

    @_model.setter
    def _model(self, network: Any) -> None:
        self.is_lent = True
        self._held = network

    def fill(self, network: nn.Module, config: ElectraConfig) -> None:
        """Hold a network, on the device that Thinc uses."""
        self._model = network.to(default_device())
        self.config = config
        self.was_filled = True

    def renew_id(self) -> None:
        """Be another shim to an optimizer, which begins anew with its weights."""
        with Shim.global_id_lock:
            Shim.global_id += 1
            self.id = Shim.global_id

    def clear(self) -> None:
        """Hold nothing."""
        self._model = self.config = None

    def shared_names(self, config: ElectraConfig) -> Collection[str]:
        """Weights that another shim holds as well, and saves and updates."""
        return ()

    def own_weights(self) -> dict[str, nn.Parameter]:
        """The weights that it saves and updates, by name; none where it is empty."""
        if self._held is None or self.config is None:
            return {}
        return self._own(self._held, self.config)

    def _own(
        self, network: nn.Module, config: ElectraConfig
    ) -> dict[str, nn.Parameter]:
        shared = self.shared_names(config)
        weights = network.named_parameters()
        return {name: weight for name, weight in weights if name not in shared}

    def ready(self, is_train: bool, precision: str | None = None) -> Run:
        """Look once at the weights, and run the network any number of times.

        Args:
            is_train: Whether to run in training mode and keep what the backward pass
                needs.
            precision: In place of the shim's own.

        Returns:
            Takes a function of the network; returns what it gives, and a callback that
            takes the gradient of that and adds those of the weights (and of inputs that
            require one).
        """
        network = self._own_network
        if network.training != is_train:
            network.train(is_train)
        return self._runner(network, is_train, precision or self.precision)

    def _runner(self, network: Any, is_train: bool, precision: str) -> Run:
        device = self.device
        dtype = resolve_precision(precision, device)
        casts = dtype != torch.float32

        def run(compute: Callable[[Any], Tensor]) -> tuple[Tensor, Backprop]:
            autocast = torch.autocast(device.type, dtype) if casts else nullcontext()
            with torch.set_grad_enabled(is_train), autocast:
                output = compute(network)

            def backprop(gradient: Tensor) -> None:
                if not is_train:
                    raise ValueError(Errors.SE301())
                # Nothing does where every layer is frozen.
                if output.requires_grad:
                    output.backward(gradient.to(output.dtype))

            return output, backprop

        return run

    def finish_update(self, optimizer: Optimizer) -> None:
        """Let Thinc's optimizer change the weights.

        The gradients are dropped, not zeroed: a weight that two networks share must
        change once, with the first of them.
        """
        weights = self.own_weights()
        add_up_gradients(weights.values())
        parts = [part for item in weights.items() for part in self._parts(*item)]
        if is_plain_adam(optimizer, parts):
            step(optimizer, parts)
        else:
            for part in parts:
                _update(optimizer, part)
        for weight in weights.values():
            weight.grad = None

    def _parts(self, name: str, weight: nn.Parameter) -> list[Part]:
        """What of a weight an optimizer changes; nothing without a gradient.

        An optimizer clips gradients and counts updates by the matrix, so what was
        learned would depend on which of them are one here.
        """
        if weight.grad is None:
            return []
        values, gradients = (
            split_fused(name, tensor) for tensor in (weight.data, weight.grad)
        )
        scale = self.learn_rate_scale(name)
        return [
            Part((self.id, part), own, gradient, scale)
            for (part, own), (_, gradient) in zip(values, gradients, strict=True)
        ]

    def learn_rate_scale(self, name: str) -> float:
        """What the learning rate of a weight is multiplied by."""
        return 1.0

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Use other weights for a while, for instance an optimizer's averages.

        Args:
            params: By the keys that ``finish_update`` gives to the optimizer.
        """
        kept: list[tuple[nn.Parameter, Tensor]] = []
        for name, weight in self.own_weights().items():
            keys = [(self.id, part) for part, _ in split_fused(name, weight.data)]
            if all(key in params for key in keys):
                kept.append((weight, weight.data))
                arrays = [xp2torch(params[key], device=weight.device) for key in keys]
                weight.data = torch.cat(arrays)
        try:
            yield
        finally:
            for weight, data in kept:
                weight.data = data

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the network, if there is one."""
        if not self.is_empty:
            super().to_device(device_type, device_id)

    def move_to_default_device(self) -> None:
        """Follow ``spacy.require_gpu`` and ``require_cpu``, at any time."""
        device = default_device()
        if self.device != device:
            self._own_network.to(device)

    def to_bytes(self) -> bytes:
        """Config and weights; an empty shim stays one."""
        return bytes(srsly.msgpack_dumps(self._message()))

    def _message(self) -> dict[str, Any]:
        if self._held is None or self.config is None:
            return {}
        # A tied weight has several names here, but safetensors wants it once.
        state = {
            name: value.detach().to("cpu").contiguous()
            for name, value in self.own_weights().items()
        }
        return {
            "network": type(self._held).__name__,
            "config": self.config.to_dict(),
            "weights": safetensors.torch.save(self._to_save(state)),
            "tokenizer": None,
        }

    def _to_save(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights as they are written."""
        return weights

    def from_bytes(self, bytes_data: bytes) -> NetworkShim:
        """Take what ``to_bytes`` gave.

        Raises:
            ValueError: If it names no known network, or is damaged; if a weight is
                missing or unknown, has another shape than the config says, or is not
                finite.
        """
        try:
            message = srsly.msgpack_loads(bytes_data)
            opened = self._open(message) if message else None
        except _DAMAGE as error:
            problem = f"{type(error).__name__}: {error}"
            raise ValueError(Errors.SE340(part=self.part, error=problem)) from error
        if opened is None:
            self.clear()
            return self
        config, weights, others = opened
        with torch.device("meta"):
            self._check(self._own(self.kind(config), config), weights)
        network = self.kind(config)
        network.load_state_dict(weights, strict=False)
        self.fill(network, config, *others)
        self.is_lent = False
        return self

    def _open(
        self, message: Mapping[str, Any]
    ) -> tuple[ElectraConfig, Weights, tuple[Any, ...]]:
        """Config and weights, whether they fit or not, and what else ``fill`` takes."""
        name = message["network"]
        if name != self.kind.__name__:
            raise ValueError(f"network is {name!r}, not {self.kind.__name__!r}")
        config = ElectraConfig.from_dict(message["config"])
        weights = safetensors.torch.load(message["weights"])
        layers = config.num_hidden_layers
        has_layers = issubclass(self.kind, PretrainedModel)
        if has_layers and layers > max(_MOST_LAYERS, len(weights)):
            raise ValueError(f"{layers} layers, but {len(weights)} weights")
        return config, weights, ()

    def _check(self, expected: Weights, found: Weights) -> None:
        """Refuse weights that are not those of a network, one for one."""
        both = [name for name in expected if name in found]
        problems = {
            "missing": [name for name in expected if name not in found],
            "unknown": [name for name in found if name not in expected],
            "of another shape": [
                name for name in both if found[name].shape != expected[name].shape
            ],
            "no floats": [n for n in both if not found[n].is_floating_point()],
            "not finite": [
                name for name in both if not bool(found[name].isfinite().all())
            ],
        }
        told = [
            f"{len(names)} {problem} ({listed(names)})"
            for problem, names in problems.items()
            if names
        ]
        if told:
            raise ValueError(
                Errors.SE341(
                    part=self.part, total=len(expected), problems="; ".join(told)
                )
            )

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes started by spawn, and copies, get the same bytes as a file.
        return {
            "id": self.id,
            "kind": self.kind,
            "part": self.part,
            "precision": self.precision,
            "data": self.to_bytes(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        NetworkShim.__init__(self, state["kind"], state["part"], state["precision"])
        self.id = state["id"]
        self.from_bytes(state["data"])


def default_device() -> torch.device:
    """Thinc's ``get_torch_default_device``, which looks up modules on each call."""
    # Ops made from these may be for another device.
    is_plain = type(get_current_ops()) is NumpyOps
    return _CPU if is_plain else get_torch_default_device()


def _update(optimizer: Optimizer, part: Part) -> None:
    """Let any optimizer change a part."""
    changed, _ = optimizer(
        part.key,
        cast(FloatsXd, torch2xp(part.values)),
        cast(FloatsXd, torch2xp(part.gradient)),
        lr_scale=part.scale,
    )
    updated = xp2torch(changed, device=part.values.device)
    # Thinc's optimizers write into what they are given. Keeping that again would chain
    # arrays and tensors over the same memory.
    if updated.data_ptr() != part.values.data_ptr():
        part.values.copy_(updated)
