"""Readers of documents, by the format of a file."""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO, TypeVar, cast

import srsly

from ...errors import Errors
from ...extras import import_extra
from .compression import COMPRESSED, Progress, broken_file_errors, open_bytes

OnBroken = Callable[[ValueError], None]
Content = TypeVar("Content")
Reader = Callable[[BinaryIO, Path, OnBroken], Iterator[Content]]
# A longer document is given in several parts, so that memory stays bounded.
LONGEST_DOCUMENT = 1_000_000
# A line of text is read in parts no longer than this; one of JSON can't be.
_BYTES_PER_READ = 1 << 20
_LONGEST_JSON_LINE = 1 << 26
_ROWS_PER_READ = 1024
_TEXT = "text"


def fail(error: ValueError) -> None:
    """What to do with a broken line or file where it is fatal."""
    raise error


def read_by(
    reader: Reader[Content],
    file: Path,
    *,
    on_broken: OnBroken = fail,
    on_read: Progress | None = None,
) -> Iterator[Content]:
    """What a reader finds in a file, which may be compressed.

    Args:
        reader: Takes the decompressed stream, the file's name and ``on_broken``.
        file: The file.
        on_broken: Is given the error of each broken line or file.
        on_read: Is told how many bytes were read from the disk, each time.
    """
    try:
        with open_bytes(file, on_read) as stream:
            yield from reader(stream, file, on_broken)
    except PermissionError as error:
        on_broken(ValueError(Errors.SE442(file=file, error=error.strerror)))
    except broken_file_errors() as error:
        on_broken(ValueError(Errors.SE403(file=file, error=error)))


def documents_of_text(
    stream: BinaryIO, file: Path, on_broken: OnBroken
) -> Iterator[str]:
    """Blocks of lines between blank lines.

    A line that is not UTF-8 is broken; a file with a zero byte is no text at all.
    """
    block: list[str] = []
    size = 0
    for line in _text_lines(stream, file, on_broken):
        if not line.isspace():
            block.append(line)
            size += len(line)
        # A file without a blank line must not fill the memory.
        if (line.isspace() or size >= LONGEST_DOCUMENT) and block:
            yield "".join(block)
            block, size = [], 0
    if block:
        yield "".join(block)


def _text_lines(stream: BinaryIO, file: Path, on_broken: OnBroken) -> Iterator[str]:
    """Lines, very long ones in parts."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    number = 1
    while part := stream.readline(_BYTES_PER_READ):
        if b"\0" in part:
            on_broken(ValueError(Errors.SE417(file=file)))
            return
        if number == 1:
            part = part.removeprefix(codecs.BOM_UTF8)
        ended = part.endswith(b"\n")
        try:
            text = decoder.decode(part, final=ended)
        except UnicodeDecodeError as error:
            on_broken(ValueError(Errors.SE402(file=file, line=number, error=error)))
            decoder.reset()
        else:
            if text:
                yield text.replace("\r\n", "\n")
        number += ended
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        on_broken(ValueError(Errors.SE402(file=file, line=number, error=error)))


def documents_of_jsonl(
    stream: BinaryIO, file: Path, on_broken: OnBroken
) -> Iterator[str]:
    """The "text" of each line's object."""
    for number, line in json_lines(stream):
        try:
            text = srsly.json_loads(line.decode("utf-8-sig"))[_TEXT].strip()
            # An escape may stand for half a character, which no tokenizer takes.
            text.encode("utf8")
        except (ValueError, KeyError, TypeError, AttributeError):
            on_broken(ValueError(Errors.SE404(file=file, line=number)))
        else:
            yield text


def json_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, each with its number from 1.

    One that is too long to be held is empty.
    """
    number = 0
    while line := stream.readline(_LONGEST_JSON_LINE):
        number += 1
        whole = line.endswith(b"\n") or len(line) < _LONGEST_JSON_LINE
        while not whole:
            rest = stream.readline(_BYTES_PER_READ)
            whole = not rest or rest.endswith(b"\n")
            line = b""
        if not line.isspace():
            yield number, line


def documents_of_parquet(
    stream: BinaryIO, file: Path, on_broken: OnBroken
) -> Iterator[str]:
    """The column "text"; memory is that of one row group."""
    for batch in parquet_batches(stream, file, on_broken, _TEXT, others=False):
        yield from (text for text in batch.column(_TEXT).to_pylist() if text)


def parquet_batches(
    stream: BinaryIO,
    file: Path,
    on_broken: OnBroken,
    text_column: str,
    *,
    others: bool,
) -> Iterator[Any]:
    """The rows of a .parquet, some at a time, as ``pyarrow.RecordBatch``.

    Args:
        stream: The file, decompressed.
        file: Its name.
        on_broken: Gets the error of a file that is broken, or has no such column.
        text_column: Must be a column of strings.
        others: Whether to read the other columns as well.

    Raises:
        ImportError: If pyarrow is not installed.
    """
    parquet = import_extra("pyarrow.parquet", ".parquet files", "formats")
    broken = import_extra("pyarrow", ".parquet files", "formats").ArrowException
    with ExitStack() as stack:
        if file.suffix in COMPRESSED:
            # The format is read from its end, where a compressed stream can't start.
            copy = stack.enter_context(tempfile.TemporaryFile())
            copyfileobj(stream, copy)
            copy.seek(0)
            stream = cast(BinaryIO, copy)
        try:
            table = parquet.ParquetFile(stream)
            columns = table.schema_arrow
            is_there = text_column in columns.names
            kinds = [str(columns.field(text_column).type)] if is_there else []
            if not kinds or kinds[0] not in ("string", "large_string"):
                found = ", ".join(f"{field.name} ({field.type})" for field in columns)
                message = Errors.SE418(file=file, column=text_column, found=found)
                on_broken(ValueError(message))
                return
            wanted = None if others else [text_column]
            yield from table.iter_batches(_ROWS_PER_READ, columns=wanted)
        except (broken, OSError) as error:
            on_broken(ValueError(Errors.SE403(file=file, error=error)))


def documents_of_docbin(
    stream: BinaryIO, file: Path, on_broken: OnBroken
) -> Iterator[str]:
    """The texts of a .spacy file, which is read as a whole."""
    for doc in docs_of_docbin(stream, file, on_broken):
        yield doc.text


def docs_of_docbin(stream: BinaryIO, file: Path, on_broken: OnBroken) -> Iterator[Any]:
    """The Docs of a .spacy file, which is read as a whole."""
    # spaCy loads in seconds, which other formats need not wait for.
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    data = stream.read()
    try:
        yield from DocBin().from_bytes(data).get_docs(Vocab())
    # zlib, msgpack, numpy and spaCy each raise errors of their own.
    except Exception as error:
        on_broken(ValueError(Errors.SE403(file=file, error=error)))


READERS: dict[str, Reader[str]] = {
    ".txt": documents_of_text,
    ".jsonl": documents_of_jsonl,
    ".parquet": documents_of_parquet,
    ".spacy": documents_of_docbin,
}
FORMATS = tuple(READERS)
