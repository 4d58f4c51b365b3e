"""A tokenized corpus on disk: memory-mapped piece ids and where documents begin."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import srsly
from numpy.typing import NDArray

from ...errors import Errors
from ...files import into_folder, locked
from ...tokenization.wordpiece import ElectraTokenizer
from .encoding import Ids, encode_all, ids_dtype
from .ray_encoding import encode_on_ray

IDS, OFFSETS, META = "ids.bin", "offsets.npy", "meta.json"
TOKENIZER, HELD_OUT = "tokenizer", "held_out.jsonl"
# More documents than this tell no more about a model, and they lie in memory.
MOST_HELD_OUT = 5000
# Where documents are tokenized.
ENGINES = {"local": encode_all, "ray": encode_on_ray}
_OFFSETS_PER_COPY = 1 << 20
_IDS_PER_CHECK = 1 << 24
_LOCK = "prepare.lock"


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
            ValueError: If a file is broken or cut short, or the tokenizer beside the
                ids is not the one that made them.
        """
        folder = Path(path)
        for name in (META, IDS, OFFSETS, HELD_OUT, TOKENIZER):
            if not (folder / name).exists():
                raise FileNotFoundError(Errors.SE405(path=folder, name=name))
        try:
            meta = srsly.read_json(folder / META)
            ids = np.memmap(folder / IDS, dtype=meta["dtype"], mode="r")
            offsets = np.load(folder / OFFSETS, mmap_mode="r")
            tokens, documents = int(meta["tokens"]), int(meta["documents"])
            counts = np.asarray(meta["counts"], dtype=np.int64)
            held_out = [line["text"] for line in srsly.read_jsonl(folder / HELD_OUT)]
        except (ValueError, LookupError, TypeError, EOFError) as error:
            what = f"{type(error).__name__}: {error}"
            raise ValueError(Errors.SE443(path=folder, what=what)) from error
        if len(ids) != tokens:
            raise ValueError(Errors.SE406(path=folder, tokens=tokens, found=len(ids)))
        if offsets.shape != (documents + 1,) or offsets[-1] != len(ids):
            raise ValueError(
                Errors.SE420(
                    path=folder,
                    name=OFFSETS,
                    found=len(offsets),
                    expected=documents + 1,
                )
            )
        shards = cls(
            path=folder,
            ids=ids,
            offsets=offsets,
            counts=counts,
            held_out=held_out,
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

    def check(self) -> None:
        """Read everything and compare it with what the meta data say.

        Raises:
            ValueError: If an id or an offset is not what was written.
        """
        counts = np.zeros_like(self.counts)
        checksum = _checksum()
        for start in range(0, len(self.ids), _IDS_PER_CHECK):
            part = np.asarray(self.ids[start : start + _IDS_PER_CHECK])
            if int(part.max()) >= len(counts):
                raise self.damaged(f"{IDS} holds an id beyond the vocabulary")
            counts += np.bincount(part, minlength=len(counts))
            checksum.update(part.tobytes())
        known = self.meta.get("ids_hash", checksum.hexdigest())
        if known != checksum.hexdigest() or not np.array_equal(counts, self.counts):
            raise self.damaged(f"{IDS} holds other ids than were written")
        for start in range(0, len(self.offsets), _IDS_PER_CHECK):
            part = np.asarray(self.offsets[start : start + _IDS_PER_CHECK + 1])
            if (np.diff(part) < 0).any() or (start == 0 and part[0] != 0):
                raise self.damaged(f"{OFFSETS} is out of order")
        written = self.meta.get("held_out", {}).get("documents", len(self.held_out))
        if written != len(self.held_out):
            raise self.damaged(
                f"{HELD_OUT} has {len(self.held_out)} of {written} lines"
            )

    def damaged(self, what: str) -> ValueError:
        """The error for a corpus that is not as it was written."""
        return ValueError(Errors.SE443(path=self.path, what=what))

    @property
    def identity(self) -> dict[str, str]:
        """Checksums that tell this corpus from others, wherever it lies.

        One from before there was a checksum of the ids has that of their counts alone.
        """
        of_counts = _checksum()
        of_counts.update(self.counts.tobytes())
        known = {"counts": of_counts.hexdigest()}
        if "ids_hash" in self.meta:
            known["ids"] = self.meta["ids_hash"]
        return known

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
    engine: str = "local",
    meta: Mapping[str, Any] | None = None,
) -> Shards:
    """Tokenize documents into a folder.

    The folder has the whole corpus in the end, or what it had before. A corpus that is
    open stays as it is for those who have opened it.

    Args:
        documents: Texts; memory stays bounded however many there are.
        tokenizer: Goes into the folder too.
        path: The folder, made where it is missing.
        held_out_every: Keep each such document apart, as text, for evaluation, up to
            ``MOST_HELD_OUT``.
        workers: Processes that tokenize.
        engine: Where they are: "local", on this machine, or "ray", on a cluster.
        meta: What else to write into meta.json; read when all documents have been.

    Returns:
        The shards, opened.

    Raises:
        ValueError: If there is no document to train on, or no such engine.
        RuntimeError: If another process writes there, or those of Ray end.
        ImportError: If Ray is asked for and missing.
    """
    if engine not in ENGINES:
        choices = ", ".join(ENGINES)
        raise ValueError(Errors.SE002(name="engine", value=engine, choices=choices))
    if held_out_every < 1:
        raise ValueError(
            Errors.SE003(
                name="held_out_every",
                requirement="a positive int",
                value=held_out_every,
            )
        )
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    names = (IDS, OFFSETS, HELD_OUT, TOKENIZER, META)
    with (
        locked(folder / _LOCK, Errors.SE440(path=folder)),
        into_folder(folder, names, marker=META) as new,
    ):
        encode = partial(ENGINES[engine], tokenizer=tokenizer, workers=workers)
        _write_files(documents, encode, tokenizer, new, held_out_every, meta or {})
    return Shards.open(folder)


def _write_files(
    documents: Iterable[str],
    encode: Callable[[Iterable[str]], Iterator[Ids]],
    tokenizer: ElectraTokenizer,
    folder: Path,
    held_out_every: int,
    meta: Mapping[str, Any],
) -> None:
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    tokens = number = 0
    checksum = _checksum()
    raw = folder / (OFFSETS + ".raw")
    with (
        (folder / IDS).open("wb") as ids_file,
        raw.open("w+b") as offsets_file,
        (folder / HELD_OUT).open("w", encoding="utf8") as held_out_file,
    ):
        offsets_file.write(np.int64(0).tobytes())
        split = _Split(documents, held_out_every, held_out_file)
        for ids in encode(split):
            counts += np.bincount(ids, minlength=len(counts))
            content = ids.tobytes()
            ids_file.write(content)
            checksum.update(content)
            tokens += len(ids)
            number += 1
            offsets_file.write(np.int64(tokens).tobytes())
        if not tokens:
            if split.held_out:
                raise ValueError(
                    Errors.SE441(every=held_out_every, documents=split.held_out)
                )
            raise ValueError(Errors.SE407())
        _write_offsets(offsets_file, number + 1, folder / OFFSETS)
    raw.unlink()
    tokenizer.save_pretrained(folder / TOKENIZER)
    all_meta = {
        "dtype": ids_dtype(tokenizer.vocab_size).name,
        "tokens": tokens,
        "documents": number,
        "characters": split.characters,
        "held_out": {"every": held_out_every, "documents": split.held_out},
        "tokenizer_hash": tokenizer.fingerprint,
        "ids_hash": checksum.hexdigest(),
        **meta,
        "counts": counts.tolist(),
    }
    srsly.write_json(folder / META, all_meta)


def _checksum() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


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
    for start in range(0, count, _OFFSETS_PER_COPY):
        part = array[start : start + _OFFSETS_PER_COPY]
        part[:] = np.frombuffer(file.read(part.nbytes), dtype=np.int64)
    array.flush()
