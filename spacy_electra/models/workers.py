"""Threads that compute side by side on a CPU, each with one of torch's threads."""

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
