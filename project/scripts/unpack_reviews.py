"""Unpack the film reviews as raw text: a corpus to pretrain on that is at hand."""

from __future__ import annotations

import zipfile
from pathlib import Path

import srsly
import typer
from wasabi import msg

HELD_OUT_EVERY = 20


def main(
    archive: Path = typer.Argument(..., help="movie_reviews.zip"),
    corpus: Path = typer.Argument(..., help="JSONL to learn from"),
    held_out: Path = typer.Argument(..., help="JSONL that training never sees"),
) -> None:
    """Write a review a line, every twentieth to the second file."""
    texts = []
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if "/cv" in name)
        for name in names:
            texts.append(file.read(name).decode("utf8"))
    for path, rows in (
        (corpus, [t for n, t in enumerate(texts) if n % HELD_OUT_EVERY]),
        (held_out, texts[::HELD_OUT_EVERY]),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        srsly.write_jsonl(path, [{"text": text.strip()} for text in rows])
        msg.good(f"Wrote {len(rows):,} reviews to {path}")


if __name__ == "__main__":
    typer.run(main)
