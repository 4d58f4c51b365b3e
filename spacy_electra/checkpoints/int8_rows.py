"""Matrices as rows of int8 with a scale each: a quarter of the size of float32.

A matrix X becomes ``X``, int8, and ``X.scale``, float32, one number a row: row i is
``X[i] * X.scale[i]``. The largest magnitude of a row becomes 127, so that nothing is
off by more than half a scale, 1/254 of the row's largest weight. Vectors (biases, layer
norms) stay as they are: they are few, and what they scale is much.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import Errors

SCALE = ".scale"
_LARGEST = 127


def to_int8_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round the matrices among some tensors.

    Args:
        tensors: Of floats, by name; those of two dimensions are rounded.

    Raises:
        ValueError: If a matrix has a value that is not finite.
    """
    rounded: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dim() != 2 or not tensor.is_floating_point():
            rounded[name] = tensor
            continue
        if not bool(tensor.isfinite().all()):
            raise ValueError(Errors.SE472(name=name))
        floats = tensor.float()
        scale = floats.abs().amax(dim=1) / _LARGEST
        # A row of zeros has nothing to scale.
        steps = floats / scale.where(scale > 0, torch.ones_like(scale))[:, None]
        rounded[name] = steps.round().clamp(-_LARGEST, _LARGEST).to(torch.int8)
        rounded[name + SCALE] = scale
    return rounded


def from_int8_rows(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The opposite: float32 matrices; tensors that are none of int8 pass.

    Tensors on the meta device, which have names and shapes alone, stay there.

    Args:
        tensors: By name.

    Raises:
        ValueError: If a matrix has another number of rows than scales.
    """
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        owner = name.removesuffix(SCALE)
        if owner != name and owner in tensors:
            continue
        scale = tensors.get(name + SCALE)
        if scale is None:
            plain[name] = tensor
            continue
        if tensor.dim() != 2 or scale.shape != tensor.shape[:1]:
            raise ValueError(
                Errors.SE473(
                    name=name, shape=tuple(tensor.shape), scales=tuple(scale.shape)
                )
            )
        plain[name] = tensor.float() * scale.float()[:, None]
    return plain
