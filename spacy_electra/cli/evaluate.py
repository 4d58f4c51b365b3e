"""`python -m spacy electra evaluate`: the metrics of a checkpoint on any text."""

from __future__ import annotations

from itertools import islice
from math import isfinite
from pathlib import Path

import srsly
import typer
from wasabi import msg

from ..files import whole_file
from ..pretraining.corpus.documents import read_documents
from ..pretraining.evaluation.pair_evaluation import evaluate_pair
from ..pretraining.pairs import open_pair
from ..pretraining.run.distributed import usable_device
from .gpu import DEVICE


def evaluate(
    source: str = typer.Argument(
        ..., help="Run, checkpoint, source directory, bundled name or hub id"
    ),
    corpus: str = typer.Argument(..., help="File, folder or glob, as for prepare"),
    generator: str = typer.Option("", help="Where the generator comes from instead"),
    length: int = typer.Option(128, help="Pieces a sequence"),
    sequences: int = typer.Option(256, help="Most sequences to evaluate on"),
    mask_share: float = typer.Option(0.15, help="Share of pieces that are replaced"),
    threshold: float = typer.Option(0.5, help="Probability from which one is marked"),
    seed: int = typer.Option(0, help="Of masks and samples"),
    device: str = DEVICE,
    precision: str = typer.Option("auto", help='"auto", "fp32" or "bf16"'),
    output: Path = typer.Option(None, help="JSON file for the metrics"),
) -> None:
    """Report the metrics of training for a checkpoint on any text."""
    texts = list(islice(read_documents(corpus), sequences))
    metrics = evaluate_pair(
        open_pair(source, generator),
        texts,
        length=length,
        sequences=sequences,
        mask_share=mask_share,
        threshold=threshold,
        seed=seed,
        device=usable_device(device),
        precision=precision,
    )
    # What a text is too short for is NaN, which JSON does not know.
    measured = {n: v if isfinite(v) else None for n, v in metrics.items()}
    msg.table(
        [
            (name, "not measured" if value is None else f"{value:.4f}")
            for name, value in measured.items()
        ]
    )
    if output is not None:
        with whole_file(output) as partial:
            srsly.write_json(partial, measured)
