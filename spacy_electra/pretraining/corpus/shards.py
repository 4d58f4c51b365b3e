"""A tokenized corpus on disk: memory-mapped piece ids and where documents begin."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import srsly
from numpy.typing import NDArray

from ...errors import Errors
from ...tokenization.wordpiece import ElectraTokenizer
from .encoding import encode_all, ids_dtype

IDS, OFFSETS, META = "ids.bin", "offsets.npy", "meta.json"
TOKENIZER, HELD_OUT = "tokenizer", "held_out.jsonl"
# More documents than this tell no more about a model, and they lie in memory.
MOST_HELD_OUT = 5000
_OFFSETS_A_COPY = 1 << 20


@dataclass(frozen=True)
class Shards:
    """A tokenized corpus.

    Args:
        path: The folder.
        ids: Piece ids of all documents, end to end, uint16 or uint32 [T]; mapped, not
            read.
        offsets: Document i holds the ids offsets[i] to offsets[i + 1], int64 [D + 1];
            mapped too.
        counts: How often each piece occurs, int64 [V].
        held_out: Text of the documents that were kept apart for evaluation.
        meta: What else meta.json says.
    """

    path: Path
    ids: NDArray[np.unsignedinteger]
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    held_out: list[str]
    meta: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Shards:
        """Open what ``write_shards`` wrote.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is cut short, or the tokenizer beside the ids is not
                the one that made them.
        """
        folder = Path(path)
        for name in (META, IDS, OFFSETS, HELD_OUT, TOKENIZER):
            if not (folder / name).exists():
                raise FileNotFoundError(Errors.SE405(path=folder, name=name))
        try:
            meta = srsly.read_json(folder / META)
            ids = np.memmap(folder / IDS, dtype=meta["dtype"], mode="r")
            offsets = np.load(folder / OFFSETS, mmap_mode="r")
        except (ValueError, KeyError, EOFError) as error:
            raise ValueError(Errors.SE403(file=folder, error=error)) from error
        if len(ids) != meta["tokens"]:
            raise ValueError(
                Errors.SE406(path=folder, tokens=meta["tokens"], found=len(ids))
            )
        if len(offsets) != meta["documents"] + 1 or offsets[-1] != len(ids):
            raise ValueError(
                Errors.SE420(
                    path=folder,
                    name=OFFSETS,
                    found=len(offsets),
                    expected=meta["documents"] + 1,
                )
            )
        shards = cls(
            path=folder,
            ids=ids,
            offsets=offsets,
            counts=np.asarray(meta["counts"], dtype=np.int64),
            held_out=[line["text"] for line in srsly.read_jsonl(folder / HELD_OUT)],
            meta=meta,
        )
        shards._check_tokenizer()
        return shards

    def _check_tokenizer(self) -> None:
        # Shards of before there was a fingerprint have at least one count a piece.
        expected = self.meta.get("tokenizer_hash", self.tokenizer.fingerprint)
        fits = len(self.counts) == self.tokenizer.vocab_size
        if not fits or expected != self.tokenizer.fingerprint:
            raise ValueError(Errors.SE419(path=self.path))

    @cached_property
    def tokenizer(self) -> ElectraTokenizer:
        """The tokenizer that made the ids."""
        return ElectraTokenizer.from_pretrained(self.path / TOKENIZER)


def write_shards(
    documents: Iterable[str],
    tokenizer: ElectraTokenizer,
    path: str | os.PathLike[str],
    *,
    held_out_every: int = 1000,
    workers: int = 1,
    meta: Mapping[str, Any] | None = None,
) -> Shards:
    """Tokenize documents into a folder.

    A writer that was killed leaves a folder that does not open.

    Args:
        documents: Texts; memory stays bounded however many there are.
        tokenizer: Goes into the folder too.
        path: The folder, made where it is missing.
        held_out_every: Keep each such document apart, as text, for evaluation, up to
            ``MOST_HELD_OUT``.
        workers: Processes that tokenize.
        meta: What else to write into meta.json; read when all documents have been.

    Returns:
        The shards, opened.

    Raises:
        ValueError: If there is no document to train on.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    # A folder with meta data counts as whole, so they go first and come last.
    (folder / META).unlink(missing_ok=True)
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    tokens = number = 0
    partial = folder / (OFFSETS + ".part")
    with (
        (folder / IDS).open("wb") as ids_file,
        partial.open("w+b") as offsets_file,
        (folder / HELD_OUT).open("w", encoding="utf8") as held_out_file,
    ):
        offsets_file.write(np.int64(0).tobytes())
        split = _Split(documents, held_out_every, held_out_file)
        for ids in encode_all(split, tokenizer, workers):
            counts += np.bincount(ids, minlength=len(counts))
            ids_file.write(ids.tobytes())
            tokens += len(ids)
            number += 1
            offsets_file.write(np.int64(tokens).tobytes())
        if not tokens:
            raise ValueError(Errors.SE407())
        _write_offsets(offsets_file, number + 1, folder / OFFSETS)
    partial.unlink()
    shutil.rmtree(folder / TOKENIZER, ignore_errors=True)
    tokenizer.save_pretrained(folder / TOKENIZER)
    content = {
        "dtype": ids_dtype(tokenizer.vocab_size).name,
        "tokens": tokens,
        "documents": number,
        "characters": split.characters,
        "held_out": {"every": held_out_every, "documents": split.held_out},
        "tokenizer_hash": tokenizer.fingerprint,
        **(meta or {}),
        "counts": counts.tolist(),
    }
    unfinished = folder / (META + ".part")
    srsly.write_json(unfinished, content)
    os.replace(unfinished, folder / META)
    return Shards.open(folder)


class _Split:
    """Documents to train on; the others go to a file on the way."""

    def __init__(self, documents: Iterable[str], every: int, file: TextIO) -> None:
        self.documents = documents
        self.every = every
        self.file = file
        self.characters = 0
        self.held_out = 0

    def __iter__(self) -> Iterator[str]:
        for number, text in enumerate(self.documents):
            last_of_its_kind = number % self.every == self.every - 1
            if last_of_its_kind and self.held_out < MOST_HELD_OUT:
                self.file.write(srsly.json_dumps({"text": text}) + "\n")
                self.held_out += 1
            else:
                self.characters += len(text)
                yield text


def _write_offsets(file: BinaryIO, count: int, path: Path) -> None:
    """Raw numbers as an array file, without holding them all."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.int64, shape=(count,))
    file.seek(0)
    for start in range(0, count, _OFFSETS_A_COPY):
        part = array[start : start + _OFFSETS_A_COPY]
        part[:] = np.frombuffer(file.read(part.nbytes), dtype=np.int64)
    array.flush()
