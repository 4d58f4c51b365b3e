"""Writing the weights of a checkpoint directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from .formats.safetensors_file import FILE


def write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write model.safetensors; the old file stays until the new one is whole.

    Args:
        folder: Is there already.
        tensors: By Hugging Face's names, on any device; each is written in full, so
            that those which share memory do not.
    """
    plain = {
        name: tensor.detach().to("cpu").contiguous().clone()
        for name, tensor in tensors.items()
    }
    partial = folder / (FILE + ".part")
    # Not save_file, whose files nobody else may read, however the umask stands.
    partial.write_bytes(save(plain, metadata={"format": "pt"}))
    os.replace(partial, folder / FILE)
