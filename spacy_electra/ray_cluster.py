"""A cluster of Ray, which this process joins for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .extras import import_extra


@contextmanager
def joined_cluster() -> Iterator[Any]:
    """Be part of a Ray cluster, and leave it if this process had not joined before.

    It is the cluster that the environment variable RAY_ADDRESS names, or the one that
    this machine belongs to, or a new one of this machine alone.

    Yields:
        The package.

    Raises:
        ImportError: If Ray is missing.
    """
    ray = import_extra("ray", "--engine ray", "ray")
    if ray.is_initialized():
        yield ray
        return
    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()
