"""`python -m spacy electra pretrain`: pretrain generator and discriminator."""

from __future__ import annotations

import warnings
from pathlib import Path

import typer
from spacy.cli._util import parse_config_overrides
from wasabi import msg

from ..pretraining.run.curves import CURVES, draw_curves
from ..pretraining.run.distributed import own_device, workers_from_environment
from ..pretraining.run.trainer import Trainer
from ..pretraining.settings import PretrainingSettings
from .progress import PretrainingBar


def pretrain(
    ctx: typer.Context,
    config: Path = typer.Argument(..., help="Config file", exists=True),
    output: Path = typer.Argument(..., help="Folder for checkpoints and the result"),
    resume: bool = typer.Option(
        False, help="Go on from the last checkpoint, if there is one"
    ),
    device: str = typer.Option(
        "auto", help='Where to train: "cpu", "cuda", "cuda:1"; "auto" takes a GPU'
    ),
) -> None:
    """Pretrain an ELECTRA on a tokenized corpus.

    Settings of the config can be set otherwise here, as --section.key value. Below
    `torchrun` (torchrun --nproc_per_node 2 -m spacy electra pretrain ...) the batches
    of a step are shared out among the processes.
    """
    settings = PretrainingSettings.from_file(config, parse_config_overrides(ctx.args))
    chosen = own_device(device)
    with workers_from_environment(chosen) as workers:
        trainer = Trainer(settings, output, chosen, workers)
        if resume and trainer.resume() and workers.first:
            msg.info(f"Going on from step {trainer.step:,}")
        if not workers.first:
            trainer.train()
            return
        with PretrainingBar() as bar, warnings.catch_warnings():
            warnings.showwarning = bar.warn
            result = trainer.train(report=bar.report, on_step=bar.on_step)
    msg.good(f"Wrote discriminator and generator to {result}")
    try:
        msg.good(f"Drew {draw_curves(output, output / CURVES)}")
    except ImportError as error:
        msg.info(str(error))
