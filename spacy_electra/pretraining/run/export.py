"""From the folder of a run to a source that a pipeline can name."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from ...checkpoints import write_model
from ...errors import Errors
from .layout import GENERATOR
from .opening import open_pair

DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def export_run(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str],
    dtype: str = "bf16",
) -> None:
    """Write what a run has learned as one directory.

    The discriminator and its tokenizer stand on top, the generator in a folder
    "generator" below, where the pretraining of ``electra_rtd`` looks for it. What the
    networks need only while they train is left behind.

    Args:
        run: Folder of a run: its result is taken or, where it has none yet, its last
            checkpoint; or anything else that ``open_pair`` opens.
        output: The directory, made where it is missing.
        dtype: Precision of the weights in the files, a key of ``DTYPES``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If there is no such dtype.
    """
    if dtype not in DTYPES:
        choices = ", ".join(DTYPES)
        raise ValueError(Errors.SE002(name="dtype", value=dtype, choices=choices))
    pair = open_pair(run)
    # Other readers cut texts there: it is what the network can take.
    longest = pair.discriminator.config.max_position_embeddings
    pair.tokenizer.settings["model_max_length"] = longest
    folder = Path(output)
    write_model(pair.discriminator, folder, DTYPES[dtype])
    pair.tokenizer.save_pretrained(folder)
    if pair.generator is not None:
        write_model(pair.generator, folder / GENERATOR, DTYPES[dtype])
        pair.tokenizer.save_pretrained(folder / GENERATOR)
