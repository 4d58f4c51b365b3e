"""Raw text from files: which ones a path means, and the documents in them."""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import Errors, Warnings, listed
from ...files import PARTIAL
from .compression import COMPRESSED, Progress, format_of
from .formats import FORMATS, LONGEST_DOCUMENT, READERS, OnBroken, fail, read_by

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
_MESSAGES_KEPT = 20


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
        reader = READERS[format_of(file)]
        for text in read_by(reader, file, on_broken=on_broken, on_read=on_read):
            for part in cut_at_lines(text, LONGEST_DOCUMENT):
                if stripped := part.strip():
                    yield stripped


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
