"""Sample a mixed corpus: an encyclopedia, textbooks and novels, and informal text.

A run of minutes sees a few million words, so it is the mixture that matters: long
documents are cut into parts, and of each source a share of the parts is taken at
random. No part is taken twice. Each text of the sample is one sentence or a few, as
texts are in use.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import srsly
import typer
from convert_columns import read_sentences
from misspellings import Misspellings
from unpack_reviews import HELD_OUT_EVERY as REVIEWS_HELD_OUT_EVERY
from wasabi import msg

from spacy_electra.pretraining.corpus.documents import (
    corpus_files,
    cut_at_lines,
    read_documents,
)

# The documents that `prepare` keeps apart of the whole corpus stay apart here too.
HELD_OUT_EVERY = 1000
LONGEST_PART = 20_000
# How many sentences make a text, and how often.
GROUPS, GROUP_SHARES = (1, 2, 4), (0.6, 0.25, 0.15)
# Not after initials and titles of one or two letters ("J.", "Mr.").
SENTENCE_END = re.compile(
    r"\n+|(?<![A-Z]\.)(?<!\b[A-Z][a-z]\.)(?<!Mrs\.)(?<=[.!?\"”’')])\s+"
    r"(?<=[.!?][\"”’' )]|[.!?]\s)(?=[\"“‘'(]?[A-Z0-9])"
)
CODE = re.compile(r"```.*?(```|\Z)|`[^`\n]*`|https?://\S+|<[^>\n]*>", re.DOTALL)


def main(
    corpus: Path = typer.Argument(..., help="Folder of the large files"),
    output: Path = typer.Argument(..., help="Folder for sample.jsonl, held_out.jsonl"),
    share: list[str] = typer.Option([], help="NAME=SHARE of a large file; 0 if absent"),
    reviews: Path = typer.Option(..., help="movie_reviews.zip"),
    issues: Path = typer.Option(..., help="docs_issues_training.jsonl"),
    questions: Path = typer.Option(..., help="cooking-train.jsonl"),
    posts: Path = typer.Option(..., help="wnut17train.conll"),
    more: list[Path] = typer.Option([], help=".jsonl with other texts, all of them"),
    well_spelled: bool = typer.Option(
        False,
        "--well-spelled",
        help="Leave out texts with words that the large files take for misspellings",
    ),
    seed: int = typer.Option(0, help="Decides what is taken"),
) -> None:
    """Write the sample, and the documents of the large files that it must not hold."""
    shares = {name: float(value) for name, value in (s.split("=") for s in share)}
    random = np.random.default_rng(seed)
    sample: list[str] = []
    held_out: list[str] = []
    number = 0
    for file in corpus_files(corpus):
        own = shares.get(file.name.split(".")[0], 0.0)
        before = len(sample)
        for text in read_documents(file):
            number += 1
            if number % HELD_OUT_EVERY == 0:
                held_out.append(text)
                continue
            parts = list(cut_at_lines(text, LONGEST_PART))
            taken = random.random(len(parts)) < own
            sample += [part for part, take in zip(parts, taken, strict=True) if take]
        msg.info(f"{file.name}: {len(sample) - before:,} parts")
    for name, texts in (
        ("reviews", read_reviews(reviews)),
        ("issues", read_rows(issues)),
        ("questions", read_rows(questions)),
        ("posts", (" ".join(w for w, _ in rows) for rows in read_posts(posts))),
        *((file.stem, read_rows(file)) for file in more),
    ):
        before = len(sample)
        sample += [text.strip() for text in texts if text.strip()]
        msg.info(f"{name}: {len(sample) - before:,} texts")
    sample = list(grouped(sample, random))
    if well_spelled:
        edited = (t for file in corpus_files(corpus) for t in read_documents(file))
        misspelled = Misspellings(edited)
        before = len(sample)
        sample = [text for text in sample if not misspelled(text)]
        msg.info(f"Left out for misspellings: {before - len(sample):,} texts")
    output.mkdir(parents=True, exist_ok=True)
    for name, rows in (("sample", sample), ("held_out", held_out)):
        srsly.write_jsonl(output / f"{name}.jsonl", [{"text": t} for t in rows])
        words = sum(len(text.split()) for text in rows)
        msg.good(f"Wrote {len(rows):,} texts, {words:,} words, to {name}.jsonl")


def grouped(texts: Iterable[str], random: np.random.Generator) -> Iterator[str]:
    """Texts of one sentence or a few, in order."""
    for text in texts:
        sentences = [s for s in map(str.strip, SENTENCE_END.split(text)) if s]
        start = 0
        while start < len(sentences):
            size = int(random.choice(GROUPS, p=GROUP_SHARES))
            yield " ".join(sentences[start : start + size])
            start += size


def read_reviews(archive: Path) -> Iterator[str]:
    """The film reviews but every twentieth, which `unpack_reviews.py` holds out."""
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if "/cv" in name)
        for number, name in enumerate(names):
            if number % REVIEWS_HELD_OUT_EVERY:
                yield file.read(name).decode("utf8")


def read_rows(file: Path) -> Iterator[str]:
    """The texts of a .jsonl without code, addresses and tags."""
    for row in srsly.read_jsonl(file):
        yield CODE.sub(" ", row["text"])


def read_posts(file: Path) -> Iterator[list[tuple[str, str]]]:
    """Rows of word and label, one list a post."""
    yield from read_sentences(file)


if __name__ == "__main__":
    typer.run(main)
