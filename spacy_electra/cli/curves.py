"""`python -m spacy electra curves`: a picture of a run."""

from __future__ import annotations

from pathlib import Path

import typer
from wasabi import msg

from ..pretraining.run.curves import draw_curves


def curves(
    run: Path = typer.Argument(..., help="Folder of a run, or its log.csv"),
    output: Path = typer.Argument(..., help="Picture (.png, .svg or .pdf)"),
    title: str = typer.Option("", help="What stands above it"),
) -> None:
    """Draw MLM loss and RTD AUC over tokens."""
    msg.good(f"Drew {draw_curves(run, output, title or None)}")
