"""`python -m spacy electra pretrain`: pretrain generator and discriminator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from spacy.cli._util import parse_config_overrides
from wasabi import msg

from ..pretraining.settings import PretrainingSettings
from ..pretraining.trainer import Trainer

# What a line of the terminal shows, and how.
_COLUMNS = {
    "step": "{:>7}",
    "tokens": "{:>11,}",
    "minutes": "{:>7.1f}",
    "progress": "{:>6.1%}",
    "tokens_per_second": "{:>6,}",
    "train_mlm": "mlm {:.3f}",
    "train_rtd": "rtd {:.4f}",
    "train_same": "same {:.2f}",
    "mlm_loss": "| held out: mlm {:.3f}",
    "mlm_accuracy": "acc {:.3f}",
    "auc_generator": "AUC generator {:.3f}",
    "auc_frequency": "frequency {:.3f}",
    "auc_unigram": "unigram {:.3f}",
}


def pretrain(
    ctx: typer.Context,
    config: Path = typer.Argument(..., help="Config file", exists=True),
    output: Path = typer.Argument(..., help="Folder for checkpoints and the result"),
    resume: bool = typer.Option(False, help="Go on from the last checkpoint"),
    device: str = typer.Option("cpu", help="Where to train, for instance cuda:0"),
) -> None:
    """Pretrain an ELECTRA on a tokenized corpus.

    Settings of the config can be set otherwise here, as --section.key value.
    """
    settings = PretrainingSettings.from_file(config, parse_config_overrides(ctx.args))
    trainer = Trainer(settings, output, device)
    if resume and trainer.resume():
        msg.info(f"Going on from step {trainer.step}")
    result = trainer.train(report=_print_row)
    msg.good(f"Wrote discriminator and generator to {result}")


def _print_row(row: dict[str, Any]) -> None:
    shown = (form.format(row[name]) for name, form in _COLUMNS.items() if name in row)
    print("  ".join(shown), flush=True)
