"""`python -m spacy electra export`: a run's result as a source for pipelines."""

from __future__ import annotations

from pathlib import Path

import typer
from wasabi import msg

from ..pretraining.pairs import export_run


def export(
    run: str = typer.Argument(..., help="Folder of a pretraining run, or a source"),
    output: Path = typer.Argument(..., help="Folder for the checkpoint"),
    dtype: str = typer.Option(
        "bf16", help="Precision on disk: bf16, fp16, fp32; int8, for this package alone"
    ),
) -> None:
    """Write discriminator, generator and tokenizer of a run as one checkpoint."""
    export_run(run, output, dtype)
    size = sum(f.stat().st_size for f in output.rglob("*") if f.is_file())
    msg.good(f"Wrote {run} to {output} ({size / 1e6:.1f} MB, {dtype})")
