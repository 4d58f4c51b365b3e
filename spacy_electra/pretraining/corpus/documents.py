"""Raw text from files: which ones a path means, and the documents in them."""

from __future__ import annotations

import codecs
import glob
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from shutil import copyfileobj
from typing import BinaryIO, cast

import srsly

from ...errors import Errors, Warnings, listed
from ...files import PARTIAL
from .compression import COMPRESSED, Progress, broken_file_errors, format_of, open_bytes

# What `prepare`, `vocab` and `pretrain` write and what looks like text, by a file that
# lies beside it; of a checkpoint's folder likewise.
_BESIDE_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "config.json")
_NO_TEXT = {
    "held_out.jsonl": ("ids.bin", "meta.json"),
    "vocab.txt": _BESIDE_TOKENIZERS,
    "merges.txt": _BESIDE_TOKENIZERS,
    "wandb_id.txt": ("log.csv",),
}
_UNKNOWN_LINE = re.compile(rb"^\[UNK\]\r?$", re.MULTILINE)
_BYTES_OF_VOCABULARY = 1 << 16
OnBroken = Callable[[ValueError], None]
# A longer document is given in several parts, so that memory stays bounded.
LONGEST_DOCUMENT = 1_000_000
_MESSAGES_KEPT = 20
# A line of text is read in parts no longer than this; one of JSON can't be.
_BYTES_A_READ = 1 << 20
_LONGEST_JSON_LINE = 1 << 26
_ROWS_A_READ = 1024
_TEXT = "text"


def fail(error: ValueError) -> None:
    """What to do with a broken line or file where it is fatal."""
    raise error


@dataclass
class Skipped:
    """What to do with broken lines and files where they are left out.

    Args:
        count: How many there were.
        messages: The first of them.
    """

    count: int = 0
    messages: list[str] = field(default_factory=list)

    def __call__(self, error: ValueError) -> None:
        """Count a broken line or file."""
        self.count += 1
        if len(self.messages) < _MESSAGES_KEPT:
            self.messages.append(str(error))


def read_documents(
    path: str | os.PathLike[str],
    *,
    on_broken: OnBroken = fail,
    on_read: Progress | None = None,
) -> Iterator[str]:
    """Read the documents of a file, of all files below a folder, or of a glob.

    See ``corpus_files`` for which ones they are.

    In a .txt, blank lines separate documents; in a .jsonl, each line is an object
    whose "text" is a document; a .parquet has a column "text"; a .spacy holds Docs.
    Any may be compressed (.gz, .xz, .zst). Memory is that of one document, of one row
    group of a .parquet, or of one .spacy file.

    Args:
        path: A file, a folder, or a pattern like "news/*.jsonl.gz".
        on_broken: Is given the error of each broken line or file: ``fail`` raises it,
            ``Skipped()`` counts and leaves out.
        on_read: Is told how many bytes were read from the disk, each time.

    Yields:
        One document each, without white space at its ends; empty ones are left out,
        those beyond ``LONGEST_DOCUMENT`` characters come in parts.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If a file is of another kind, is not UTF-8, or a line of a .jsonl
            has no "text"; the message names file and line.
        ImportError: If a format needs a package that is not installed.
    """
    yield from read_files(corpus_files(path), on_broken=on_broken, on_read=on_read)


def read_files(
    files: Iterable[Path],
    *,
    on_broken: OnBroken = fail,
    on_read: Progress | None = None,
) -> Iterator[str]:
    """The same for files that are known."""
    for file in files:
        try:
            with open_bytes(file, on_read) as stream:
                for text in READERS[format_of(file)](stream, file, on_broken):
                    for part in cut_at_lines(text, LONGEST_DOCUMENT):
                        if stripped := part.strip():
                            yield stripped
        except PermissionError as error:
            on_broken(ValueError(Errors.SE442(file=file, error=error.strerror)))
        except broken_file_errors() as error:
            on_broken(ValueError(Errors.SE403(file=file, error=error)))


def corpus_files(path: str | os.PathLike[str]) -> list[Path]:
    """The files that ``read_documents`` reads, in order of their names.

    Of a folder or a glob, what the commands of this package write is left out, with a
    warning: vocabularies, held-out documents, files that are not whole.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If the path holds no file of a known kind.
    """
    root = Path(path)
    if root.is_dir():
        candidates = sorted(root.rglob("*"))
    elif root.exists():
        candidates = [root]
    else:
        candidates = sorted(map(Path, glob.glob(os.fspath(path), recursive=True)))
    if not candidates and not root.is_dir():
        raise FileNotFoundError(Errors.SE400(path=root))
    files = [file for file in candidates if format_of(file) in FORMATS]
    files = [file for file in files if file.is_file()]
    if candidates != [root]:
        written = [file for file in files if _is_written_by_us(file, root)]
        if written:
            names = listed(written)
            warnings.warn(Warnings.SW440(path=root, files=names), stacklevel=2)
        files = [file for file in files if file not in set(written)]
    if not files:
        endings = f"{', '.join(FORMATS)} (plain, {', '.join(COMPRESSED)})"
        raise ValueError(Errors.SE401(path=root, endings=endings))
    return files


def _is_written_by_us(file: Path, root: Path) -> bool:
    """Whether a file is the output of a command and not text to learn from."""
    inside = file.relative_to(root).parts if file.is_relative_to(root) else file.parts
    if any(part.endswith(PARTIAL) for part in inside):
        return True
    signs = _NO_TEXT.get(file.name, ())
    if any((file.parent / sign).exists() for sign in signs):
        return True
    if file.name != "vocab.txt":
        return False
    with file.open("rb") as stream:
        return _UNKNOWN_LINE.search(stream.read(_BYTES_OF_VOCABULARY)) is not None


def cut_at_lines(text: str, longest: int) -> Iterator[str]:
    """Cut a long text at line ends or, failing that, at the limit."""
    start = 0
    while len(text) - start > longest:
        end = text.rfind("\n", start, start + longest) + 1
        end = end if end > start else start + longest
        yield text[start:end]
        start = end
    yield text[start:]


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
    while part := stream.readline(_BYTES_A_READ):
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
    number = 0
    while line := stream.readline(_LONGEST_JSON_LINE):
        number += 1
        whole = line.endswith(b"\n") or len(line) < _LONGEST_JSON_LINE
        while not whole:
            rest = stream.readline(_BYTES_A_READ)
            whole = not rest or rest.endswith(b"\n")
            line = b""
        if line.isspace():
            continue
        try:
            text = srsly.json_loads(line.decode("utf-8-sig"))[_TEXT].strip()
            # An escape may stand for half a character, which no tokenizer takes.
            text.encode("utf8")
        except (ValueError, KeyError, TypeError, AttributeError):
            on_broken(ValueError(Errors.SE404(file=file, line=number)))
        else:
            yield text


def documents_of_parquet(
    stream: BinaryIO, file: Path, on_broken: OnBroken
) -> Iterator[str]:
    """The column "text"; memory is that of one row group."""
    try:
        parquet = import_module("pyarrow.parquet")
        broken = import_module("pyarrow").ArrowException
    except ImportError as error:
        raise ImportError(
            Errors.SE414(what=".parquet files", package="pyarrow", extra="formats")
        ) from error
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
            kinds = [str(columns.field(_TEXT).type)] if _TEXT in columns.names else []
            if not kinds or kinds[0] not in ("string", "large_string"):
                found = ", ".join(f"{field.name} ({field.type})" for field in columns)
                on_broken(ValueError(Errors.SE418(file=file, found=found)))
                return
            for batch in table.iter_batches(_ROWS_A_READ, columns=[_TEXT]):
                yield from (text for text in batch.column(0).to_pylist() if text)
        except (broken, OSError) as error:
            on_broken(ValueError(Errors.SE403(file=file, error=error)))


def documents_of_docbin(
    stream: BinaryIO, file: Path, on_broken: OnBroken
) -> Iterator[str]:
    """The texts of a .spacy file, which is read as a whole."""
    # spaCy loads in seconds, which other formats need not wait for.
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    vocab = Vocab()
    data = stream.read()
    try:
        for doc in DocBin().from_bytes(data).get_docs(vocab):
            yield doc.text
    # zlib, msgpack, numpy and spaCy each raise errors of their own.
    except Exception as error:
        on_broken(ValueError(Errors.SE403(file=file, error=error)))


READERS: dict[str, Callable[[BinaryIO, Path, OnBroken], Iterator[str]]] = {
    ".txt": documents_of_text,
    ".jsonl": documents_of_jsonl,
    ".parquet": documents_of_parquet,
    ".spacy": documents_of_docbin,
}
FORMATS = tuple(READERS)
