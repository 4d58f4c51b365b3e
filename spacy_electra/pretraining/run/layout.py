"""Where things lie in the folder of a run, and what a full disk says."""

from __future__ import annotations

import errno
from pathlib import Path

CHECKPOINTS, FINAL = "checkpoints", "final"
DISCRIMINATOR, GENERATOR = "discriminator", "generator"
CONFIG, CURVES = "config.cfg", "curves.png"
WANDB_ID = "wandb_id.txt"
PARTIAL = ".part"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def checkpoints(output: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    folders = (output / CHECKPOINTS).glob("step-*")
    return sorted(folder for folder in folders if folder.suffix != PARTIAL)


def checkpoint_of(output: Path, step: int) -> Path:
    """Where the checkpoint of a step lies, or will."""
    return output / CHECKPOINTS / f"step-{step:08d}"
