"""Which precision to compute in, and autocast on any device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import Errors

PRECISIONS = ("auto", "fp32", "bf16")
# Of an encoder alone, where nothing is learned; all else is as with "auto".
INT8 = "int8"


def exact_dtype(dtype: torch.dtype) -> torch.dtype:
    """In which sums are formed of values of a dtype: float32, or float64."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@cache
def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """The dtype that a precision means on a device.

    Args:
        precision: "fp32", "bf16", or "auto": bf16 where the device is fast in it.
        device: Where to compute.

    Raises:
        ValueError: If there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            Errors.SE002(
                name="precision", value=precision, choices=", ".join(PRECISIONS)
            )
        )
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return _cpu_has_bf16()
    return False


@cache
def _cpu_has_bf16() -> bool:
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if check is not None:
        return bool(check())
    # Only Linux says so in a file; elsewhere fp32 is the safe answer.
    file = Path("/proc/cpuinfo")
    return file.exists() and "avx512_bf16" in file.read_text(errors="ignore")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """A context in which matrix products run in a precision.

    thinc's own shim casts on CUDA alone; this casts on the device in use.

    Args:
        device: Where the model is.
        precision: "auto", "fp32" or "bf16".
    """
    dtype = resolve_precision(precision, device)
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def without_autocast(layer: nn.Linear, inputs: Tensor) -> Tensor:
    """What a layer gives in the precision of its weights, whatever is asked for."""
    with torch.autocast(inputs.device.type, enabled=False):
        outputs: Tensor = layer(inputs.to(layer.weight.dtype))
    return outputs
