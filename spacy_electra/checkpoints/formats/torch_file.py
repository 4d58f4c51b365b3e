"""Weights as PyTorch pickles them; only tensors are ever unpickled."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from ...errors import Errors, Warnings
from ...weight_files import PYTORCH
from .checks import check_claim

FILES = PYTORCH
# What training scripts put around a state dict.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def header(file: Path) -> dict[str, Tensor]:
    """Names and shapes, on the meta device.

    Raises:
        ValueError: If the file is broken, holds more than tensors, or lists tensors
            that are larger than the file.
    """
    # Fake tensors take no memory, however large a file says that they are.
    found = _tensors(file, FakeTensorMode(allow_non_fake_inputs=True))
    claims: dict[int, int] = {}
    for tensor in found.values():
        storage = tensor.untyped_storage()
        # A row that is repeated for ever needs little storage and much memory.
        claim = max(storage.nbytes(), tensor.numel() * tensor.element_size())
        claims[storage._cdata] = max(claim, claims.get(storage._cdata, 0))
    check_claim(file, sum(claims.values()))
    return {
        name: torch.empty(tuple(tensor.shape), device="meta")
        for name, tensor in found.items()
    }


def read(file: Path) -> dict[str, Tensor]:
    """All weights, on the CPU."""
    return _tensors(file, nullcontext())


def _tensors(file: Path, mode: AbstractContextManager[Any]) -> dict[str, Tensor]:
    try:
        with mode, warnings.catch_warnings():
            # It tells of its own plans for loading files.
            warnings.simplefilter("ignore", FutureWarning)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        # Not with the library's words, which tell how to let the file run code.
        raise ValueError(Errors.SE213(file=file)) from error
    except Exception as error:
        # A damaged pickle can raise anything at all.
        raise ValueError(Errors.SE202(file=file, error=error)) from error
    content = _unwrapped(content, file)
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor)
        for name, value in content.items()
    ):
        raise ValueError(Errors.SE214(file=file))
    return dict(content)


def _unwrapped(content: Any, file: Path) -> Any:
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            warnings.warn(Warnings.SW201(file=file, key=key), stacklevel=2)
            return content[key]
    return content
