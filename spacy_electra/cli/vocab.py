"""`python -m spacy electra vocab`: a WordPiece vocabulary from raw text."""

from __future__ import annotations

from pathlib import Path

import typer
from wasabi import msg

from ..pretraining.corpus import read_documents
from ..tokenization.vocabulary import train_vocabulary


def vocab(
    corpus: Path = typer.Argument(..., help="Text file or folder (.txt, .jsonl)"),
    output: Path = typer.Argument(..., help="Folder for the tokenizer"),
    size: int = typer.Option(8192, help="Number of pieces"),
    lowercase: bool = typer.Option(True, help="Whether case is ignored"),
    every: int = typer.Option(1, help="Learn from every n-th document only"),
) -> None:
    """Train a WordPiece vocabulary on raw text."""
    documents = (
        text
        for number, text in enumerate(read_documents(corpus))
        if number % every == 0
    )
    tokenizer = train_vocabulary(documents, vocab_size=size, do_lower_case=lowercase)
    tokenizer.save_pretrained(output)
    msg.good(f"Wrote a vocabulary of {tokenizer.vocab_size} pieces to {output}")
