"""Weights of which each process holds a part: fully sharded data parallelism."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...errors import Errors
from ..objective import Objective


class Sharded:
    """An objective whose weights, gradients and moments are shared out (ZeRO-3).

    Each process holds its part of every weight, and the whole of a layer only while
    that layer works (Zhao et al., 2023, "PyTorch FSDP"). What is not in a layer is one
    unit with the objective itself, so embeddings that networks share and heads that
    are tied to them stay one weight. Parameters keep their order and names.

    Args:
        objective: Is changed in place; optimizers must be made afterwards.
        processes: How many there are.

    Attributes:
        objective: With a part of each weight.
        plain: A copy on the CPU with whole weights, as they were when ``gather`` or
            ``scatter`` was called last. It is what checkpoints are written from and
            read into, so a run can go on with any number of processes.

    Raises:
        ImportError: If torch is too old.
    """

    def __init__(self, objective: Objective, processes: int) -> None:
        try:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard
        except ImportError as error:
            message = Errors.SE433(version=torch.__version__)
            raise ImportError(message) from error
        sampler = objective.sampler
        self.plain = copy.deepcopy(objective, {id(sampler): sampler}).cpu()
        self.objective: Any = objective
        mesh = init_device_mesh(objective.discriminator.device.type, (processes,))
        encoders = [
            network.electra.encoder
            for network in (objective.generator, objective.discriminator)
        ]
        # One encoder may serve both networks.
        for encoder in dict.fromkeys(encoders):
            for layer in encoder.layers:
                fully_shard(layer, mesh=mesh)
        fully_shard(objective, mesh=mesh)

    @torch.no_grad()
    def gather(self) -> None:
        """Bring ``plain`` to the weights of now; all processes together."""
        theirs = dict(self.plain.named_parameters())
        for name, parameter in self.objective.named_parameters():
            theirs[name].copy_(whole(parameter))

    @torch.no_grad()
    def scatter(self) -> None:
        """Take over the weights of ``plain``; all processes together."""
        theirs = dict(self.plain.named_parameters())
        for name, parameter in self.objective.named_parameters():
            parameter.copy_(divided_like(parameter, theirs[name]))

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Let the networks be called on their own, past the objective; all together."""
        self.objective.unshard()
        try:
            yield
        finally:
            self.objective.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its parts; all processes together, if it is divided."""
    full: Tensor = tensor.full_tensor() if is_divided(tensor) else tensor  # type: ignore[attr-defined]
    return full


def divided_like(model: Tensor, tensor: Tensor) -> Tensor:
    """A whole tensor, divided as another of its shape is; all processes together."""
    if not is_divided(model) or model.shape != tensor.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = model.device_mesh, model.placements  # type: ignore[attr-defined]
    return distribute_tensor(tensor.to(model.device), mesh, placements)


def is_divided(tensor: Tensor) -> bool:
    """Whether this process holds a part of it only."""
    return hasattr(tensor, "full_tensor")
