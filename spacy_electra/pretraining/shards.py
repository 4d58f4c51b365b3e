"""A tokenized corpus on disk: memory-mapped piece ids and where documents begin."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import srsly
from numpy.typing import NDArray

from ..errors import Errors
from ..tokenization.wordpiece import ElectraTokenizer

IDS, OFFSETS, META = "ids.bin", "offsets.npy", "meta.json"
TOKENIZER, HELD_OUT = "tokenizer", "held_out.jsonl"
_DOCUMENTS_A_CALL = 512
# Novels and the like: the tokenizer gets text in parts no longer than this.
_CHARACTERS_A_PART = 100_000


@dataclass(frozen=True)
class Shards:
    """A tokenized corpus.

    Args:
        path: The folder.
        ids: Piece ids of all documents, end to end, uint16 or uint32 [T]; mapped, not
            read.
        offsets: Document i holds the ids offsets[i] to offsets[i + 1], int64 [D + 1].
        counts: How often each piece occurs, int64 [V].
        held_out: Text of the documents that were kept apart for evaluation.
    """

    path: Path
    ids: NDArray[np.unsignedinteger]
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    held_out: list[str]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Shards:
        """Open what ``write_shards`` wrote.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If the ids are fewer or more than the meta data say.
        """
        folder = Path(path)
        for name in (META, IDS, OFFSETS):
            if not (folder / name).exists():
                raise FileNotFoundError(Errors.SE405(path=folder, name=name))
        meta = srsly.read_json(folder / META)
        ids = np.memmap(folder / IDS, dtype=meta["dtype"], mode="r")
        if len(ids) != meta["tokens"]:
            raise ValueError(
                Errors.SE406(path=folder, tokens=meta["tokens"], found=len(ids))
            )
        return cls(
            path=folder,
            ids=ids,
            offsets=np.load(folder / OFFSETS),
            counts=np.asarray(meta["counts"], dtype=np.int64),
            held_out=[line["text"] for line in srsly.read_jsonl(folder / HELD_OUT)],
        )

    @property
    def tokenizer(self) -> ElectraTokenizer:
        """The tokenizer that made the ids."""
        return ElectraTokenizer.from_pretrained(self.path / TOKENIZER)


def write_shards(
    documents: Iterable[str],
    tokenizer: ElectraTokenizer,
    path: str | os.PathLike[str],
    *,
    held_out_every: int = 1000,
) -> Shards:
    """Tokenize documents into a folder.

    Args:
        documents: Texts; memory stays bounded however many there are.
        tokenizer: Goes into the folder too.
        path: The folder, made where it is missing.
        held_out_every: Keep each such document apart, as text, for evaluation.

    Returns:
        The shards, opened.

    Raises:
        ValueError: If there is no document to train on.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    offsets = [0]
    held_out = []
    numbered = enumerate(documents)
    with (folder / IDS).open("wb") as file:
        while batch := list(islice(numbered, _DOCUMENTS_A_CALL)):
            train = []
            for number, text in batch:
                if number % held_out_every == held_out_every - 1:
                    held_out.append({"text": text})
                else:
                    train.append(text)
            for ids in _encode(train, tokenizer):
                counts += np.bincount(ids, minlength=len(counts))
                file.write(ids.astype(dtype).tobytes())
                offsets.append(offsets[-1] + len(ids))
    if offsets[-1] == 0:
        raise ValueError(Errors.SE407())
    np.save(folder / OFFSETS, np.asarray(offsets, dtype=np.int64))
    srsly.write_jsonl(folder / HELD_OUT, held_out)
    tokenizer.save_pretrained(folder / TOKENIZER)
    meta = {
        "dtype": np.dtype(dtype).name,
        "tokens": offsets[-1],
        "documents": len(offsets) - 1,
        "counts": counts.tolist(),
    }
    # Last, since a folder with meta data counts as whole.
    srsly.write_json(folder / META, meta)
    return Shards.open(folder)


def _encode(
    texts: list[str], tokenizer: ElectraTokenizer
) -> Iterator[NDArray[np.integer]]:
    parts = [list(_parts(text)) for text in texts]
    encoded = iter(tokenizer.encode_batch([part for text in parts for part in text]))
    for text in parts:
        yield np.concatenate([encoding.ids for encoding in islice(encoded, len(text))])


def _parts(text: str) -> Iterator[str]:
    """Cut a long text at line ends or, failing that, at the limit."""
    start = 0
    while len(text) - start > _CHARACTERS_A_PART:
        end = text.rfind("\n", start, start + _CHARACTERS_A_PART) + 1
        end = end if end > start else start + _CHARACTERS_A_PART
        yield text[start:end]
        start = end
    yield text[start:]
