"""Convert the cooking questions to .spacy, and their texts to a corpus without labels.

The file to measure on shares 99 questions with the one to learn from; they are left
out of the latter. Neither the labels nor the texts of the test are learned from.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import spacy
import srsly
import typer
from spacy.tokens import Doc, DocBin
from wasabi import msg

TAG = re.compile(r"<[^<>]*>")
DEV_EVERY = 10
Row = dict[str, Any]


def main(
    train: Path = typer.Argument(..., help="JSONL to learn from"),
    test: Path = typer.Argument(..., help="JSONL to measure on"),
    output: Path = typer.Argument(..., help="Folder for train, dev, test and texts"),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
) -> None:
    """Write train.spacy, dev.spacy, test.spacy and texts.jsonl."""
    parts = split(list(srsly.read_jsonl(train)), list(srsly.read_jsonl(test)))
    nlp = spacy.blank(lang)
    output.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        docs = [make_doc(nlp, row) for row in rows]
        DocBin(docs=docs).to_disk(output / f"{name}.spacy")
        msg.good(f"Wrote {len(docs):,} questions to {output / name}.spacy")
    texts = [{"text": plain_text(row["text"])} for row in parts["train"]]
    srsly.write_jsonl(output / "texts.jsonl", texts)
    msg.good(f"Wrote {len(texts):,} texts without labels to {output}/texts.jsonl")


def split(learn: list[Row], test: list[Row]) -> dict[str, list[Row]]:
    """Leave the questions of the test out, and keep every tenth of the rest apart."""
    known = {row["text"] for row in test}
    kept = [row for row in learn if row["text"] not in known]
    return {
        "train": [row for number, row in enumerate(kept) if number % DEV_EVERY],
        "dev": kept[::DEV_EVERY],
        "test": test,
    }


def make_doc(nlp: spacy.Language, row: Row) -> Doc:
    """A question with its labels."""
    doc = nlp.make_doc(plain_text(row["text"]))
    doc.cats = row["cats"]
    return doc


def plain_text(text: str) -> str:
    """The text without HTML; paragraphs are lines."""
    lines = html.unescape(TAG.sub(" ", text)).splitlines()
    cleaned = (" ".join(line.split()) for line in lines)
    return "\n".join(line for line in cleaned if line)


if __name__ == "__main__":
    typer.run(main)
