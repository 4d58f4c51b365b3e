"""`python -m spacy electra demo`: ten sentences, and the words that do not belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import srsly
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from spacy.tokens import Doc
from wasabi import msg

from ..files import whole_file
from ..pipeline.display.heat import FAINTEST, heat_colour
from ..pipeline.display.page import options_from, render_page
from ..source import ASSETS, DEFAULT_SOURCE
from .detectors import open_detector
from .gpu import GPU_ID, use_gpu
from .sources import given_documents

SENTENCES = ASSETS / "demo" / "sentences.jsonl"


def demo(
    text: str = typer.Argument(
        "", help="A text or file of your own, in place of the ten sentences"
    ),
    output: Path = typer.Option(Path("demo.html"), help="Where the page goes"),
    source: str = typer.Option(DEFAULT_SOURCE, help="Checkpoint, or a saved pipeline"),
    threshold: float = typer.Option(0.5, help="Score from which a word is marked"),
    gpu_id: int = GPU_ID,
) -> None:
    """Mark the words that do not belong in ten sentences of Wikipedia.

    In seven of them another word stands in the place of one.
    """
    use_gpu(gpu_id)
    nlp, component = open_detector(source)
    component.threshold = threshold
    rows = _own(text) if text else list(srsly.read_jsonl(SENTENCES))
    docs = list(nlp.pipe(row["text"] for row in rows))
    Console().print(_table(docs, rows))
    options: dict[str, Any] = {}
    if not text:
        summary = _summary(docs, rows)
        planted = [{s["start"]: s["original"] for s in row["replaced"]} for row in rows]
        options = {"title": "Seven words were replaced", "note": summary}
        options["planted"] = planted
        print(summary)
    page = render_page(docs, options_from(nlp, **options))
    with whole_file(output) as partial:
        partial.write_text(page, encoding="utf8")
    msg.good(f"The same as a page: {output.resolve()}")


def _own(text: str) -> list[dict[str, Any]]:
    return [{"text": document} for document in given_documents(text)[0]]


def _table(docs: list[Doc], rows: list[dict[str, Any]]) -> Table:
    table = Table(title="electra_rtd: the redder, the less a word belongs", expand=True)
    table.add_column("Sentence", ratio=3)
    table.add_column("Marked", ratio=1)
    is_planted = any("replaced" in row for row in rows)
    if is_planted:
        table.add_column("Replaced", ratio=1)
    for doc, row in zip(docs, rows, strict=True):
        marked = Text("\n").join(
            _coloured(f"{token.text} {token._.rtd_score:.2f}", token._.rtd_score)
            for token in doc
            if token._.is_replaced
        )
        cells = [_heat(doc), marked]
        if is_planted:
            cells.append(Text(_what_was_replaced(row, doc)))
        table.add_row(*cells)
    return table


def _heat(doc: Doc) -> Text:
    text = Text()
    for token in doc:
        text.append_text(_coloured(token.text, token._.rtd_score))
        text.append(token.whitespace_)
    return text


def _coloured(text: str, score: float) -> Text:
    if score < FAINTEST:
        return Text(text)
    return Text(text, style=f"black on {heat_colour(score)}")


def _what_was_replaced(row: dict[str, Any], doc: Doc) -> str:
    swaps = [
        f"{swap['original']} → {doc.text[swap['start'] : swap['end']]}"
        for swap in row["replaced"]
    ]
    return ", ".join(swaps) or "nothing"


def _summary(docs: list[Doc], rows: list[dict[str, Any]]) -> str:
    """How many replaced words are marked, and how many others."""
    found = replaced = mistaken = 0
    for doc, row in zip(docs, rows, strict=True):
        starts = {swap["start"] for swap in row["replaced"]}
        marks = {token.idx for token in doc if token._.is_replaced}
        found += len(starts & marks)
        replaced += len(starts)
        mistaken += len(marks - starts)
    return f"Marked {found} of {replaced} replaced words, and {mistaken} that belong."
