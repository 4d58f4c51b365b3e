"""Evaluate a pipeline on data of any registered reader.

`spacy evaluate` reads .spacy files and gives a pipeline their texts alone: no question,
choices or second text, which these pipelines need.
"""

from __future__ import annotations

from pathlib import Path

import spacy
import srsly
import typer
from spacy.util import registry
from thinc.api import fix_random_seed, require_gpu
from wasabi import msg


def main(
    pipeline: Path = typer.Argument(..., help="Folder of the pipeline", exists=True),
    data: Path = typer.Argument(..., help="To measure on", exists=True),
    metrics: Path = typer.Argument(..., help="JSON file to write"),
    reader: str = typer.Option(..., help="Registered name, as in [corpora.dev]"),
    limit: int = typer.Option(0, help="Most examples to measure on; 0 for all"),
    gpu_id: int = typer.Option(-1, help="GPU, or -1 for the CPU"),
) -> None:
    """Write all scores, and print those that are numbers."""
    if gpu_id >= 0:
        require_gpu(gpu_id)
    fix_random_seed()
    nlp = spacy.load(pipeline)
    corpus = registry.readers.get(reader)(path=data, limit=limit)
    examples = list(corpus(nlp))
    if not examples:
        msg.fail(f"{data} has no example for {reader}", exits=1)
    scores = nlp.evaluate(examples)
    srsly.write_json(metrics, scores)
    rows = [(n, f"{v:.4f}") for n, v in scores.items() if isinstance(v, float)]
    msg.table(rows, header=("Score", f"of {len(examples):,} examples"), divider=True)


if __name__ == "__main__":
    typer.run(main)
