"""The option that says where a command computes, named as in spaCy."""

from __future__ import annotations

from typing import Any

import typer
from thinc.api import require_gpu

from ..errors import Errors
from ..pretraining.run.distributed import usable_device

# Of commands that run networks of their own. --device was its only name once.
DEVICE: Any = typer.Option(
    "auto",
    "--gpu-id",
    "-g",
    "--device",
    help='GPU ID or -1 for CPU, or a device of torch; "auto" takes a GPU',
)
# Of commands that run a pipeline.
GPU_ID: Any = typer.Option(-1, "--gpu-id", "-g", help="GPU ID or -1 for CPU")


def check_gpu(gpu_id: int) -> None:
    """Refuse the id of a GPU that is not there.

    Raises:
        ValueError: If there is no such GPU.
    """
    usable_device(str(gpu_id))


def use_gpu(gpu_id: int) -> None:
    """Have pipelines that are loaded from now on run on a GPU, if one is named.

    Raises:
        ValueError: If there is no such GPU.
    """
    check_gpu(gpu_id)
    if gpu_id < 0:
        return
    try:
        require_gpu(gpu_id)
    except ValueError as error:
        # torch has it, and Thinc asks for CuPy besides.
        message = Errors.SE450(device=str(gpu_id), error=error, choices="-1 (the CPU)")
        raise ValueError(message) from error
