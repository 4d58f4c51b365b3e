"""`python -m spacy electra show`: a text as a page, its words by their scores."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from collections.abc import Iterable
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import typer

from ..errors import Errors
from ..files import whole_file
from ..pipeline.page import options_from, render_page
from ..pretraining.corpus.compression import format_of
from ..pretraining.corpus.documents import read_documents
from ..pretraining.corpus.formats import FORMATS, documents_of_text, fail
from .opening import open_detector

_STDIN = "-"
_LONGEST_NAME = 255


def show(
    text: str = typer.Argument(..., help="A text, a file, or - for standard input"),
    output: Path = typer.Option(
        None, "--output", "-o", help="Where the page goes; else to standard output"
    ),
    source: str = typer.Option(
        "en_small", help="Checkpoint, bundled name, hub id, or a saved pipeline"
    ),
    threshold: float = typer.Option(None, help="Score from which a word is marked"),
    false_marks: float = typer.Option(
        None, help="In its place, wished false marks per 1,000 words"
    ),
    title: str = typer.Option("", help="Heading of the page"),
    open_: bool = typer.Option(False, "--open", help="Open the page in a browser"),
    lang: str = typer.Option("en", help="Language, where SOURCE is no pipeline"),
) -> None:
    """Show a text as a page: the redder a word is, the less it belongs.

    Marked words are underlined; under the pointer, or with the Tab key, they show their
    score and what would fit.
    """
    texts, name = texts_of(text)
    nlp, component = open_detector(source, lang)
    if threshold is not None:
        component.threshold = threshold
    if false_marks is not None:
        component.false_marks_per_1000 = false_marks
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


def texts_of(text: str) -> tuple[list[str], str]:
    """The documents that an argument means, and the name of their file.

    Args:
        text: A file, "-" for standard input, or the text itself.

    Raises:
        FileNotFoundError: If it looks like the name of a file that is not there.
        ValueError: If it has no word, or the file is no text.
    """
    if text == _STDIN:
        stream = BytesIO(sys.stdin.buffer.read())
        return _checked(documents_of_text(stream, Path("stdin"), fail), text), ""
    file = Path(text)
    if 0 < len(text) <= _LONGEST_NAME and file.exists():
        if file.is_dir() or format_of(file) in FORMATS:
            return _checked(read_documents(file), text), file.name
        with file.open("rb") as opened:
            return _checked(documents_of_text(opened, file, fail), text), file.name
    if _looks_like_a_file(text):
        raise FileNotFoundError(Errors.SE542(path=text))
    return _checked([text], text), ""


def _checked(documents: Iterable[str], where: str) -> list[str]:
    """The documents, at least one of which has a word."""
    texts = list(documents)
    if not any(map(str.isalnum, chain.from_iterable(texts))):
        raise ValueError(Errors.SE532(text=repr(where)))
    return texts


def _looks_like_a_file(text: str) -> bool:
    return not any(map(str.isspace, text.strip())) and bool(Path(text).suffix)
