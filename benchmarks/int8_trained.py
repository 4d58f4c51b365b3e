"""What int8 costs in accuracy: saved pipelines, evaluated in each precision.

The ranges of int8 come from the texts of one file, the scores from another. For the
three seeds of `errors-seeds` in the project:

    python benchmarks/int8_trained.py corpus/realec/train.spacy \
        corpus/realec/test.spacy training/full/errors_seeds/seed_*/model-best
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from statistics import mean

import spacy
import torch
import typer
from int8_accuracy import PRECISIONS, set_precision_of
from machine import write_result
from spacy.training import Corpus
from wasabi import msg

from spacy_electra.cli.quantize import encoders_of


def scores_of(
    pipeline: Path, precision: str, texts: Path, gold: Path, most: int
) -> dict[str, float]:
    """All single numbers of `nlp.evaluate`, but for speeds."""
    nlp = spacy.load(pipeline)
    docs = [example.reference for example in islice(Corpus(texts)(nlp), most)]
    for encoder in encoders_of(nlp):
        set_precision_of(encoder, precision, docs)
    found = nlp.evaluate(list(Corpus(gold)(nlp)))
    del found["speed"]
    return {name: value for name, value in found.items() if isinstance(value, float)}


def main(
    texts: Path = typer.Argument(..., help=".spacy file that shows the ranges"),
    gold: Path = typer.Argument(..., help=".spacy file to score on"),
    pipelines: list[Path] = typer.Argument(..., help="Saved pipelines"),
    most: int = typer.Option(300, help="Texts that show the ranges"),
) -> None:
    """Print and write the scores of pipelines in each precision."""
    torch.set_num_threads(1)
    runs = [
        {name: scores_of(path, name, texts, gold, most) for name in PRECISIONS}
        for path in pipelines
    ]
    rows = []
    for metric in runs[0]["fp32"]:
        of_all = [mean(run[name][metric] for run in runs) for name in PRECISIONS]
        # The largest difference of any pipeline, not that of the means.
        worst = max(abs(run["int8"][metric] - run["fp32"][metric]) for run in runs)
        rows.append((metric, *(f"{100 * value:.2f}" for value in (*of_all, worst))))
    header = ("Metric", *PRECISIONS, "Largest int8 - fp32")
    msg.table(rows, header=header, divider=True)
    msg.good(f"Wrote {write_result('int8_trained', {'runs': runs})}")


if __name__ == "__main__":
    typer.run(main)
