"""Rows of input files, as they stand there and as Docs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Errors
from ..pipeline.readers.files import Place, member, parse_json
from ..pretraining.corpus.compression import Progress, format_of
from ..pretraining.corpus.formats import (
    OnBroken,
    docs_of_docbin,
    documents_of_text,
    json_lines,
    parquet_batches,
    read_by,
)
from .settings import AnnotationSettings

_REST = "the rest of the file"


@dataclass(frozen=True)
class Row:
    """A row as it stands in its file, not looked at yet.

    Args:
        place: Where: "line 7" of a .jsonl, "row 7" of others, from 1.
        content: A line (bytes); a text; columns by name, with the file's schema; or a
            Doc's bytes.
        kind: The ending of the file's format.
    """

    place: str
    content: Any
    kind: str


@dataclass(frozen=True)
class BadRow:
    """A row that can't be annotated.

    Args:
        place: Where it stands.
        reason: Why not.
    """

    place: str
    reason: str


@dataclass
class ReadRow:
    """A row whose text is known.

    Args:
        place: Where it stands.
        source: The text, or a Doc.
        fields: All that the row holds; of texts and Docs the text alone.
        schema: Types of the fields, as pyarrow has them, where the file says.
    """

    place: str
    source: str | Doc
    fields: dict[str, Any]
    schema: Any = None


def rows_of(
    file: Path, text_field: str, on_read: Progress | None = None
) -> Iterator[Row | BadRow]:
    """The rows of a file, in order; what is broken is one as well.

    Args:
        file: .txt, .jsonl, .parquet or .spacy, perhaps compressed.
        text_field: The column of a .parquet that holds the text.
        on_read: Is told how many bytes were read from the disk, each time.
    """
    kind = format_of(file)
    broken: list[ValueError] = []
    reader = partial(_READERS[kind], text_field=text_field)
    contents = read_by(reader, file, on_broken=broken.append, on_read=on_read)
    for number, (told, content) in enumerate(contents, start=1):
        place = told or f"row {number}"
        # What went wrong before this row stands before it.
        yield from _bad(broken, f"before {place}")
        yield Row(place, content, kind)
    yield from _bad(broken, _REST)


def _bad(broken: list[ValueError], place: str) -> Iterator[BadRow]:
    yield from (BadRow(place, str(error)) for error in broken)
    broken.clear()


# A reader's row: where it stands, "" for its number, and what it holds.
_Content = tuple[str, Any]


def _text_rows(
    stream: BinaryIO, file: Path, on_broken: OnBroken, *, text_field: str
) -> Iterator[_Content]:
    for text in documents_of_text(stream, file, on_broken):
        yield "", text.strip()


def _json_rows(
    stream: BinaryIO, file: Path, on_broken: OnBroken, *, text_field: str
) -> Iterator[_Content]:
    for number, line in json_lines(stream):
        yield f"line {number}", line


def _parquet_rows(
    stream: BinaryIO, file: Path, on_broken: OnBroken, *, text_field: str
) -> Iterator[_Content]:
    batches = parquet_batches(stream, file, on_broken, text_field, others=True)
    for batch in batches:
        yield from (("", (columns, batch.schema)) for columns in batch.to_pylist())


def _doc_rows(
    stream: BinaryIO, file: Path, on_broken: OnBroken, *, text_field: str
) -> Iterator[_Content]:
    for doc in docs_of_docbin(stream, file, on_broken):
        yield "", doc.to_bytes()


_READERS: Mapping[str, Callable[..., Iterator[_Content]]] = {
    ".txt": _text_rows,
    ".jsonl": _json_rows,
    ".parquet": _parquet_rows,
    ".spacy": _doc_rows,
}


def read_row(
    row: Row, file: Path, nlp: Language, settings: AnnotationSettings
) -> ReadRow:
    """Look at a row: find its fields and its text, which must be fit for the pipeline.

    Args:
        row: As it stands.
        file: Its file, for messages.
        nlp: Whose vocabulary a Doc gets.
        settings: Which field is the text, and how long it may be.

    Raises:
        ValueError: If there is no text or too long a one, or the row is broken.
    """
    place = Place(f"{file}, {row.place}")
    text_field = settings.text_field
    source: str | Doc
    if row.kind == ".spacy":
        source = Doc(nlp.vocab).from_bytes(row.content)
        fields: dict[str, Any] = {text_field: source.text}
    elif row.kind == ".txt":
        source, fields = row.content, {text_field: row.content}
    else:
        fields = _fields(row, file)
        source = member(fields, text_field, str, place)
    if settings.annotation_field in fields:
        raise ValueError(Errors.SE641(place=place, field=settings.annotation_field))
    text = fields[text_field]
    if not text.strip():
        raise ValueError(Errors.SE642(place=place, field=text_field))
    longest = settings.max_length or nlp.max_length
    if len(text) > longest:
        raise ValueError(Errors.SE643(place=place, length=len(text), longest=longest))
    schema = row.content[1] if row.kind == ".parquet" else None
    return ReadRow(row.place, source, fields, schema)


def _fields(row: Row, file: Path) -> Any:
    if row.kind == ".parquet":
        return dict(row.content[0])
    try:
        text = row.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = row.place.removeprefix("line ")
        raise ValueError(Errors.SE402(file=file, line=line, error=error)) from error
    return parse_json(text, file, int(row.place.removeprefix("line ")))
