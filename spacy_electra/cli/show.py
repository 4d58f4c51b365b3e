"""`python -m spacy electra show`: a text as a page, its words by their scores."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

import typer

from ..files import whole_file
from ..pipeline.display.page import options_from, render_page
from ..source import DEFAULT_SOURCE
from .detectors import open_detector
from .gpu import GPU_ID, use_gpu
from .marking import SUGGESTIONS, set_threshold, suggestions_for
from .sources import given_documents


def show(
    text: str = typer.Argument(..., help="A text, a file, or - for standard input"),
    output: Path = typer.Option(
        None, "--output", "-o", help="Where the page goes; else to standard output"
    ),
    source: str = typer.Option(
        DEFAULT_SOURCE, help="Checkpoint, bundled name, hub id, or a saved pipeline"
    ),
    threshold: float = typer.Option(None, help="Score from which a word is marked"),
    false_marks: float = typer.Option(
        None, help="In its place, wished false marks per 1,000 words"
    ),
    suggestions: int = typer.Option(
        None,
        help=f"Words to suggest for each mark; by default {SUGGESTIONS} where there is "
        "a generator",
        show_default=False,
    ),
    title: str = typer.Option("", help="Heading of the page"),
    open_: bool = typer.Option(False, "--open", help="Open the page in a browser"),
    lang: str = typer.Option("en", help="Language, where SOURCE is no pipeline"),
    gpu_id: int = GPU_ID,
) -> None:
    """Show a text as a page: the redder a word is, the less it belongs.

    Marked words are underlined; under the pointer, or with the Tab key, they show their
    score and what would fit.
    """
    texts, name = given_documents(text)
    use_gpu(gpu_id)
    nlp, component = open_detector(source, lang)
    set_threshold(component, threshold, false_marks)
    component.suggestions = suggestions_for(component, suggestions)
    docs = list(nlp.pipe(texts))
    options: dict[str, Any] = {"title": title or name} if title or name else {}
    html = render_page(docs, options_from(nlp, **options))
    if output is None and open_:
        output = Path(tempfile.mkdtemp()) / "page.html"
    if output is None:
        sys.stdout.buffer.write(html.encode("utf8"))
        return
    with whole_file(output) as partial:
        partial.write_text(html, encoding="utf8")
    print(f"Wrote {output.resolve()}")
    if open_:
        webbrowser.open(output.resolve().as_uri())
