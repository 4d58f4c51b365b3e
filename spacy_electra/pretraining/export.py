"""From the folder of a run to a source that a pipeline can name."""

from __future__ import annotations

import os
from pathlib import Path

import srsly
import torch

from ..checkpoints import write_model
from ..errors import Errors
from ..models import ElectraForMaskedLM, ElectraForPreTraining
from ..tokenization import ElectraTokenizer
from .shards import TOKENIZER
from .trainer import DISCRIMINATOR, FINAL, GENERATOR, PROGRESS, checkpoints

DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def export_run(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str],
    dtype: str = "bf16",
) -> Path:
    """Write what a run has learned as one directory.

    The discriminator and its tokenizer stand on top, the generator in a folder
    "generator" below, where the pretraining of ``electra_rtd`` looks for it. What the
    networks need only while they train is left behind.

    Args:
        run: Folder of a run: its result is taken or, where it has none yet, its last
            checkpoint.
        output: The directory, made where it is missing.
        dtype: Precision of the weights in the files, a key of ``DTYPES``.

    Returns:
        The folder that was read.

    Raises:
        FileNotFoundError: If the run has neither a result nor a checkpoint.
        ValueError: If there is no such dtype.
    """
    if dtype not in DTYPES:
        choices = ", ".join(DTYPES)
        raise ValueError(Errors.SE002(name="dtype", value=dtype, choices=choices))
    folder, tokenizer = _newest(Path(run))
    for kind, source, target in (
        (ElectraForPreTraining, DISCRIMINATOR, Path(output)),
        (ElectraForMaskedLM, GENERATOR, Path(output) / GENERATOR),
    ):
        network = kind.from_pretrained(folder / source)
        write_model(network, target, DTYPES[dtype])
        tokenizer.save_pretrained(target)
    return folder


def _newest(run: Path) -> tuple[Path, ElectraTokenizer]:
    """The folder with the networks, and their tokenizer."""
    if (run / FINAL).is_dir():
        folder = run / FINAL
        return folder, ElectraTokenizer.from_pretrained(folder / DISCRIMINATOR)
    found = checkpoints(run)
    if not found:
        raise FileNotFoundError(Errors.SE450(path=run))
    shards = srsly.read_json(found[-1] / PROGRESS)["settings"]["data"]["shards"]
    return found[-1], ElectraTokenizer.from_pretrained(Path(shards) / TOKENIZER)
