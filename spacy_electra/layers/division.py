"""How processes that train one pipeline divide an encoder's work.

Every process has the whole batch. Each runs the encoder on its share of the windows,
gets the states of the others', and computes all else, which is little, as if it were
alone. So whatever a component makes of the states (counts, normalization, an oracle's
moves) is what one process would make, for any component. In the backward pass each has
the gradient of all states and sends back its share's; the gradients of the weights are
added up before the optimizer gets them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor, nn

from ..errors import Errors
from ..models import PackedBatch

# Bytes of the gradients that are added up in one call.
_BUCKET = 32 << 20
_SEEDS = 1 << 62


@dataclass(frozen=True)
class Division:
    """A process's place among those that train together.

    Args:
        rank: Its number.
        size: How many there are.
    """

    rank: int
    size: int

    @contextmanager
    def of_training(self) -> Iterator[None]:
        """Add up gradients over all processes from here on."""
        token = _training.set(self)
        try:
            yield
        finally:
            _training.reset(token)

    @contextmanager
    def of_update(self) -> Iterator[None]:
        """Divide the work of encoders; all processes do the same things in here."""
        token = _update.set(self)
        try:
            yield
        finally:
            _update.reset(token)

    def share(
        self, batch: PackedBatch, rank: int | None = None
    ) -> tuple[PackedBatch, Tensor]:
        """The sequences of a process, and their rows of the batch, int64 [t].

        Neighbours in a batch are of about one length, so each process takes one in
        turn.

        Args:
            batch: T rows.
            rank: Of another process than this one.
        """
        rank = self.rank if rank is None else rank
        lengths = np.asarray(batch.lengths, dtype=np.int64)
        is_own = np.arange(len(lengths)) % self.size == rank
        rows = torch.from_numpy(np.flatnonzero(np.repeat(is_own, lengths)))
        places = rows.to(batch.input_ids.device)
        own = PackedBatch(
            batch.input_ids[places],
            batch.token_type_ids[places],
            batch.position_ids[places],
            lengths[is_own].tolist(),
        )
        return own, rows

    def gather(self, states: Tensor, batch: PackedBatch) -> Tensor:
        """The states of a batch, from those that each process has of its share.

        Args:
            states: Of this one's, float [..., t, H].
            batch: T rows.

        Returns:
            Float [..., T, H], the same in all processes.
        """
        rows = [self.share(batch, rank)[1] for rank in range(self.size)]
        shape = list(states.shape)
        shape[-2] = max(map(len, rows))
        sent = states.new_zeros(shape)
        sent.narrow(-2, 0, states.shape[-2]).copy_(states)
        received = [torch.empty_like(sent) for _ in rows]
        # As bytes: not every backend knows every kind of float.
        as_bytes = [part.view(torch.uint8) for part in received]
        with with_others():
            distributed.all_gather(as_bytes, sent.view(torch.uint8))
        shape[-2] = len(batch.input_ids)
        whole = states.new_empty(shape)
        for places, part in zip(rows, received, strict=True):
            own = part.narrow(-2, 0, len(places))
            whole.index_copy_(-2, places.to(whole.device), own)
        return whole


_training: ContextVar[Division | None] = ContextVar("training", default=None)
_update: ContextVar[Division | None] = ContextVar("update", default=None)
# How work is divided now; None where this process does all of it.
current_division: Callable[[], Division | None] = _update.get


@contextmanager
def with_others() -> Iterator[None]:
    """Talk to the other processes.

    Raises:
        ConnectionError: If one of them has ended.
    """
    try:
        yield
    except RuntimeError as error:
        raise ConnectionError(Errors.SE656()) from error


def repeats_others() -> bool:
    """Whether what all processes compute alike is counted in another one."""
    division = _update.get()
    return division is not None and division.rank > 0


@contextmanager
def own_random_numbers(device: torch.device) -> Iterator[None]:
    """For a share, draw other numbers than other processes; then go on as they do.

    Args:
        device: Where numbers are drawn, beside the CPU.
    """
    division = _update.get()
    if division is None:
        yield
        return
    seed = int(torch.randint(_SEEDS, ()))
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed + division.rank)
        yield


def add_up(value: float) -> float:
    """The sum of what all processes found in their shares."""
    if _update.get() is None:
        return value
    # NCCL adds up nothing that is not on a GPU.
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    total = torch.tensor([value], dtype=torch.float64, device=device)
    with with_others():
        distributed.all_reduce(total)
    return float(total)


def add_up_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Give each weight the sum of the gradients that all processes have for it.

    A process whose share was empty has none; a weight that none has one for keeps none.

    Args:
        weights: The same ones, in the same order, in all processes.
    """
    if _training.get() is None:
        return
    learning = [weight for weight in weights if weight.requires_grad]
    if not learning:
        return
    found = torch.tensor([weight.grad is not None for weight in learning])
    found = found.to(learning[0].device, torch.int32)
    with with_others():
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
    gradients = []
    for weight, any_has_one in zip(learning, found.tolist(), strict=True):
        if any_has_one:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            gradients.append(weight.grad)
    for bucket in buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        with with_others():
            distributed.all_reduce(flat)
        spread(flat, bucket)


def buckets(tensors: Sequence[Tensor], most: int = _BUCKET) -> Iterator[list[Tensor]]:
    """Tensors in their order, in groups of one kind and device and of few bytes.

    Args:
        tensors: Any number.
        most: Bytes of a group; a larger tensor is one of its own.
    """
    group: list[Tensor] = []
    for tensor in tensors:
        size = sum(part.nbytes for part in group) + tensor.nbytes
        if group and (size > most or _kind(tensor) != _kind(group[0])):
            yield group
            group = []
        group.append(tensor)
    if group:
        yield group


def _kind(tensor: Tensor) -> tuple[torch.dtype, torch.device]:
    return tensor.dtype, tensor.device


def spread(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Write numbers that stand end to end back into their tensors."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
