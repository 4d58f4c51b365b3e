"""A network as safetensors, which Transformers and this package open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ...checkpoints import read_tensors, to_int8_rows, write_tensors
from ...checkpoints.names import PREFIX
from ...models.pretrained import PretrainedModel
from ...weight_files import SAFETENSORS
from ..calibration import Batch

NAME = "safetensors"
FILE = SAFETENSORS.file
FILES = (FILE, SAFETENSORS.index)
INT8 = "int8"
_DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
PRECISIONS = (*_DTYPES, INT8)
CALIBRATED: tuple[str, ...] = ()


def check(precision: str) -> None:
    """Nothing: the package needs safetensors itself."""


def write(
    network: PretrainedModel, folder: Path, precision: str, batches: Sequence[Batch]
) -> None:
    """Write config.json and model.safetensors.

    Args:
        network: Of any class.
        folder: Is there already.
        precision: "int8" writes rows of int8 with scales, which only this package
            reads.
        batches: Not used.
    """
    network.save_pretrained(folder, _DTYPES.get(precision, torch.float32))
    if precision == INT8:
        write_tensors(folder, to_int8_rows(read_tensors(folder)))


def share_encoder(folder: Path) -> None:
    """Let a network of int8 take its encoder from the folder above, if they are alike.

    Args:
        folder: In the folder of another network, both written with "int8".
    """
    own, above = read_tensors(folder), read_tensors(folder.parent)
    encoder = [name for name in own if name.startswith(PREFIX)]
    if all(name in above and torch.equal(own[name], above[name]) for name in encoder):
        rest = {n: t for n, t in own.items() if n not in encoder}
        write_tensors(folder, to_int8_rows(rest), encoder_above=True)
