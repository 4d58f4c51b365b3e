"""One process or several: what a run needs to know of the others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import cast

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .meeting import fresh_store

_GPU_ID = re.compile(r"-1|\d+")


@dataclass(frozen=True)
class Workers:
    """The processes of a run, as `torchrun` starts them.

    Args:
        rank: Number of this one; 0 writes and reports.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

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
    distributed.init_process_group(
        backend, store=fresh_store(store, rank, size), rank=rank, world_size=size
    )
    try:
        yield Workers(rank, size)
    finally:
        distributed.destroy_process_group()


def own_device(name: str) -> torch.device:
    """The device of this process.

    Args:
        name: As torch has it, or "auto" for a GPU where there is one. Of "cuda" without
            a number it is the one with this process's number on the machine. A number
            alone is what spaCy's commands call the GPU's id, -1 for the CPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if _GPU_ID.fullmatch(name):
        name = f"cuda:{name}" if int(name) >= 0 else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device


def without_exchange(module: nn.Module) -> AbstractContextManager[None]:
    """Keep gradients to this process, for all but the last batch of a step."""
    if isinstance(module, DistributedDataParallel):
        return cast(AbstractContextManager[None], module.no_sync())
    return nullcontext()
