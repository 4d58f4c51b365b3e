"""Threads that compute side by side on a CPU, each with one of torch's threads.

Two passes of one thread each lose nothing to waiting in small operators, where one pass
of two threads would. torch lets go of Python's lock while it computes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier, Lock, local
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

# With fewer rows for each thread, all threads share one pass.
FEWEST_ROWS = 256

_starting = Lock()


class _Own(local):
    # Torch's threads outside of all ``on_one_thread``; None where there is none.
    count: int | None = None


_own = _Own()


def thread_count() -> int:
    """Torch's threads, those that ``on_one_thread`` leaves out as well."""
    return torch.get_num_threads() if _own.count is None else _own.count


@contextmanager
def on_one_thread() -> Iterator[None]:
    """What torch computes here, outside of streams, takes this thread alone.

    Between streams that pays: once they have shared an operator, the threads of OpenMP
    look for the next one in a loop for some milliseconds, on a core that the next
    stream wants.
    """
    outermost = _own.count is None
    if outermost:
        _own.count = torch.get_num_threads()
    try:
        with _threads(1):
            yield
    finally:
        if outermost:
            _own.count = None


@contextmanager
def on_all_threads() -> Iterator[None]:
    """Undo ``on_one_thread`` where there are no streams, but large operators."""
    with _threads(thread_count()):
        yield


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    _set_threads(count)
    try:
        yield
    finally:
        _set_threads(before)


def _set_threads(count: int) -> None:
    torch.set_num_threads(count)
    # The number is that of the thread that sets it, but also what new threads begin
    # with, and keep.
    if count != thread_count():
        _keeper().submit(torch.set_num_threads, thread_count()).result()


@cache
def _keeper() -> ThreadPoolExecutor:
    """A thread that says what new threads begin with."""
    return ThreadPoolExecutor(1, "spacy-electra")


def run_in_streams(compute: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Compute something for each item, as many at a time as torch has threads.

    Args:
        compute: Called in threads that have one thread of torch each. It must not call
            this function.
        items: What it takes.

    Returns:
        The results, in order.
    """
    return list(_pool(thread_count()).map(compute, items))


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
        before = torch.get_num_threads()
        pool = ThreadPoolExecutor(threads, "spacy-electra", initializer=be_single)
        for _ in range(threads):
            pool.submit(int)
        ready.wait()
        _set_threads(before)
    return pool


# A forked process has none of these threads.
if hasattr(os, "register_at_fork"):
    for started in (_pool, _keeper):
        os.register_at_fork(after_in_child=started.cache_clear)


def passes_for_streams(lengths: Sequence[int], most_rows: int) -> int | None:
    """How many passes of about as many rows give each of torch's threads as much to do.

    Args:
        lengths: Rows of each sequence.
        most_rows: Of all passes at one time, and of each.

    Returns:
        None where passes had better run one after the other.
    """
    threads, total = thread_count(), sum(lengths)
    # A pass may have a sequence more than its share.
    room = most_rows // threads - max(lengths, default=0)
    if threads == 1 or room < FEWEST_ROWS or total < threads * FEWEST_ROWS:
        return None
    return threads * -(-total // (threads * room))
