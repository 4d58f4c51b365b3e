"""Layer norm that keeps the precision of the hidden states it is given."""

from torch import Tensor, nn


class LayerNorm(nn.LayerNorm):
    """``torch.nn.LayerNorm`` whose output has the dtype of its input.

    Statistics are computed in fp32 by torch's kernels; under autocast on CUDA the
    result would be fp32 too, and every residual sum after it.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Float [..., H] -> the same shape and dtype."""
        return super().forward(input).to(input.dtype)
