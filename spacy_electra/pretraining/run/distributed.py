"""One process or several: how they find each other, and share work and weights."""

from __future__ import annotations

import copy
import os
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...errors import Errors
from ..objective import Objective

if TYPE_CHECKING:
    from torch.distributed import Store

_GPU_ID = re.compile(r"-1|\d+")
_SECONDS_BETWEEN = 0.02


@dataclass(frozen=True)
class Workers:
    """The processes of a run, as `torchrun` starts them.

    Args:
        rank: Number of this one; 0 writes and reports.
        size: How many there are.
        store: What they share beside their tensors, where there are several.
    """

    rank: int = 0
    size: int = 1
    store: Store | None = field(default=None, compare=False)

    @property
    def first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, with gradients that are the mean over all processes."""
        if self.size == 1:
            return module
        # During the warm-up the discriminator's head takes no part.
        return DistributedDataParallel(
            module, broadcast_buffers=False, find_unused_parameters=True
        )

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def workers_from_environment(device: torch.device) -> Iterator[Workers]:
    """Join the other processes that `torchrun` started, if it did.

    Args:
        device: Where to train: decides between gloo (CPU) and NCCL (CUDA).

    Yields:
        This process's place among them.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Workers()
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, rank, size = next(distributed.rendezvous("env://"))
    store = fresh_store(store, rank, size)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield Workers(rank, size, store)
    finally:
        distributed.destroy_process_group()


def own_device(name: str) -> torch.device:
    """The device of this process.

    Args:
        name: As torch has it, or "auto" for a GPU where there is one. Of "cuda" without
            a number it is the one with this process's number on the machine. A number
            alone is what spaCy's commands call the GPU's id, -1 for the CPU.

    Raises:
        ValueError: If it is no name of a device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if _GPU_ID.fullmatch(name):
        name = f"cuda:{name}" if int(name) >= 0 else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _no_device(name, error) from error
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device


def usable_device(name: str) -> torch.device:
    """The same, where it is certain that something can be put there.

    Raises:
        ValueError: If there is no such device.
    """
    device = own_device(name)
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise _no_device(name, error) from error
    return device


def _no_device(name: str, error: Exception) -> ValueError:
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    choices = ", ".join(["auto", "cpu", *gpus])
    # The first line says it; a stack of C++ may follow.
    reason = str(error).partition("\n")[0]
    return ValueError(Errors.SE450(device=name, error=reason, choices=choices))


def without_exchange(module: nn.Module) -> AbstractContextManager[None]:
    """Keep gradients to this process, for all but the last batch of a step."""
    if isinstance(module, DistributedDataParallel):
        return cast(AbstractContextManager[None], module.no_sync())
    return nullcontext()


def fresh_store(store: Store, rank: int, size: int, patience: float = 1800.0) -> Store:
    """A part of a store that no earlier try of the run has written to.

    `torchrun` keeps one store for all tries of a run. After a restart it still holds
    the addresses of workers that are dead, and who reads one before its new owner
    writes it connects to nobody (torch 2.13, both kinds of rendezvous). The number of
    the try can't name a part: on several machines each launcher counts for itself.

    So the processes agree on a name first. Every other one asks under a word of its
    own that nobody has used before; the first one answers to each word that it finds,
    stale ones too, until all have taken note.

    Args:
        store: What all of them share.
        rank: Number of this process.
        size: How many there are.
        patience: How long the first one waits for the others, seconds. They wait for
            it as long as the store's own timeout says.

    Raises:
        TimeoutError: If one of them does not come.
    """
    # Some builds of torch have none of it.
    from torch.distributed import PrefixStore

    if rank > 0:
        word = uuid4().hex
        store.set(f"word/{rank}", word)
        name = store.get(f"name/{word}").decode()
        store.set(f"noted/{name}/{rank}", "")
        return PrefixStore(name, store)
    name = uuid4().hex
    missing = set(range(1, size))
    deadline = time.monotonic() + patience
    while missing:
        for other in sorted(missing):
            if store.check([f"word/{other}"]):
                store.set(f"name/{store.get(f'word/{other}').decode()}", name)
            if store.check([f"noted/{name}/{other}"]):
                missing.remove(other)
        if time.monotonic() > deadline:
            raise TimeoutError(Errors.SE432(missing=sorted(missing), size=size))
        time.sleep(_SECONDS_BETWEEN)
    return PrefixStore(name, store)


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
        # A sampler may hold as much as the corpus, and has no weights.
        sampler = getattr(objective, "sampler", None)
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
            self.close()

    def close(self) -> None:
        """Drop whole weights, which a pass without a backward pass leaves behind."""
        self.objective.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its parts; all processes together, if it is divided."""
    full: Tensor = tensor.full_tensor() if is_divided(tensor) else tensor  # type: ignore[attr-defined]
    return full


def local_part(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds: all of it, if it is not divided."""
    part: Tensor = tensor.to_local() if is_divided(tensor) else tensor  # type: ignore[attr-defined]
    return part


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
