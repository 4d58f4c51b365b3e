"""Raw text from files: which ones a path means, and the documents in them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import Errors
from .compression import COMPRESSED, Progress, broken_file_errors, format_of, open_bytes
from .formats import READERS, OnBroken

FORMATS = tuple(READERS)
# A longer document is given in several parts, so that memory stays bounded.
LONGEST_DOCUMENT = 1_000_000
_MESSAGES_KEPT = 20


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
    for file in corpus_files(path):
        try:
            with open_bytes(file, on_read) as stream:
                for text in READERS[format_of(file)](stream, file, on_broken):
                    for part in cut_at_lines(text, LONGEST_DOCUMENT):
                        if stripped := part.strip():
                            yield stripped
        except broken_file_errors() as error:
            on_broken(ValueError(Errors.SE403(file=file, error=error)))


def corpus_files(path: str | os.PathLike[str]) -> list[Path]:
    """The files that ``read_documents`` reads, in order of their names.

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
    if not files:
        endings = f"{', '.join(FORMATS)} (plain, {', '.join(COMPRESSED)})"
        raise ValueError(Errors.SE401(path=root, endings=endings))
    return files


def cut_at_lines(text: str, longest: int) -> Iterator[str]:
    """Cut a long text at line ends or, failing that, at the limit."""
    start = 0
    while len(text) - start > longest:
        end = text.rfind("\n", start, start + longest) + 1
        end = end if end > start else start + longest
        yield text[start:end]
        start = end
    yield text[start:]
