"""What a forked process (`nlp.pipe(n_process=2)` on Linux) must leave alone."""

from __future__ import annotations

import os
from functools import cache

import torch

_PARALLELISM = "TOKENIZERS_PARALLELISM"
_before: list[str | None] = []


@cache
def make_forks_safe() -> None:
    """Keep processes forked from now on from waiting for threads they do not have."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_before_fork,
            after_in_parent=_after_fork_in_parent,
            after_in_child=_after_fork_in_child,
        )


def _before_fork() -> None:
    # In a child of a process that tokenized in parallel the library turns that off,
    # but it prints a warning for every child unless the variable says so already.
    _before.append(os.environ.get(_PARALLELISM))
    os.environ[_PARALLELISM] = "false"


def _after_fork_in_parent() -> None:
    value = _before.pop()
    if value is None:
        os.environ.pop(_PARALLELISM, None)
    else:
        os.environ[_PARALLELISM] = value


def _after_fork_in_child() -> None:
    # The threads of the OpenMP runtime stayed in the parent; a matrix product that
    # waited for them would never end.
    torch.set_num_threads(1)
