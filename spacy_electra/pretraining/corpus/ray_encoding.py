"""Texts to piece ids on the machines of a Ray cluster, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...errors import Errors
from ...ray_cluster import joined_cluster
from ...tokenization.wordpiece import ElectraTokenizer
from .encoding import CALLS_IN_FLIGHT, Ids, calls_of, encode_call, split_ids

# Times that a call is begun whose worker dies with it.
_TRIES = 3
_tokenizers: dict[str, ElectraTokenizer] = {}


def encode_on_ray(
    texts: Iterable[str], tokenizer: ElectraTokenizer, workers: int
) -> Iterator[Ids]:
    """As ``encode_all``, on a cluster; a call whose worker dies is made again.

    Args:
        texts: Any number of texts, read by this process.
        tokenizer: Makes the ids.
        workers: Calls that run at a time, each on a core.

    Yields:
        uint16 or uint32 [n].

    Raises:
        ImportError: If Ray is missing.
        RuntimeError: If the workers of a call die again and again.
    """
    with joined_cluster() as ray:
        encode = ray.remote(num_cpus=1, max_retries=_TRIES - 1)(_encode)
        key, content = tokenizer.fingerprint, ray.put(tokenizer.to_bytes())
        under_way: deque[Any] = deque()
        for call in calls_of(texts):
            under_way.append(encode.remote(key, content, call))
            if len(under_way) >= workers * CALLS_IN_FLIGHT:
                yield from split_ids(*_answer(ray, under_way.popleft()))
        while under_way:
            yield from split_ids(*_answer(ray, under_way.popleft()))


def _answer(ray: Any, reference: Any) -> tuple[Ids, list[int]]:
    try:
        ids, lengths = ray.get(reference)
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        what, kind = "a part of the corpus", type(error).__name__
        raise RuntimeError(Errors.SE662(tries=_TRIES, what=what, error=kind)) from error
    return ids, lengths


def _encode(key: str, content: bytes, texts: Sequence[str]) -> tuple[Ids, list[int]]:
    """Ids end to end and their lengths, in a worker, which keeps its tokenizer."""
    if key not in _tokenizers:
        _tokenizers[key] = ElectraTokenizer.from_bytes(content)
    return encode_call(texts, _tokenizers[key])
