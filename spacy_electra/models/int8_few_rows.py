"""A layer of 8-bit integers for few rows, by operators from floats to floats."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from .activations import Activation
from .inference import Norm, attend_segments
from .packing import Segment

# With fewer rows, the number of operators counts more than what they do.
FEWEST_ROWS = 129
_ENGINE = "fbgemm"
_packing = Lock()


class FloatsLinear:
    """A linear layer that rounds what comes in, to unsigned 8-bit integers.

    FBGEMM does it in one operator, and keeps the weight in a form of its own.

    Args:
        weight: Int8 [nO, nI].
        scales: Of each row of the weight, float [nO].
        bias: Float32 [nO].
        scale: Of a step of what comes in.
        zero: The integer that stands for 0 there.
    """

    def __init__(
        self, weight: Tensor, scales: Tensor, bias: Tensor, scale: float, zero: int
    ) -> None:
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        rows = torch._make_per_channel_quantized_tensor(
            weight, scales.double(), zeros, 0
        )
        self.packed = _pack(rows, bias.detach())
        self.scale, self.zero = scale, zero
        # As in oneDNN's, finding the operator by its names takes a while. What Python
        # has around it looks in all arguments for stand-ins of packed weights.
        name = "linear_with_input_q_dq_qweight_dq_output_fp32"
        self._product = getattr(torch.ops.quantized, name).default._op

    def __call__(self, values: Tensor) -> Tensor:
        """Float32 [T, nI] -> float32 [T, nO]."""
        # Or torch would ask the packed weight for ``__torch_function__``. It answers by
        # an exception in C++, which takes a quarter as long as the product.
        with torch._C.DisableTorchFunctionSubclass():
            result: Tensor = self._product(values, self.scale, self.zero, self.packed)
        return result


@dataclass(frozen=True)
class FewRowsLayer:
    """What a layer of ``Int8Encoder`` computes, with half as many operators.

    Each of them takes longer for a row, so it is for few rows alone. The integers are
    the same, but attention is in fp32, and so are the large columns of the feed-forward
    part: a product of so few takes less time than integers take to start.

    Args:
        qkv: The product for queries, keys and values.
        output: The one after attention.
        up: The first one of the feed-forward part, large columns before the others.
        large: The weight of the large columns in the second one, float [n, H].
        down: The second one, with zeros for these columns.
        widths: What states are multiplied by before ``qkv`` and before ``up``, [H].
        activation: Of the feed-forward part.
        norms: After attention and after the feed-forward part.
        heads: Number of heads.
    """

    qkv: FloatsLinear
    output: FloatsLinear
    up: FloatsLinear
    large: Tensor
    down: FloatsLinear
    widths: tuple[Tensor, Tensor]
    activation: Activation
    norms: tuple[Norm, Norm]
    heads: int

    def __call__(self, hidden: Tensor, segments: list[Segment]) -> Tensor:
        """Float32 [T, H], without the bias of the norm before, -> the same."""
        projected = self.qkv(hidden * self.widths[0])
        context = attend_segments(projected, segments, self.heads, torch.float32)
        hidden = self.norms[0].without_bias(self.output(context).add_(hidden))
        inner = self.activation(self.up(hidden * self.widths[1]))
        summed = self.down(inner).add_(hidden)
        summed.addmm_(inner[:, : len(self.large)], self.large)
        return self.norms[1].without_bias(summed)


def _pack(rows: Tensor, bias: Tensor) -> Any:
    """Weights as FBGEMM wants them, whichever engine torch would take."""
    engines = torch.backends.quantized
    # The engine is one for the process; the user's stays.
    with _packing:
        usual = engines.engine
        engines.engine = _ENGINE
        try:
            return torch.ops.quantized.linear_prepack(rows, bias)
        finally:
            engines.engine = usual


@cache
def has_floats_linear() -> bool:
    """Whether this build of torch has the operator, and it computes what it should.

    It is not part of torch's public interface, so nothing is taken for granted.
    """
    if _ENGINE not in torch.backends.quantized.supported_engines:
        return False
    scale, zero = 0.05, 100
    random = torch.Generator().manual_seed(0)
    weight = torch.randint(-127, 128, (32, 48), generator=random, dtype=torch.int8)
    scales, bias = torch.linspace(0.01, 0.02, 32), torch.linspace(-1.0, 1.0, 32)
    integers = torch.randint(0, 256, (8, 48), generator=random)
    values = (integers - zero) * scale
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = FloatsLinear(weight, scales, bias, scale, zero)(values)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    expected = values @ (weight * scales[:, None]).T + bias
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-3)
