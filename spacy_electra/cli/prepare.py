"""`python -m spacy electra prepare`: tokenize a corpus for pretraining."""

from __future__ import annotations

from pathlib import Path

import typer
from wasabi import msg

from ..pretraining.corpus import read_documents
from ..pretraining.shards import write_shards
from ..tokenization.wordpiece import ElectraTokenizer


def prepare(
    corpus: Path = typer.Argument(..., help="Text file or folder (.txt, .jsonl)"),
    tokenizer: Path = typer.Argument(..., help="Folder of the tokenizer"),
    output: Path = typer.Argument(..., help="Folder for the tokenized corpus"),
    held_out_every: int = typer.Option(
        1000, help="Keep each such document apart for evaluation"
    ),
) -> None:
    """Tokenize raw text into memory-mapped arrays."""
    shards = write_shards(
        read_documents(corpus),
        ElectraTokenizer.from_pretrained(tokenizer),
        output,
        held_out_every=held_out_every,
    )
    msg.good(
        f"Wrote {len(shards.ids):,} pieces of {len(shards.offsets) - 1:,} documents "
        f"to {output}; {len(shards.held_out):,} documents are held out"
    )
