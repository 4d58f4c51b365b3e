"""Convert SICK's tables of sentence pairs to lines of JSON for `CatsCorpus`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import srsly
import typer
from wasabi import msg

PARTS = {
    "train": "SICK_train.txt",
    "dev": "SICK_trial.txt",
    "test": "SICK_test_annotated.txt",
}
LABELS = ("ENTAILMENT", "NEUTRAL", "CONTRADICTION")


def main(
    source: Path = typer.Argument(..., help="Folder of SICK_*.txt", exists=True),
    output: Path = typer.Argument(..., help="Folder for train, dev and test"),
) -> None:
    """Write the first sentence as text, the second as text_pair, and what it is."""
    output.mkdir(parents=True, exist_ok=True)
    for part, name in PARTS.items():
        pairs = list(read_pairs(source / name))
        srsly.write_jsonl(output / f"{part}.jsonl", pairs)
        msg.good(f"Wrote {len(pairs):,} pairs to {output / part}.jsonl")


def read_pairs(source: Path) -> Iterator[dict[str, Any]]:
    """Each pair with 1.0 for its label and 0.0 for the others."""
    with source.open(encoding="utf8", newline="") as file:
        # Sentences have quotation marks that quote nothing.
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        for number, row in enumerate(rows, start=2):
            found = row.get("entailment_judgment")
            if found not in LABELS:
                msg.fail(f"{source}, line {number}: no label, but {found!r}", exits=1)
            yield {
                "text": row["sentence_A"],
                "text_pair": row["sentence_B"],
                "cats": {label: float(label == found) for label in LABELS},
            }


if __name__ == "__main__":
    typer.run(main)
