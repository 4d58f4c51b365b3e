"""Convert a file of words and labels in two columns to .spacy.

Blank lines separate sentences, and each becomes a Doc. The words are joined by spaces,
since such files do not say where there was one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

import spacy
import typer
from spacy.tokens import Doc, DocBin, Span
from spacy.training import biluo_tags_to_spans, iob_to_biluo
from spacy.vocab import Vocab
from wasabi import msg

WRONG = "i"
LABEL = "REPLACED"
SPANS_KEY = "rtd"


class Kind(str, Enum):
    """What the labels say."""

    entities = "entities"
    errors = "errors"


def main(
    source: Path = typer.Argument(..., help="File with two columns"),
    output: Path = typer.Argument(..., help=".spacy, or a folder with --split"),
    kind: Kind = typer.Option(..., help="IOB entities, or c/i for right and wrong"),
    lang: str = typer.Option("en", help="Language of the vocabulary"),
    split: bool = typer.Option(
        False, help="Write train, dev and test: 7, 1 and 2 of every 10 sentences"
    ),
    runs: bool = typer.Option(
        False, help="Wrong words side by side are one span, not one each"
    ),
) -> None:
    """Write Docs with entities, or with spans of wrong words."""
    vocab = spacy.blank(lang).vocab
    docs = [make_doc(vocab, rows, kind, runs) for rows in read_sentences(source)]
    parts = split_in_ten(docs) if split else {"": docs}
    for name, part in parts.items():
        file = output / f"{name}.spacy" if name else output
        file.parent.mkdir(parents=True, exist_ok=True)
        DocBin(docs=part, store_user_data=True).to_disk(file)
        msg.good(f"Wrote {len(part):,} sentences to {file}")


def read_sentences(source: Path) -> Iterator[list[tuple[str, str]]]:
    """Rows of word and label, one list a sentence."""
    rows: list[tuple[str, str]] = []
    lines = source.read_text(encoding="utf8").split("\n")
    for number, line in enumerate([*lines, ""], start=1):
        if line.strip():
            columns = line.split("\t")
            if len(columns) != 2:
                msg.fail(f"{source}, line {number}: not two columns", exits=1)
            rows.append((columns[0], columns[1]))
        elif rows:
            yield rows
            rows = []


def make_doc(
    vocab: Vocab, rows: list[tuple[str, str]], kind: Kind, runs: bool = False
) -> Doc:
    """A sentence with its gold annotation.

    Args:
        vocab: Of the Doc.
        rows: Words and labels.
        kind: What the labels say.
        runs: Whether wrong words side by side are one span.
    """
    words, labels = zip(*rows, strict=True)
    doc = Doc(vocab, words=list(words))
    if kind is Kind.entities:
        doc.ents = biluo_tags_to_spans(doc, iob_to_biluo(list(labels)))
    else:
        wrong = [place for place, label in enumerate(labels) if label == WRONG]
        starts = [p for p in wrong if not runs or p - 1 not in wrong]
        ends = [p + 1 for p in wrong if not runs or p + 1 not in wrong]
        doc.spans[SPANS_KEY] = [
            Span(doc, start, end, label=LABEL)
            for start, end in zip(starts, ends, strict=True)
        ]
    return doc


def split_in_ten(docs: Iterable[Doc]) -> dict[str, list[Doc]]:
    """Seven parts to learn from, one to choose by, two to measure on.

    A sentence that comes more than once stays in the part of its first occurrence.
    """
    parts: dict[str, list[Doc]] = {"train": [], "dev": [], "test": []}
    seen: set[str] = set()
    for number, doc in enumerate(docs):
        if doc.text not in seen:
            seen.add(doc.text)
            name = {0: "dev", 1: "test", 2: "test"}.get(number % 10, "train")
            parts[name].append(doc)
    return parts


if __name__ == "__main__":
    typer.run(main)
