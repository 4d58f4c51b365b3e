"""A linear layer that writes its result once while it trains in bf16 on a CPU."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Linear(nn.Linear):
    """``torch.nn.Linear``, and the same results.

    With a bias, torch first writes the bias to all rows of the result and then adds the
    product to it. For rows in bf16 oneDNN adds the bias while it writes the product.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Float [..., nI] -> float [..., nO]."""
        if not self._is_fused(input):
            return super().forward(input)
        result: Tensor = _Linear.apply(input, self.weight, self.bias)
        return result

    def _is_fused(self, rows: Tensor) -> bool:
        computes_in_bf16 = (
            torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") == torch.bfloat16
        ) or self.weight.dtype == torch.bfloat16
        return (
            self.training
            and torch.is_grad_enabled()
            and rows.dtype == torch.bfloat16
            and rows.device.type == "cpu"
            and rows.dim() == 2
            and self.bias is not None
            and computes_in_bf16
            and not torch.compiler.is_compiling()
            and _works()
        )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.dtype, weight = weight.dtype, weight.to(rows.dtype)
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias.to(rows.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        # A frozen layer learns nothing, and the first one has nothing below it.
        for_rows, for_weight, for_bias = ctx.needs_input_grad
        return (
            upstream @ weight if for_rows else None,
            (upstream.t() @ rows).to(ctx.dtype) if for_weight else None,
            upstream.sum(0).to(ctx.dtype) if for_bias else None,
        )


def product(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Rows [T, nI] times a matrix [nO, nI], and a bias, on a CPU, without gradients."""
    if rows.dtype == torch.bfloat16 and _works():
        return _product(rows, weight, bias)
    return F.linear(rows, weight, bias)


def _product(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(
        rows, weight, bias, "none", [], ""
    )
    return product


@cache
def _works() -> bool:
    """Whether this build of torch has the kernel, and it computes what it should.

    It is not part of torch's public interface, so nothing is taken for granted.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    # Any numbers that bf16 holds exactly; torch's generator stays as it is.
    rows, weight = torch.arange(8.0).view(2, 4), torch.arange(12.0).view(3, 4)
    values = [value.bfloat16() for value in (rows, weight, weight[:, 0])]
    with torch.no_grad():
        try:
            found = _product(*values)
        except (AttributeError, RuntimeError, NotImplementedError):
            return False
        return torch.allclose(found.float(), F.linear(*values).float(), rtol=0.01)
