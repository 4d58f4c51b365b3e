"""Where shards are annotated: in this process or in several."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from ..errors import Errors
from .annotator import Annotator, ShardReport
from .settings import AnnotationSettings
from .shards import Shard

# Shards that wait for a process, beside the one that it works on.
_WAITING = 1
_annotator: Annotator | None = None


def in_this_process(
    shards: Iterable[Shard], annotate: Callable[[Shard], ShardReport]
) -> Iterator[ShardReport]:
    """Annotate one shard after the other."""
    return map(annotate, shards)


def in_processes(
    shards: Iterable[Shard],
    settings: AnnotationSettings,
    output: Path,
    processes: int,
) -> Iterator[ShardReport]:
    """Annotate shards in several processes, each with a pipeline of its own.

    Few shards are in memory at a time, however many there are.

    Args:
        shards: To annotate.
        settings: Of the run.
        output: The folder of results.
        processes: How many.

    Yields:
        What came of each shard, in their order.

    Raises:
        RuntimeError: If one of the processes ends, for instance for want of memory.
    """
    # Threads of torch do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, context, _begin, (settings, output)
    ) as executor:
        waiting: deque[Future[ShardReport]] = deque()
        try:
            for shard in shards:
                waiting.append(executor.submit(_annotate, shard))
                if len(waiting) > processes * (1 + _WAITING):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise RuntimeError(Errors.SE650(processes=processes)) from error
        finally:
            for future in waiting:
                future.cancel()


def threads_for(processes: int) -> int:
    """How many threads each of several processes gets."""
    return max(1, torch.get_num_threads() // processes)


def _begin(settings: AnnotationSettings, output: Path) -> None:
    global _annotator
    _annotator = Annotator(settings, output)


def _annotate(shard: Shard) -> ShardReport:
    assert _annotator is not None
    return _annotator(shard)
