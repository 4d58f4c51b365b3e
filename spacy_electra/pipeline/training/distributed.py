"""spaCy's own training loop, on several processes that do what one would do.

All of them read the same batches and hold the same pipeline. An encoder's work is
divided, see ``layers.division``; what is not is done by each. The first process
evaluates and writes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast
from zlib import crc32

import numpy as np
import srsly
import torch
import torch.distributed as distributed
from spacy.language import Language
from spacy.training import Example
from thinc.api import Model, PyTorchShim
from thinc.util import xp2torch
from torch import Tensor, nn

from ...errors import Errors
from ...layers.division import Division, buckets, spread, with_others
from ...layers.network_shim import NetworkShim
from ...pretraining.run.distributed import Workers

# An evaluation may take long, and so may what follows it.
_PATIENCE = timedelta(days=7)
_SILENT_LOGGER = {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False}


class Messages:
    """Bytes and small tensors between the processes, without a GPU.

    Args:
        workers: Several.
    """

    def __init__(self, workers: Workers) -> None:
        self.first = workers.first
        self._group = distributed.new_group(backend="gloo", timeout=_PATIENCE)

    def from_first(self, message: Any = None) -> Any:
        """What the first process says, of the types that JSON knows, and bytes."""
        data = srsly.msgpack_dumps(message) if self.first else b""
        size = torch.tensor([len(data)])
        self._broadcast(size)
        content = torch.zeros(int(size), dtype=torch.uint8)
        if self.first:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        self._broadcast(content)
        return srsly.msgpack_loads(content.numpy().tobytes())

    def is_same(self, number: int) -> bool:
        """Whether all processes have the same number, which 62 bits hold."""
        both = torch.tensor([number, -number])
        with with_others():
            distributed.all_reduce(both, distributed.ReduceOp.MAX, group=self._group)
        return int(both[0]) == -int(both[1])

    def _broadcast(self, tensor: Tensor) -> None:
        with with_others():
            distributed.broadcast(tensor, src=0, group=self._group)


@contextmanager
def together(nlp: Language, workers: Workers, messages: Messages) -> Iterator[None]:
    """Train a pipeline with other processes: ``spacy.training.loop.train`` in here.

    Args:
        nlp: Initialized from the same config in all of them.
        workers: Several.
        messages: Between them.

    Raises:
        ValueError: If the others made another pipeline of it, or read other texts.
        ConnectionError: If one of them has ended.
    """
    division = Division(workers.rank, workers.size)
    _check_same(nlp, workers, messages)
    _take_over([part for node in _nodes(nlp) for part in _weights(node)])
    update, evaluate = nlp.update, nlp.evaluate
    step = 0

    def update_together(examples: Iterable[Example], *args: Any, **kwargs: Any) -> Any:
        nonlocal step
        examples = list(examples)
        if not messages.is_same(_fingerprint(examples)):
            raise ValueError(Errors.SE659(step=step))
        step += 1
        with division.of_update():
            losses = update(examples, *args, **kwargs)
        # They are computed alike, but not on every GPU to the last bit.
        nodes = _nodes(nlp)
        _take_over([part for node in nodes for part in _repeated_gradients(node)])
        return losses

    def evaluate_in_first(*args: Any, **kwargs: Any) -> dict[str, Any]:
        if workers.first:
            scores = evaluate(*args, **kwargs)
            numbers = {
                name: value
                for name, value in scores.items()
                if isinstance(value, int | float)
            }
            messages.from_first([numbers, _random_state()])
            return scores
        numbers, state = messages.from_first()
        _set_random_state(state)
        return cast(dict[str, Any], numbers)

    if not workers.first:
        nlp.config["training"]["logger"] = _SILENT_LOGGER
    own = cast(Any, nlp)
    own.update, own.evaluate = update_together, evaluate_in_first
    try:
        with division.of_training():
            yield
    finally:
        del own.update, own.evaluate


def _fingerprint(examples: Sequence[Example]) -> int:
    texts = (part.text for eg in examples for part in (eg.predicted, eg.reference))
    return crc32("\0".join(texts).encode("utf8", "surrogatepass"))


def _check_same(nlp: Language, workers: Workers, messages: Messages) -> None:
    own: dict[str, Any] = {"the order of the components": nlp.pipe_names}
    for name, model in _models(nlp):
        labels = getattr(nlp.get_pipe(name), "labels", ())
        own[f"the labels of {name}"] = [str(label) for label in labels]
        own[f"the model of {name}"] = [
            [node.name, [list(part.shape) for part in _weights(node)]]
            for node in model.walk()
        ]
    expected = messages.from_first(own)
    differing = [
        key for key in {**expected, **own} if own.get(key) != expected.get(key)
    ]
    if differing:
        raise ValueError(Errors.SE658(rank=workers.rank, part=differing[0]))


def _models(nlp: Language) -> Iterator[tuple[str, Model[Any, Any]]]:
    for name, pipe in nlp.pipeline:
        model = getattr(pipe, "model", None)
        if isinstance(model, Model):
            yield name, model


def _nodes(nlp: Language) -> list[Model[Any, Any]]:
    return [node for _, model in _models(nlp) for node in model.walk()]


def _weights(node: Model[Any, Any]) -> list[Tensor]:
    """All weights of a layer, as tensors over the same memory."""
    names = [name for name in node.param_names if node.has_param(name)]
    found = [xp2torch(node.get_param(name)) for name in names]
    for shim in node.shims:
        if isinstance(shim, NetworkShim):
            found += [weight.data for weight in shim.own_weights().values()]
    return found + [weight.data for weight in _foreign_weights(node)]


def _repeated_gradients(node: Model[Any, Any]) -> list[Tensor]:
    """The gradients that all processes compute alike."""
    names = [name for name in node.param_names if node.has_grad(name)]
    found = [xp2torch(node.get_grad(name)) for name in names]
    grads = [weight.grad for weight in _foreign_weights(node)]
    return found + [gradient for gradient in grads if gradient is not None]


def _foreign_weights(node: Model[Any, Any]) -> Iterator[nn.Parameter]:
    """Weights of networks of PyTorch that are not this package's."""
    for shim in node.shims:
        if isinstance(shim, PyTorchShim) and not isinstance(shim, NetworkShim):
            yield from shim._model.parameters()


def _take_over(tensors: Sequence[Tensor]) -> None:
    """Give tensors the values that they have in the first process."""
    for bucket in buckets(tensors):
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        with with_others():
            distributed.broadcast(flat, src=0)
        spread(flat, bucket)


def _random_state() -> dict[str, Any]:
    """What the next random numbers follow from: Python's, NumPy's and torch's."""
    version, numbers, gauss = random.getstate()
    name, words, *rest = np.random.get_state()
    state = {
        "python": [version, list(numbers), gauss],
        "numpy": [name, np.asarray(words).tolist(), *rest],
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state().numpy().tobytes()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, words, *rest = state["numpy"]
    np.random.set_state((name, np.array(words, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.frombuffer(bytearray(state["torch"]), dtype=torch.uint8))
    if "cuda" in state:
        cuda = torch.frombuffer(bytearray(state["cuda"]), dtype=torch.uint8)
        torch.cuda.set_rng_state(cuda)
