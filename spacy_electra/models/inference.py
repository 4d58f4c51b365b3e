"""The encoder for inference on a CPU: weights laid out for its matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .activations import ACTIVATIONS
from .attention import (
    LONGEST_EXPLICIT,
    SelfAttention,
    attend,
    explicit_attention,
    parts_of,
    split_heads,
)
from .electra import ElectraModel
from .embeddings import check_length
from .encoder import EncoderLayer
from .outputs import EncoderOutput
from .packing import FEW_ROWS_FUSED, PackedBatch, Segment, segments_of

# Most rows of one forward pass: what lies between two layers should fit the caches.
ROWS_PER_PASS = 2048
# Up to this length, three operators in fp32 take less time than the fused kernel for a
# sequence that comes alone (benchmarks/one_text.py).
LONGEST_ALONE = 128
# Activations that oneDNN computes while it writes a product: its names for them.
FUSED_ACTIVATIONS: dict[str, tuple[str, str]] = {
    "gelu": ("gelu", "none"),
    "gelu_python": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_fast": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
}


class InferenceEncoder:
    """An encoder's weights, copied and laid out once, and its forward pass.

    Beside ``ElectraModel`` it saves the casts of weights, fuses bias, activation and
    residual sum with the products in front of them, and scales weights in place of
    queries. The results are the same but for rounding. It has neither dropout nor
    gradients, whatever the context that it is called in.

    Args:
        network: With absolute positions and without a causal mask, on the CPU.
        dtype: float32 or bfloat16.
    """

    def __init__(self, network: ElectraModel, dtype: torch.dtype) -> None:
        self.network = network
        self.config = network.config
        self.dtype = dtype
        # What the network itself computes in where it is called.
        self.padded_dtype = dtype
        self.attention_dtype = dtype
        tables = network.embeddings
        # They share memory with the network's, and have no gradients.
        self.words = tables.word_embeddings.weight.detach()
        self.types = tables.token_type_embeddings.weight.detach()
        self.positions = tables.position_embeddings.weight.detach()
        self.norm = Norm(tables.norm)
        project = network.embeddings_project
        self.project = (
            PackedLinear(project, dtype) if isinstance(project, nn.Linear) else None
        )
        self.layers = self._lay_out()

    def __call__(self, *args: Any, **kwargs: Any) -> EncoderOutput:
        """What the network itself does with a padded batch."""
        dtype = self.padded_dtype
        casts = dtype != torch.float32
        with torch.no_grad(), torch.autocast("cpu", dtype, enabled=casts):
            output: EncoderOutput = self.network(*args, **kwargs)
        return output

    def forward_packed(
        self, batch: PackedBatch, output_hidden_states: bool = False
    ) -> EncoderOutput:
        """As ``ElectraModel.forward_packed``."""
        longest, limit = max(batch.lengths, default=0), len(self.positions)
        if longest > limit:
            check_length(longest, limit)
        # To enter a context takes longer than to see that there is nothing to undo.
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                states = self._run(batch, output_hidden_states)
        else:
            states = self._run(batch, output_hidden_states)
        return EncoderOutput(
            states[-1], hidden_states=tuple(states) if output_hidden_states else None
        )

    def _run(self, batch: PackedBatch, keep_all: bool) -> list[Tensor]:
        is_fused = not LONGEST_EXPLICIT.get(self.attention_dtype)
        few_rows = FEW_ROWS_FUSED if is_fused else None
        segments = segments_of(batch.lengths, padded=True, few_rows=few_rows)
        embedded = torch.embedding(self.words, batch.input_ids)
        embedded += torch.embedding(self.types, batch.token_type_ids)
        embedded += torch.embedding(self.positions, batch.position_ids)
        hidden = self.norm(embedded).to(self.dtype)
        if self.project is not None:
            hidden = self.project(hidden)
        return self._run_layers(hidden, segments, keep_all)

    def _lay_out(self) -> Sequence[Any]:
        """The layers, as ``_run_layers`` takes them."""
        return [
            _Layer(cast(EncoderLayer, layer), self.config.hidden_act, self.dtype)
            for layer in self.network.encoder.layers
        ]

    def _run_layers(
        self, hidden: Tensor, segments: list[Segment], keep_all: bool
    ) -> list[Tensor]:
        """The states before the first layer and after each, or the last ones alone."""
        states = [hidden]
        for layer in self.layers:
            hidden = layer(hidden, segments)
            states = [*states, hidden] if keep_all else [hidden]
        return states


class Norm:
    """A layer norm; statistics are computed in fp32, whatever comes in."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self.shape, self.eps = norm.normalized_shape, norm.eps
        self.weight, self.bias = norm.weight.detach(), norm.bias.detach()

    def __call__(self, hidden: Tensor) -> Tensor:
        """Float [T, H] -> the same shape and dtype."""
        return torch.layer_norm(hidden, self.shape, self.weight, self.bias, self.eps)

    def without_bias(self, hidden: Tensor) -> Tensor:
        """The same minus ``bias``."""
        return torch.layer_norm(hidden, self.shape, self.weight, None, self.eps)


class _Layer:
    """One layer: self-attention, then feed-forward, layer norm after each."""

    def __init__(
        self, layer: EncoderLayer, activation: str, dtype: torch.dtype
    ) -> None:
        attention, feed_forward = layer.attention, layer.feed_forward
        self.heads, self.dtype = attention.heads, dtype
        self.qkv = PackedLinear(scaled_queries(attention), dtype)
        self.output = PackedLinear(attention.output, dtype)
        self.attention_norm = Norm(attention.norm)
        self.up = PackedLinear(feed_forward.up, dtype, activation)
        self.down = PackedLinear(feed_forward.down, dtype)
        self.norm = Norm(feed_forward.norm)

    def __call__(self, hidden: Tensor, segments: list[Segment]) -> Tensor:
        context = attend_segments(self.qkv(hidden), segments, self.heads, self.dtype)
        hidden = self.attention_norm(self.output(context, residual=hidden))
        return self.norm(self.down(self.up(hidden), residual=hidden))


def attend_segments(
    projected: Tensor, segments: list[Segment], heads: int, dtype: torch.dtype
) -> Tensor:
    """Attention within each sequence.

    Args:
        projected: Queries that are scaled already, keys and values, float [T, 3 H].
        segments: Cover all rows, in order.
        heads: Number of heads.
        dtype: Of the results.

    Returns:
        Contiguous, [T, H].
    """
    width = projected.shape[1] // 3
    if len(segments) == 1 and segments[0].padding is None:
        is_alone = segments[0].count == 1 and len(projected) <= LONGEST_ALONE
        is_exact = projected.dtype == dtype == torch.float32
        # The heads of one sequence need no copy for explicit products.
        run = explicit_attention if is_alone and is_exact else attend
        attended = run(parts_of(projected, segments[0], heads), scale=1.0)
        # That of few rows may lie there as it is wanted.
        attended = attended.transpose(1, 2).reshape(-1, width)
        return attended if attended.dtype == dtype else attended.to(dtype)
    all_parts = split_heads(projected, segments, heads)
    context = projected.new_empty(len(projected), width, dtype=dtype)
    for parts, segment in zip(all_parts, segments, strict=True):
        padding = segment.padding
        attended = attend(parts, bias=padding.bias if padding else None, scale=1.0)
        attended = attended.transpose(1, 2)
        rows = context[segment.start : segment.start + segment.rows]
        if padding is None:
            rows.view(attended.shape).copy_(attended)
        else:
            rows.copy_(padding.unpad(attended.reshape(-1, width)))
    return context


def scaled_queries(attention: SelfAttention) -> nn.Linear:
    """The product for queries, keys and values, with the scores' scale in the queries.

    Scaling weights once saves scaling all queries. With heads 64 wide it is a power of
    two, which loses nothing.
    """
    scaled = deepcopy(attention.qkv).requires_grad_(False)
    width = attention.output.in_features
    scaled.weight[:width] /= math.sqrt(attention.head_width)
    scaled.bias[:width] /= math.sqrt(attention.head_width)
    return scaled


class PackedLinear:
    """A linear layer whose weight lies as oneDNN's kernel wants it.

    Args:
        linear: What it computes.
        dtype: Of weight, bias and inputs.
        activation: Applied to the result, a name of ``ACTIVATIONS``.
    """

    def __init__(
        self, linear: nn.Linear, dtype: torch.dtype, activation: str = "linear"
    ) -> None:
        weight = linear.weight.detach().to(dtype).contiguous()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS_PER_PASS)
        self.bias = linear.bias.detach().to(dtype)
        self.fused, self.variant = FUSED_ACTIVATIONS.get(activation, ("none", ""))
        is_fused = activation in FUSED_ACTIVATIONS or activation == "linear"
        self.activation = None if is_fused else ACTIVATIONS[activation]
        # Found once: the names of operators, and which of two it is, take a while.
        product = torch.ops.mkldnn._linear_pointwise
        self._product, self._product_and_sum = product.default, product.binary

    def __call__(self, rows: Tensor, residual: Tensor | None = None) -> Tensor:
        """Float [T, nI] -> float [T, nO], with ``residual`` added, float [T, nO]."""
        if residual is not None:
            summed: Tensor = self._product_and_sum(
                rows, residual, self.weight, self.bias, "add"
            )
            return summed
        result: Tensor = self._product(
            rows, self.weight, self.bias, self.fused, [], self.variant
        )
        return result if self.activation is None else self.activation(result)


def can_infer(network: nn.Module, dtype: torch.dtype) -> bool:
    """Whether ``InferenceEncoder`` can take the place of a network."""
    return (
        isinstance(network, ElectraModel)
        and next(network.parameters()).device.type == "cpu"
        and network.config.position_embedding_type == "absolute"
        and not network.config.is_decoder
        and _works(dtype)
    )


@cache
def _works(dtype: torch.dtype) -> bool:
    """Whether this build of torch has the kernels, and they compute what they should.

    They are not part of torch's public interface, so nothing is taken for granted.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        linear = nn.Linear(16, 16)
        rows = torch.randn(8, 16)
        try:
            packed = PackedLinear(linear, dtype, "gelu")
            found = packed(rows.to(dtype)).float()
            summed = packed(rows.to(dtype), residual=rows.to(dtype)).float()
        except (AttributeError, RuntimeError, NotImplementedError):
            return False
        plain = linear(rows)
        return torch.allclose(found, F.gelu(plain), atol=0.05) and torch.allclose(
            summed, plain + rows, atol=0.05
        )
