"""Texts to piece ids, in as many processes as one likes, in order."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ...tokenization.wordpiece import ElectraTokenizer
from .documents import cut_at_lines

Ids = NDArray[np.unsignedinteger]
# Encodings take a hundred bytes a piece while they live: texts go in by this much.
_CHARACTERS_PER_CALL = 1_000_000
_TEXTS_PER_CALL = 4096
# Novels and the like: the tokenizer gets text in parts no longer than this.
_CHARACTERS_PER_PART = 100_000
CALLS_IN_FLIGHT = 2

_tokenizer: ElectraTokenizer | None = None


def ids_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger]:
    """The narrowest type that holds all ids of a vocabulary."""
    return np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)


def encode_all(
    texts: Iterable[str], tokenizer: ElectraTokenizer, workers: int = 1
) -> Iterator[Ids]:
    """Piece ids of each text, in the order of the texts.

    Memory is bounded: no more than a few million characters are under way at a time.

    Args:
        texts: Any number of texts.
        tokenizer: Makes the ids.
        workers: Processes; 1 works in this one, on the tokenizer's own threads.

    Yields:
        uint16 or uint32 [n].
    """
    calls = calls_of(texts)
    if workers <= 1:
        for call in calls:
            yield from _encode(call, tokenizer)
        return
    # Forking would copy the locks of torch's and the tokenizer's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, context, initializer=_initialize, initargs=(tokenizer.to_bytes(),)
    ) as pool:
        under_way: deque[Future[tuple[Ids, list[int]]]] = deque()
        for call in calls:
            under_way.append(pool.submit(_encode_in_worker, call))
            if len(under_way) >= workers * CALLS_IN_FLIGHT:
                yield from split_ids(*under_way.popleft().result())
        while under_way:
            yield from split_ids(*under_way.popleft().result())


def calls_of(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in groups of about as many characters."""
    group: list[str] = []
    size = 0
    for text in texts:
        group.append(text)
        size += len(text)
        if size >= _CHARACTERS_PER_CALL or len(group) >= _TEXTS_PER_CALL:
            yield group
            group, size = [], 0
    if group:
        yield group


def _initialize(tokenizer: bytes) -> None:
    global _tokenizer
    # One thread a process: there are as many processes as cores.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _tokenizer = ElectraTokenizer.from_bytes(tokenizer)


def _encode_in_worker(texts: Sequence[str]) -> tuple[Ids, list[int]]:
    assert _tokenizer is not None
    return encode_call(texts, _tokenizer)


def encode_call(
    texts: Sequence[str], tokenizer: ElectraTokenizer
) -> tuple[Ids, list[int]]:
    """Ids end to end, which travel between processes at little cost, and lengths."""
    ids = _encode(texts, tokenizer)
    return np.concatenate(ids), [len(part) for part in ids]


def split_ids(ids: Ids, lengths: list[int]) -> Iterator[Ids]:
    """The ids of each text of a call."""
    yield from np.split(ids, np.cumsum(lengths)[:-1])


def _encode(texts: Sequence[str], tokenizer: ElectraTokenizer) -> list[Ids]:
    dtype = ids_dtype(tokenizer.vocab_size)
    parts = [list(cut_at_lines(text, _CHARACTERS_PER_PART)) for text in texts]
    encoded = iter(tokenizer.encode_ids([part for text in parts for part in text]))
    return [
        np.concatenate([next(encoded) for _ in text]).astype(dtype) for text in parts
    ]
