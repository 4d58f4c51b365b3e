"""Writing the weights of a checkpoint directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from ..weight_files import SAFETENSORS

# In the file's metadata: the encoder's weights are those of the folder above.
ENCODER_ABOVE = "encoder_above"


def write_tensors(
    folder: Path, tensors: Mapping[str, Tensor], encoder_above: bool = False
) -> None:
    """Write model.safetensors; the old file stays until the new one is whole.

    Args:
        folder: Is there already.
        tensors: By Hugging Face's names, on any device; each is written in full, so
            that those which share memory do not.
        encoder_above: Whether a reader is to take the encoder's weights, which are
            not among them, from the folder above.
    """
    plain = {
        name: tensor.detach().to("cpu").contiguous().clone()
        for name, tensor in tensors.items()
    }
    partial = folder / (SAFETENSORS.file + ".part")
    metadata = {"format": "pt", **({ENCODER_ABOVE: "true"} if encoder_above else {})}
    # Not save_file, whose files nobody else may read, however the umask stands.
    partial.write_bytes(save(plain, metadata=metadata))
    os.replace(partial, folder / SAFETENSORS.file)
