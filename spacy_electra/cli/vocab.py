"""`python -m spacy electra vocab`: a WordPiece vocabulary from raw text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer
from tqdm import tqdm
from wasabi import msg

from ..pretraining.corpus.documents import corpus_files, read_documents
from ..tokenization.coverage import measure_coverage
from ..tokenization.vocabulary import train_vocabulary

# So much text tells the figures to more digits than anyone reads.
_MOST_HELD_OUT = 2000


def vocab(
    corpus: str = typer.Argument(..., help="File, folder or glob, as for prepare"),
    output: Path = typer.Argument(..., help="Folder for the tokenizer"),
    size: int = typer.Option(8192, help="Number of pieces"),
    lowercase: bool = typer.Option(True, help="Whether case is ignored"),
    strip_accents: bool = typer.Option(
        None,
        "--strip-accents/--keep-accents",
        help="Whether accents are ignored; by default where case is",
        show_default=False,
    ),
    special: list[str] = typer.Option(
        [], help="A token that is never split, for instance [URL]; may be repeated"
    ),
    min_frequency: int = typer.Option(2, help="Fewest occurrences of a merged pair"),
    every: int = typer.Option(1, help="Learn from every n-th document only"),
    held_out_every: int = typer.Option(
        100, help="Keep each such document apart for the figures"
    ),
) -> None:
    """Train a WordPiece vocabulary on raw text."""
    texts = _Texts(corpus, every, held_out_every)
    tokenizer = train_vocabulary(
        texts,
        vocab_size=size,
        min_frequency=min_frequency,
        do_lower_case=lowercase,
        strip_accents=strip_accents,
        never_split=special or None,
    )
    tokenizer.save_pretrained(output)
    msg.good(f"Wrote a vocabulary of {tokenizer.vocab_size:,} pieces to {output}")
    if not texts.held_out:
        msg.warn(
            "Too few documents to hold one out, so there are no figures; "
            "set --held-out-every lower"
        )
        return
    figures = measure_coverage(texts.held_out, tokenizer)
    msg.table(
        [
            (
                "Words",
                f"{figures.words:,} of {len(texts.held_out):,} held-out documents",
            ),
            ("Coverage", f"{figures.coverage:.2%} of them are one piece"),
            ("Pieces per word", f"{figures.pieces_per_word:.3f}"),
            ("Unknown rate", f"{figures.unknown_rate:.3%}"),
        ]
    )


class _Texts:
    """The documents to learn from, read anew each time, and those held out.

    Args:
        corpus: File, folder or glob.
        every: Take every n-th document only.
        held_out_every: Hold out each such document.
    """

    def __init__(self, corpus: str, every: int, held_out_every: int) -> None:
        self.corpus = corpus
        self.every = every
        self.held_out_every = held_out_every
        self.held_out: list[str] = []
        self._times = 0

    def __iter__(self) -> Iterator[str]:
        self.held_out = []
        self._times += 1
        total = sum(file.stat().st_size for file in corpus_files(self.corpus))
        title = f"Reading {self._times}/2"
        with tqdm(total=total, unit="B", unit_scale=True, desc=title) as bar:
            documents = read_documents(self.corpus, on_read=bar.update)
            for number, text in enumerate(documents):
                if (number + 1) % self.held_out_every == 0:
                    if len(self.held_out) < _MOST_HELD_OUT:
                        self.held_out.append(text)
                elif number % self.every == 0:
                    yield text
