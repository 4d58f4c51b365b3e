"""Weights as safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ...errors import Errors
from ...weight_files import SAFETENSORS
from .renaming import from_flax, from_keras, renamed

FILES = SAFETENSORS
# Whose names the weights bear, by the metadata; without any they are PyTorch's.
_FORMAT = "format"
_RULES = {"tf": from_keras, "flax": from_flax}


def header(file: Path) -> dict[str, Tensor]:
    """Names and shapes, on the meta device.

    Raises:
        ValueError: If the file is broken; the library has compared its size with what
            the header says.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            # The library's shape, not a tensor's: nothing is read.
            found = {
                name: torch.empty(opened.get_slice(name).get_shape(), device="meta")
                for name in opened.keys()  # noqa: SIM118, it is no mapping
            }
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(Errors.SE202(file=file, error=error)) from error
    return _with_names_of_pytorch(found, file)


def read(file: Path) -> dict[str, Tensor]:
    """All weights, on the CPU."""
    try:
        found = load_file(file)
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(Errors.SE202(file=file, error=error)) from error
    return _with_names_of_pytorch(found, file)


def metadata(file: Path) -> dict[str, str]:
    """What else the header says.

    Raises:
        ValueError: If the file is broken.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(Errors.SE202(file=file, error=error)) from error


def _with_names_of_pytorch(tensors: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    rule = _RULES.get(metadata(file).get(_FORMAT, ""))
    return renamed(tensors.items(), rule, file) if rule else tensors
