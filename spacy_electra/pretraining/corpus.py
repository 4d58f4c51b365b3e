"""Raw text from files: documents of .txt and .jsonl, plain or compressed."""

from __future__ import annotations

import gzip
import io
import lzma
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import IO, Any

import srsly

from ..errors import Errors

# Compression by the end of a file's name.
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
FORMATS = (".txt", ".jsonl")


def read_documents(path: str | os.PathLike[str]) -> Iterator[str]:
    """Read the documents of a file, or of all such files below a folder.

    In a .txt, blank lines separate documents; in a .jsonl, each line is an object
    whose "text" is a document. Either may be compressed (.gz, .xz). Memory is that of
    one document.

    Args:
        path: A file or a folder.

    Yields:
        One document each, without white space at its ends; empty ones are left out.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If a file is of another kind, is not UTF-8, or a line of a .jsonl
            has no "text"; the message names file and line.
    """
    for file in corpus_files(path):
        with _open(file) as lines:
            try:
                if _format(file) == ".jsonl":
                    yield from _documents_of_jsonl(lines, file)
                else:
                    yield from _documents_of_text(lines)
            except UnicodeDecodeError as error:
                raise ValueError(Errors.SE402(file=file, error=error)) from error
            except (lzma.LZMAError, gzip.BadGzipFile, EOFError) as error:
                raise ValueError(Errors.SE403(file=file, error=error)) from error


def corpus_files(path: str | os.PathLike[str]) -> list[Path]:
    """The files that ``read_documents`` reads, in order of their names.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If the path holds no file of a known kind.
    """
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(Errors.SE400(path=root))
    candidates = sorted(root.rglob("*")) if root.is_dir() else [root]
    files = [file for file in candidates if _format(file) in FORMATS]
    if not files:
        endings = ", ".join(FORMATS) + " (plain, .gz or .xz)"
        raise ValueError(Errors.SE401(path=root, endings=endings))
    return files


def _format(file: Path) -> str:
    name = file.with_suffix("") if file.suffix in _OPENERS else file
    return name.suffix


def _open(file: Path) -> IO[str]:
    opener = _OPENERS.get(file.suffix)
    if opener is None:
        return file.open(encoding="utf8")
    return io.TextIOWrapper(opener(file, "rb"), encoding="utf8")


def _documents_of_text(lines: Iterable[str]) -> Iterator[str]:
    for blank, block in groupby(lines, key=str.isspace):
        if not blank:
            yield "".join(block).strip()


def _documents_of_jsonl(lines: Iterable[str], file: Path) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        try:
            text = srsly.json_loads(line)["text"].strip()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(Errors.SE404(file=file, line=number)) from error
        if text:
            yield text
