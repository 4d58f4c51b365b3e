"""Layer norm that keeps the precision of the hidden states it is given."""

import torch
from torch import Tensor, nn

from .precision import exact_dtype


class LayerNorm(nn.LayerNorm):
    """``torch.nn.LayerNorm`` whose output has the dtype of its input.

    Statistics are computed in fp32 by torch's kernels; under autocast on CUDA the
    result would be fp32 too, and every residual sum after it. On a CPU torch adds up
    the gradients of weight and bias in the dtype of the rows, which in bf16 makes them
    wrong by some percent over some thousand rows: they are computed in fp32 here.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Float [..., H] -> the same shape and dtype."""
        exact = exact_dtype(input.dtype)
        on_cpu = input.device.type == "cpu" and self.weight.dtype == exact
        rows = input.to(exact) if on_cpu and torch.is_grad_enabled() else input
        return super().forward(rows).to(input.dtype)
