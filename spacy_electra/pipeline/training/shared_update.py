"""The gradients that the listeners of a shared encoder send back, added up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from spacy.tokens import Doc
from thinc.api import Optimizer
from torch import Tensor

from ...layers.adapter import FullTransformerBatch, TransformerData
from ...layers.transformer_batch import ElectraBatch
from ...layers.types import PieceStates


class SharedUpdate:
    """The gradients of one batch, until they go back through the encoder.

    Args:
        states: What the listeners got.
        expected: Number of listeners.
        send: Called with this object once the last of them has sent its gradient.

    Attributes:
        rows: Sum of the gradients of ``states.states`` so far, float [N, H]; None
            where there is none yet.
        cls_states: The same for the [CLS] of each window, float [W, H].
        sgd: Changes the weights when all is sent, where given.
    """

    rows: Tensor | None = None

    def __init__(
        self,
        states: ElectraBatch,
        expected: int,
        send: Callable[[SharedUpdate], None],
        sgd: Optimizer | None = None,
    ) -> None:
        self.states = states
        self.expected = self.missing = expected
        self.send = send
        self.sgd = sgd
        self.cls_states: Tensor | None = None

    @property
    def is_untouched(self) -> bool:
        """Whether no listener is done yet."""
        return self.missing == self.expected

    @property
    def norm(self) -> float:
        """Length (L2 norm) of the gradient."""
        parts = (self.rows, self.cls_states)
        squares = sum(float(p.square().sum()) for p in parts if p is not None)
        return float(squares**0.5)

    @property
    def gradient(self) -> FullTransformerBatch:
        """The gradient as the encoder's callback takes it, once there is any."""
        assert self.rows is not None
        return self.states.gradient(self.rows, self.cls_states)

    def add_data(self, gradients: Sequence[TransformerData]) -> list[Doc]:
        """Take the gradients of a TransformerListener."""
        arrays = [part.tensors[0] for part in gradients]
        return self._add(self.states.rows_of_gradients(arrays), None)

    def add_pieces(self, gradient: PieceStates | None) -> list[Doc]:
        """Take the gradients of an EncoderListener, if it has any."""
        if gradient is None:
            return self._add(None, None)
        return self._add(*self.states.rows_of_piece_gradient(gradient))

    def finish(self) -> None:
        """Send what has come so far, if anything."""
        if not self.is_untouched:
            self.send(self)

    def __reduce__(self) -> Any:
        # It holds a graph, which no other process can have: what goes there has no
        # gradients and will get none.
        return SharedUpdate.__new__, (SharedUpdate,)

    def _add(self, rows: Tensor | None, cls_states: Tensor | None) -> list[Doc]:
        self.rows = _sum(self.rows, rows)
        self.cls_states = _sum(self.cls_states, cls_states)
        self.missing -= 1
        if self.missing == 0:
            self.finish()
        return list(self.states.docs)


def _sum(total: Tensor | None, part: Tensor | None) -> Tensor | None:
    """A total with another part, added in place."""
    if part is None:
        return total
    return part.clone() if total is None else total.add_(part)
