"""The encoder for inference on a CPU with products of 8-bit integers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints.int8_rows import SCALE, to_int8_rows
from .activations import ACTIVATIONS
from .electra import ElectraModel
from .encoder import EncoderLayer
from .inference import (
    FUSED_ACTIVATIONS,
    ROWS_PER_PASS,
    InferenceEncoder,
    Norm,
    PackedLinear,
    attend_segments,
    can_infer,
    scaled_queries,
)
from .int8_few_rows import (
    FEWEST_ROWS,
    FewRowsLayer,
    FloatsLinear,
    has_floats_linear,
)
from .packing import PackedBatch, Segment
from .precision import resolve_precision

# How much of the differences between columns moves from what comes into a product to
# its weight (Xiao et al., 2023, call it alpha), and how many columns of the inner
# states, those with the largest values, have a range of their own.
_SMOOTHING = 0.75
_LARGE_COLUMNS = 32
# Values that a range is chosen by, and the shares of the widest range that are tried.
_MOST_VALUES = 1 << 16
_SHARES = tuple(1 - step / 20 for step in range(16))
_LEVELS = 255


@dataclass(frozen=True)
class Range:
    """Floats as unsigned 8-bit integers: ``scale * (integer - zero)``.

    Args:
        scale: Of one step, above 0.
        zero: The integer that stands for 0.
    """

    scale: float
    zero: int

    @classmethod
    def of(cls, values: Tensor) -> Range:
        """The range with the least squared error over some values.

        The rarest of them may lie outside: all others get finer steps for it.

        Args:
            values: Float32, of any shape.
        """
        values = values.flatten()
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        widest = max(high - low, torch.finfo(torch.float32).eps)
        # Every n-th value; an odd step meets all columns of a matrix.
        sample = values[:: len(values) // _MOST_VALUES | 1]
        tried = []
        for share in _SHARES:
            scale = share * widest / _LEVELS
            zero = min(max(round(-share * low / scale), 0), _LEVELS)
            rounded = (sample / scale).round_().clamp_(-zero, _LEVELS - zero) * scale
            tried.append((float((rounded - sample).square().mean()), scale, zero))
        _, scale, zero = min(tried)
        return cls(scale, zero)

    def round(self, values: Tensor) -> Tensor:
        """Float32 [T, n] -> uint8 [T, n]."""
        rounded = torch.quantize_per_tensor(values, self.scale, self.zero, torch.quint8)
        # The same memory as plain integers; ``int_repr`` would copy it.
        plain = torch.empty(0, dtype=torch.uint8)
        return plain.set_(rounded.untyped_storage(), 0, rounded.shape, rounded.stride())


@dataclass(frozen=True)
class Inputs:
    """What comes into a product, as integers.

    Args:
        range: Of the columns, each divided by its width.
        widths: Float [nI], above 0.
    """

    range: Range
    widths: Tensor
    _inverse: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_inverse", self.widths.reciprocal())

    @classmethod
    def smooth(cls, values: Tensor) -> Inputs:
        """Wide columns become narrower.

        Args:
            values: Float [T, nI].
        """
        largest = values.abs().amax(0)
        mean = largest.mean().clamp(min=torch.finfo(torch.float32).eps)
        # A column that hardly moved here may do so elsewhere.
        widths = (largest / mean).clamp(min=0.01) ** _SMOOTHING
        return cls(Range.of(values / widths), widths)

    def round(self, values: Tensor) -> Tensor:
        """Float32 [T, nI] -> uint8 [T, nI]."""
        return self.range.round(values * self._inverse)


def _grouped(values: Tensor) -> list[tuple[Tensor, Inputs]]:
    """Columns with large values and the rest, int64 [n] each, and their ranges."""
    order = values.abs().amax(0).argsort(descending=True)
    parts = order.tensor_split([_LARGE_COLUMNS])
    return [
        (part, Inputs(Range.of(values[:, part]), torch.ones(len(part))))
        for part in parts
        if len(part)
    ]


class Int8Linear:
    """A linear layer whose products are of integers, unsigned inputs by signed weights.

    Each row of the weight has a scale of its own (``checkpoints/int8_rows.py``).

    Args:
        weight: Float [nO, nI].
        bias: Float [nO].
        inputs: Of what comes in.
        activation: Applied to the result, a name of ``ACTIVATIONS``.
        outputs: Of what comes out, where that is to be integers.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        inputs: Inputs,
        activation: str = "linear",
        outputs: Range | None = None,
    ) -> None:
        integers, self.scales = _rounded(weight, inputs)
        self.weight = torch.ops.onednn.qlinear_prepack(
            integers, [ROWS_PER_PASS, weight.shape[1]]
        )
        self.zeros = torch.zeros(len(weight), dtype=torch.int64)
        self.bias = bias.detach().float()
        self.inputs, self.outputs = inputs, outputs
        self.fused, self.variant = FUSED_ACTIVATIONS.get(activation, ("none", ""))
        is_fused = activation in FUSED_ACTIVATIONS or activation == "linear"
        self.activation = None if is_fused else ACTIVATIONS[activation]
        # Found once: the names of operators, and which of two it is, take a while.
        product = torch.ops.onednn.qlinear_pointwise
        self._product, self._product_and_sum = product.default, product.binary

    def __call__(self, rows: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uint8 [T, nI] -> [T, nO], of a dtype, or uint8 where ``outputs`` says so."""
        outputs, target = self.outputs, (1.0, 0, dtype)
        if outputs is not None and self.activation is None:
            target = (outputs.scale, outputs.zero, torch.uint8)
        result: Tensor = self._product(
            *self._operands(rows),
            self.bias,
            *target,
            self.fused,
            [],
            self.variant,
        )
        if self.activation is None:
            return result
        result = self.activation(result)
        return result if outputs is None else outputs.round(result)

    def add_to(self, rows: Tensor, residual: Tensor) -> Tensor:
        """Add what comes of uint8 [T, nI] to float32 [T, nO], in place; returns it."""
        summed: Tensor = self._product_and_sum(
            *self._operands(rows),
            residual,
            self.bias,
            *(1.0, 0, torch.float32),
            *(1.0, 0, "sum", 1.0),
            *("none", [], ""),
        )
        return summed

    def _operands(self, rows: Tensor) -> tuple[Any, ...]:
        scale, zero = self.inputs.range.scale, self.inputs.range.zero
        return rows, scale, zero, self.weight, self.scales, self.zeros


def _rounded(weight: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
    """A weight for such inputs, int8 [nO, nI], and the scale of each row, [nO]."""
    rows = to_int8_rows({"weight": weight.detach().float() * inputs.widths})
    return rows["weight"], rows["weight" + SCALE]


def _of_floats(weight: Tensor, bias: Tensor, inputs: Inputs) -> FloatsLinear:
    """As ``Int8Linear``, for few rows."""
    own = inputs.range
    return FloatsLinear(*_rounded(weight, inputs), bias, own.scale, own.zero)


class Int8Encoder(InferenceEncoder):
    """As ``InferenceEncoder``, with weights and inputs of products as 8-bit integers.

    Sums, layer norms and states are float32; attention is bf16 where the processor is
    fast in it. What goes into a product is rounded within a range that it has on some
    sequences. A few columns would make that coarse for all others; three changes, none
    of which changes what is computed, help:

    - A layer norm's bias is no part of what is rounded: it shifts a column as a whole,
      and so goes into the biases of what reads the states.
    - Columns are scaled towards a common width, and the weight against it (SmoothQuant,
      Xiao et al., 2023).
    - The largest columns of the feed-forward part have a range of their own, since
      scaling does not pass through the activation.

    Args:
        network: One that ``can_quantize`` takes.
        sequences: Pieces like those that will come, at least one.
    """

    def __init__(self, network: ElectraModel, sequences: PackedBatch) -> None:
        project = network.embeddings_project
        first = project if isinstance(project, nn.Linear) else network.embeddings.norm
        self.offset = first.bias.detach()
        self.sequences = sequences
        super().__init__(network, torch.float32)
        fast = resolve_precision("auto", torch.device("cpu"))
        self.padded_dtype = self.attention_dtype = fast

    @torch.no_grad()
    def _lay_out(self) -> Sequence[Any]:
        observed = _observe(self.network, self.offset, self.sequences)
        layers = []
        offset = self.offset
        for layer, inputs in zip(self.network.encoder.layers, observed, strict=True):
            layer = cast(EncoderLayer, layer)
            layers.append(_Int8Layer(layer, self.config.hidden_act, inputs, offset))
            offset = layers[-1].norm.bias.detach()
        return layers

    def _run_layers(
        self, hidden: Tensor, segments: list[Segment], keep_all: bool
    ) -> list[Tensor]:
        if not len(hidden):
            return [hidden] * (len(self.layers) + 1)
        states = [hidden]
        hidden, offset = hidden - self.offset, self.offset
        for layer in self.layers:
            hidden, offset = layer(hidden, segments), layer.norm.bias
            if keep_all:
                states.append(hidden + offset)
        return states if keep_all else [hidden + offset]


class _Int8Layer:
    """As ``inference._Layer``; states come and go without the bias of their norm.

    Args:
        layer: Whose weights it takes.
        activation: Of the feed-forward part.
        inputs: Of its four products, by name; groups of columns for "down".
        offset: What was left out of the states that come in, float [H].
    """

    def __init__(
        self,
        layer: EncoderLayer,
        activation: str,
        inputs: dict[str, Any],
        offset: Tensor,
    ) -> None:
        attention = layer.attention
        up, down = layer.feed_forward.up, layer.feed_forward.down
        self.heads = attention.heads
        width = attention.output.in_features
        self.attention_norm = Norm(attention.norm)
        self.norm = Norm(layer.feed_forward.norm)
        self.dtype = resolve_precision("auto", torch.device("cpu"))
        # The values come out of their product as wide as the next one wants them.
        qkv, output = scaled_queries(attention), attention.output
        values = slice(2 * width, None)
        qkv.weight[values] /= inputs["output"].widths[:, None]
        qkv.bias[values] /= inputs["output"].widths
        qkv_bias = qkv.bias + qkv.weight @ offset
        output_bias = output.bias + offset
        self.qkv = Int8Linear(qkv.weight, qkv_bias, inputs["qkv"])
        self.output = Int8Linear(output.weight, output_bias, inputs["output"])
        between = attention.norm.bias.detach()
        up_bias = up.bias + up.weight @ between
        added = down.bias + between
        self.feed_forward = []
        down_bias = added
        for columns, own in inputs["down"]:
            weight, bias = up.weight[columns], up_bias[columns]
            self.feed_forward.append(
                (
                    Int8Linear(weight, bias, inputs["up"], activation, own.range),
                    Int8Linear(down.weight[:, columns], added, own),
                )
            )
            added = torch.zeros_like(added)
        self.few_rows: FewRowsLayer | None = None
        if has_floats_linear():
            # Columns of a range of their own are no integers there.
            *large, (_, own) = inputs["down"]
            order = torch.cat([columns for columns, _ in inputs["down"]])
            count = sum(len(columns) for columns, _ in large)
            first = (up.weight[order], up_bias[order], inputs["up"])
            second = down.weight[:, order]
            large_weight = second[:, :count].T.contiguous()
            second[:, :count] = 0.0
            second_inputs = Inputs(own.range, torch.ones(len(order)))
            self.few_rows = FewRowsLayer(
                qkv=_of_floats(qkv.weight, qkv_bias, inputs["qkv"]),
                output=_of_floats(output.weight, output_bias, inputs["output"]),
                up=_of_floats(*first),
                large=large_weight,
                down=_of_floats(second, down_bias, second_inputs),
                widths=(1 / inputs["qkv"].widths, 1 / inputs["up"].widths),
                activation=ACTIVATIONS[activation],
                norms=(self.attention_norm, self.norm),
                heads=self.heads,
            )

    def __call__(self, hidden: Tensor, segments: list[Segment]) -> Tensor:
        """Float32 [T, H] -> the same shape; it may write into what it is given."""
        if self.few_rows is not None and len(hidden) < FEWEST_ROWS:
            return self.few_rows(hidden, segments)
        projected = self.qkv(self.qkv.inputs.round(hidden), self.dtype)
        context = attend_segments(projected, segments, self.heads, torch.float32)
        hidden = self.output.add_to(self.output.inputs.range.round(context), hidden)
        hidden = self.attention_norm.without_bias(hidden)
        rows = self.feed_forward[0][0].inputs.round(hidden)
        for up, down in self.feed_forward:
            hidden = down.add_to(up(rows), hidden)
        return self.norm.without_bias(hidden)


class _Observer:
    """A product that looks at what comes into it.

    Args:
        linear: What it computes.
        left_out: Of what comes in, float [nI].
        is_inner: Whether columns are grouped, not scaled.
    """

    def __init__(
        self, linear: PackedLinear, left_out: Tensor | float, is_inner: bool
    ) -> None:
        self.linear, self.left_out, self.is_inner = linear, left_out, is_inner
        self.found: Any = None

    def __call__(self, rows: Tensor, residual: Tensor | None = None) -> Tensor:
        values = rows - self.left_out
        self.found = _grouped(values) if self.is_inner else Inputs.smooth(values)
        return self.linear(rows, residual)


def _observe(
    network: ElectraModel, offset: Tensor, sequences: PackedBatch
) -> list[dict[str, Any]]:
    """What comes into the products of each layer, by their names in ``_Int8Layer``."""
    encoder = InferenceEncoder(network, torch.float32)
    observers: list[dict[str, _Observer]] = []
    for layer in encoder.layers:
        left_out = {
            "qkv": offset,
            "output": 0.0,
            "up": layer.attention_norm.bias,
            "down": 0.0,
        }
        observers.append(
            {
                name: _Observer(getattr(layer, name), own, name == "down")
                for name, own in left_out.items()
            }
        )
        vars(layer).update(observers[-1])
        offset = layer.norm.bias
    with torch.no_grad():
        encoder.forward_packed(sequences)
    return [{name: own.found for name, own in o.items()} for o in observers]


def can_quantize(network: nn.Module) -> bool:
    """Whether ``Int8Encoder`` can take the place of a network, and is fast."""
    return can_infer(network, torch.float32) and _has_fast_int8() and _works()


def _has_fast_int8() -> bool:
    """Whether the processor multiplies 8-bit integers in one instruction (VNNI)."""
    check = getattr(torch.cpu, "_is_vnni_supported", None)
    return bool(check()) if check is not None else False


@cache
def _works() -> bool:
    """Whether this build of torch has the kernels, and they compute what they should.

    They are not part of torch's public interface, so nothing is taken for granted.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        linear = nn.Linear(64, 64)
        rows = torch.randn(16, 64)
        plain = linear(rows)
        try:
            with warnings.catch_warnings():
                # It is to go one day, and says so once in a process.
                warnings.simplefilter("ignore")
                inputs = Inputs.smooth(rows)
                integers = inputs.round(rows)
            weight, bias = linear.weight, linear.bias
            ranges = Range.of(F.gelu(plain))
            fused = Int8Linear(weight, bias, inputs, "gelu", ranges)(integers)
            found = (fused.float() - ranges.zero) * ranges.scale
            packed = Int8Linear(weight, bias, inputs)
            summed = packed.add_to(integers, torch.ones_like(plain))
        except (AttributeError, RuntimeError, NotImplementedError):
            return False
        return torch.allclose(found, F.gelu(plain), atol=0.1) and torch.allclose(
            summed, plain + 1, atol=0.1
        )
