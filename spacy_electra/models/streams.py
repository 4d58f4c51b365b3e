"""Threads that compute side by side on a CPU, each with one of torch's threads.

Two passes of one thread each lose nothing to waiting in small operators, where one pass
of two threads would. torch lets go of Python's lock while it computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

# With fewer rows for each thread, all threads share one pass.
FEWEST_ROWS = 256

_starting = Lock()


def run_in_streams(compute: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Compute something for each item, as many at a time as torch has threads.

    Args:
        compute: Called in threads that have one thread of torch each. It must not call
            this function.
        items: What it takes.

    Returns:
        The results, in order.
    """
    return list(_pool(torch.get_num_threads()).map(compute, items))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that compute with one thread each, without end."""
    ready = Barrier(threads + 1)

    def be_single() -> None:
        # A thread takes the number for new ones when it first asks, and not again.
        torch.get_num_threads()
        torch.set_num_threads(1)
        ready.wait()

    with _starting:
        pool = ThreadPoolExecutor(threads, "spacy-electra", initializer=be_single)
        for _ in range(threads):
            pool.submit(int)
        ready.wait()
        # The number is that of the thread that sets it, but also what new threads
        # begin with.
        torch.set_num_threads(threads)
    return pool


# A forked process has none of these threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def passes_for_streams(lengths: Sequence[int], most_rows: int) -> int | None:
    """How many passes of about as many rows give each of torch's threads as much to do.

    Args:
        lengths: Rows of each sequence.
        most_rows: Of all passes at one time, and of each.

    Returns:
        None where passes had better run one after the other.
    """
    threads, total = torch.get_num_threads(), sum(lengths)
    # A pass may have a sequence more than its share.
    room = most_rows // threads - max(lengths, default=0)
    if threads == 1 or room < FEWEST_ROWS or total < threads * FEWEST_ROWS:
        return None
    return threads * -(-total // (threads * room))
