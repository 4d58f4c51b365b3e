"""From files of text to a tokenized corpus; what is finished is not done again."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DISK_FULL, Errors, Warnings
from ...tokenization.wordpiece import ElectraTokenizer
from .compression import Progress
from .documents import Skipped, corpus_files, read_files
from .formats import fail
from .shards import META, Shards, write_shards

# Bytes of held-out text that fill an evaluation of 256 sequences of 128 pieces, and
# characters below which its metrics are too rough to choose by.
ENOUGH_HELD_OUT, FEW_HELD_OUT = 200_000, 20_000


@dataclass(frozen=True)
class Prepared:
    """A tokenized corpus and how it came about.

    Args:
        shards: The corpus.
        fresh: Whether it was made now; False where it was finished before.
    """

    shards: Shards
    fresh: bool

    @property
    def skipped(self) -> int:
        """How many broken lines and files were left out."""
        return int(self.shards.meta.get("skipped", {}).get("count", 0))

    @property
    def messages(self) -> list[str]:
        """The first of their errors."""
        return list(self.shards.meta.get("skipped", {}).get("messages", []))


def prepare_corpus(
    corpus: str | os.PathLike[str],
    tokenizer: ElectraTokenizer,
    output: str | os.PathLike[str],
    *,
    held_out_every: int = 1000,
    workers: int = 1,
    engine: str = "local",
    skip_broken: bool = False,
    on_read: Progress | None = None,
) -> Prepared:
    """Tokenize the documents of files into a folder, unless it holds them already.

    A corpus that is damaged is written anew, with a warning.

    Args:
        corpus: A file, a folder or a glob, as ``read_documents`` takes it.
        tokenizer: Goes into the folder too.
        output: The folder, made where it is missing.
        held_out_every: Keep each such document apart, as text, for evaluation.
        workers: Processes that tokenize.
        engine: Where they are: "local", on this machine, or "ray", on a cluster. The
            shards are the same.
        skip_broken: Whether broken lines and files are left out; else they are fatal.
        on_read: Is told how many bytes were read from the disk, each time.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If there is no text, or a line or file is broken.
        OSError: If the disk is full.
        RuntimeError: If another process writes to the folder, or Ray's workers end.
        ImportError: If Ray is asked for and missing.
    """
    files = corpus_files(corpus)
    source = corpus_fingerprint(
        files, tokenizer, held_out_every=held_out_every, skip_broken=skip_broken
    )
    finished = _finished(Path(output), source)
    if finished is not None:
        return Prepared(finished, fresh=False)
    skipped = Skipped()
    documents = read_files(
        files, on_broken=skipped if skip_broken else fail, on_read=on_read
    )
    meta: dict[str, Any] = {"source": source, "skipped": vars(skipped)}
    try:
        shards = write_shards(
            documents,
            tokenizer,
            output,
            held_out_every=held_out_every,
            workers=workers,
            engine=engine,
            meta=meta,
        )
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise OSError(error.errno, Errors.SE430(path=output)) from error
    characters = sum(map(len, shards.held_out))
    if not shards.held_out:
        warnings.warn(Warnings.SW400(path=corpus, every=held_out_every), stacklevel=2)
    elif characters < FEW_HELD_OUT:
        message = Warnings.SW459(
            characters=characters, documents=len(shards.held_out), every=held_out_every
        )
        warnings.warn(message, stacklevel=2)
    return Prepared(shards, fresh=True)


def usual_held_out_every(size: int) -> int:
    """Of how many documents one is held out, where nobody says.

    So many that what is held out is enough to measure on, and a tenth at most.

    Args:
        size: Bytes of the corpus.
    """
    return min(1000, max(10, size // ENOUGH_HELD_OUT))


def corpus_fingerprint(
    corpus: Iterable[Path], tokenizer: ElectraTokenizer, **options: Any
) -> str:
    """A hash that changes when a file, the tokenizer or an option does.

    Of a file it takes name, size and time of change: reading terabytes again would be
    what it is to save.
    """
    files = []
    for file in corpus:
        status = file.stat()
        files.append([file.name, status.st_size, status.st_mtime_ns])
    content = [files, tokenizer.fingerprint, sorted(options.items())]
    return hashlib.sha256(json.dumps(content).encode("utf8")).hexdigest()


def _finished(folder: Path, source: str) -> Shards | None:
    """What a folder holds, if it was made of the same and is as it was written."""
    if not (folder / META).exists():
        return None
    try:
        shards = Shards.open(folder)
        if shards.meta.get("source") != source:
            return None
        shards.check()
    except (ValueError, OSError) as error:
        warnings.warn(Warnings.SW441(path=folder, error=error), stacklevel=3)
        return None
    return shards
