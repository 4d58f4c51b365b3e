"""`python -m spacy electra pretrain`: pretrain generator and discriminator."""

from __future__ import annotations

import shlex
import warnings
from dataclasses import fields
from pathlib import Path

import typer
from wasabi import msg

from ..errors import Warnings
from ..pretraining.run.curves import CURVES, draw_curves
from ..pretraining.run.distributed import usable_device, workers_from_environment
from ..pretraining.run.stop_request import RunStopped
from ..pretraining.run.trainer import Trainer
from ..pretraining.settings import PretrainingSettings
from .gpu import DEVICE
from .overrides import config_overrides
from .progress import PretrainingBar


def pretrain(
    ctx: typer.Context,
    config: Path = typer.Argument(..., help="Config file", exists=True),
    output: Path = typer.Argument(..., help="Folder for checkpoints and the result"),
    resume: bool = typer.Option(
        False, help="Go on from the last checkpoint, if there is one"
    ),
    force: bool = typer.Option(
        False, help="Go on even where settings change what is trained"
    ),
    device: str = DEVICE,
) -> None:
    """Pretrain an ELECTRA on a tokenized corpus.

    Settings of the config can be set otherwise here, as --section.key value. Below
    `torchrun` (torchrun --nproc_per_node 2 -m spacy electra pretrain ...) the batches
    of a step are shared out among the processes.
    """
    sections = ["paths", *(field.name for field in fields(PretrainingSettings))]
    settings = PretrainingSettings.from_file(
        config, config_overrides(ctx.args, sections)
    )
    chosen = usable_device(device)
    with workers_from_environment(chosen) as workers:
        trainer = Trainer(settings, output, chosen, workers)
        if resume and trainer.resume(force) and workers.first:
            _report_resume(trainer)
        try:
            if not workers.first:
                trainer.train()
                return
            with PretrainingBar() as bar, warnings.catch_warnings():
                warnings.showwarning = bar.warn
                result = trainer.train(report=bar.report, on_step=bar.on_step)
        except RunStopped as stopped:
            if workers.first:
                again = ["python", "-m", "spacy", "electra", "pretrain", str(config)]
                again += [str(output), "--resume", "--gpu-id", device, *ctx.args]
                # `torchrun` and its options are not ours to know.
                alone = workers.size == 1
                told = shlex.join(again) if alone else "the same command and --resume"
                msg.warn(f"{stopped} Go on with: {told}")
            # As a shell reports a process that a signal has ended.
            raise typer.Exit(128 + stopped.number) from stopped
    msg.good(f"Wrote discriminator and generator to {result}")
    try:
        msg.good(f"Drew {draw_curves(output, output / CURVES)}")
    except ImportError as error:
        msg.info(str(error))


def _report_resume(trainer: Trainer) -> None:
    msg.info(f"Going on from step {trainer.step:,}")
    if trainer.changes.others:
        msg.info(f"Other settings than before: {'; '.join(trainer.changes.others)}")
    if trainer.changes.trained:
        changes = "; ".join(trainer.changes.trained)
        warnings.warn(Warnings.SW444(changes=changes), stacklevel=2)
