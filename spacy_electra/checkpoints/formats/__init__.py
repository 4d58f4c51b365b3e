"""Formats of weight files, one module each, in the order in which they are preferred.

All hand over Hugging Face's PyTorch names and shapes, whoever wrote the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import Tensor

from ...weight_files import WeightFiles
from . import (
    flax_file,
    safetensors_file,
    tensorflow1_file,
    tensorflow_file,
    torch_file,
)


class Format(Protocol):
    """What a module of this folder has."""

    FILES: WeightFiles
    """How its files are named."""

    def header(self, file: Path) -> dict[str, Tensor]:
        """Names and shapes, on the meta device; costs nothing, whatever is claimed."""

    def read(self, file: Path) -> dict[str, Tensor]:
        """All weights, on the CPU."""


# In the order of the names in weight_files.
FORMATS: tuple[Format, ...] = (
    safetensors_file,
    torch_file,
    flax_file,
    tensorflow_file,
    tensorflow1_file,
)


def weights_file(folder: Path, form: Format) -> Path | None:
    """The file of weights of a format, if a folder has one.

    Raises:
        ValueError: If there are several and nothing says which is meant.
    """
    found = sorted(folder.glob(form.FILES.file))
    if len(found) > 1:
        return tensorflow1_file.newest(folder, found)
    return found[0] if found else None
