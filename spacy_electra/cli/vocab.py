"""`python -m spacy electra vocab`: a WordPiece vocabulary from raw text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer
from tqdm import tqdm
from wasabi import msg

from ..errors import Warnings
from ..files import into_folder
from ..pretraining.corpus.documents import corpus_files, read_documents
from ..tokenization.accents import accents_of
from ..tokenization.coverage import MUCH_OF_CORPUS, Coverage, measure_coverage
from ..tokenization.folder import SETTINGS, TOKENIZER, VOCAB
from ..tokenization.vocabulary import train_vocabulary

# So much text tells the metrics to more digits than anyone reads.
_MOST_HELD_OUT = 2000
# Too few to hold one out are fewer than this, unless someone asks for it.
_FIRST = 100


def vocab(
    corpus: str = typer.Argument(..., help="File, folder or glob, as for prepare"),
    output: Path = typer.Argument(..., help="Folder for the tokenizer"),
    size: int = typer.Option(8192, help="Number of pieces"),
    lowercase: bool = typer.Option(True, help="Whether case is ignored"),
    strip_accents: bool | None = typer.Option(
        None,
        "--strip-accents/--keep-accents",
        help="Whether accents are ignored; by default where case is, but for text "
        "with umlauts, Hangul or many other accents",
        show_default=False,
    ),
    special: list[str] = typer.Option(
        [], help="A token that is never split, for instance [URL]; may be repeated"
    ),
    min_frequency: int = typer.Option(2, help="Fewest occurrences of a merged pair"),
    every: int = typer.Option(1, min=1, help="Learn from every n-th document only"),
    held_out_every: int = typer.Option(
        100, min=1, help="Keep each such document apart for the metrics"
    ),
) -> None:
    """Train a WordPiece vocabulary on raw text."""
    looks_first = lowercase and strip_accents is None
    texts = _Texts(corpus, every, held_out_every, passes=3 if looks_first else 2)
    if looks_first:
        strip_accents = _removes_accents(texts)
    tokenizer = train_vocabulary(
        texts,
        vocab_size=size,
        min_frequency=min_frequency,
        do_lower_case=lowercase,
        strip_accents=strip_accents,
        never_split=special or None,
    )
    with into_folder(output, (VOCAB, TOKENIZER, SETTINGS), marker=TOKENIZER) as partial:
        tokenizer.save_pretrained(partial)
    msg.good(f"Wrote a vocabulary of {tokenizer.vocab_size:,} pieces to {output}")
    if not texts.held_out:
        msg.warn(
            "Too few documents to hold one out, so there are no metrics; "
            "set --held-out-every lower"
        )
    # Without held-out text, that which was learned from tells at least the worst.
    metrics = measure_coverage(texts.held_out or texts.first, tokenizer)
    if texts.held_out:
        _report(metrics, len(texts.held_out))
    if metrics.unknown_rate > MUCH_OF_CORPUS:
        msg.warn(Warnings.SW133(share=metrics.unknown_rate, what="words"))


def _removes_accents(texts: _Texts) -> bool | None:
    """What to do with accents that nobody spoke of; None for what is usual."""
    accents = accents_of(texts)
    if accents.is_decomposed:
        msg.warn(Warnings.SW134(share=accents.conjoining / accents.letters))
    if not accents.matter:
        return None
    msg.info(
        f"Accents, umlauts and Hangul syllables stay as they are: {accents.share:.1%} "
        "of the letters have one. --strip-accents removes them."
    )
    return False


def _report(metrics: Coverage, documents: int) -> None:
    msg.table(
        [
            ("Words", f"{metrics.words:,} of {documents:,} held-out documents"),
            ("Coverage", f"{metrics.coverage:.2%} of them are one piece"),
            ("Pieces per word", f"{metrics.pieces_per_word:.3f}"),
            ("Unknown rate", f"{metrics.unknown_rate:.3%}"),
        ]
    )


class _Texts:
    """The documents to learn from, read anew each time, and those held out.

    Args:
        corpus: File, folder or glob.
        every: Take every n-th document only.
        held_out_every: Hold out each such document.
        passes: How often they will be read in all.

    Attributes:
        held_out: Documents that were held out, 2,000 at most.
        first: The first of the others.
    """

    def __init__(
        self, corpus: str, every: int, held_out_every: int, passes: int
    ) -> None:
        self.corpus = corpus
        self.every = every
        self.held_out_every = held_out_every
        self.held_out: list[str] = []
        self.first: list[str] = []
        self.passes = passes
        self._times = 0

    def __iter__(self) -> Iterator[str]:
        self.held_out, self.first = [], []
        self._times += 1
        total = sum(file.stat().st_size for file in corpus_files(self.corpus))
        title = f"Reading {self._times}/{self.passes}"
        with tqdm(total=total, unit="B", unit_scale=True, desc=title) as bar:
            documents = read_documents(self.corpus, on_read=bar.update)
            for number, text in enumerate(documents):
                if (number + 1) % self.held_out_every == 0:
                    if len(self.held_out) < _MOST_HELD_OUT:
                        self.held_out.append(text)
                elif number % self.every == 0:
                    if len(self.first) < _FIRST:
                        self.first.append(text)
                    yield text
