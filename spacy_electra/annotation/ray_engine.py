"""Shards annotated by workers on the machines of a Ray cluster."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import Errors, Warnings
from ..ray_cluster import joined_cluster
from .annotator import Annotator, ShardReport
from .settings import AnnotationSettings
from .shards import Shard

# Times that a shard is begun whose worker dies with it.
TRIES = 3


class RayAnnotator:
    """What a worker holds: an annotator, and its pipeline from the first shard on."""

    def __init__(self, settings: AnnotationSettings, output: Path) -> None:
        self._annotator = Annotator(settings, output)

    def begin(self) -> None:
        """Nothing; the answer says that the worker is there."""

    def annotate(self, shard: Shard) -> ShardReport:
        """Annotate a shard, and write it."""
        return self._annotator(shard)


def on_ray(
    shards: Iterable[Shard],
    settings: AnnotationSettings,
    output: Path,
    workers: int,
) -> Iterator[ShardReport]:
    """Annotate shards on a Ray cluster, each worker with a pipeline of its own.

    The cluster is the one of RAY_ADDRESS, or that which this machine belongs to, or a
    new one of this machine alone. This process reads the input; the folder of results
    must be the same to all machines. A shard whose worker dies goes to another one;
    that is exact, since a file of results appears whole and has one name.

    Args:
        shards: To annotate; those that were done before go to nobody.
        settings: Of the run. With a GPU each worker gets one, whichever is free.
        output: The folder of results.
        workers: How many; each takes a core.

    Yields:
        What came of each shard, in the order in which they end.

    Raises:
        ImportError: If Ray is missing.
        ValueError: If a worker can't load the pipeline.
        RuntimeError: If a shard's workers die again and again.
    """
    with joined_cluster() as ray:
        pool = _Pool(ray, settings, output, workers)
        for shard in shards:
            if shard.is_done:
                yield ShardReport(shard.name, 0, 0, 0, shard.size, was_done=True)
                continue
            while not pool.takes(shard):
                yield from pool.wait()
        while pool.is_busy:
            yield from pool.wait()


class _Pool:
    """Workers, each with one shard at a time.

    Args:
        ray: The package.
        settings: Of the run.
        output: The folder of results.
        workers: How many.
    """

    def __init__(
        self, ray: Any, settings: AnnotationSettings, output: Path, workers: int
    ) -> None:
        self._ray = ray
        # Ray shows a worker its own GPU only.
        own = replace(settings, gpu_id=min(settings.gpu_id, 0))
        needs = {"num_cpus": 1, "num_gpus": int(settings.gpu_id >= 0)}
        make = ray.remote(**needs)(RayAnnotator)
        self._make = lambda: make.remote(own, output)
        # Of each answer that is awaited: the worker, its shard, and which try it is.
        self._awaited: dict[Any, tuple[Any, Shard | None, int]] = {}
        self._idle: list[Any] = []
        self._again: list[tuple[Shard, int]] = []
        room = ray.cluster_resources()
        fits = [
            room.get(n, 0) // c
            for n, c in zip(("CPU", "GPU"), needs.values(), strict=True)
            if c
        ]
        if min(fits) < workers:
            warnings.warn(
                Warnings.SW656(workers=workers, fits=int(min(fits))), stacklevel=2
            )
        for _ in range(workers):
            self._begin()

    @property
    def is_busy(self) -> bool:
        """Whether a shard is not done yet that was taken."""
        return bool(self._again) or any(
            shard is not None for _, shard, _ in self._awaited.values()
        )

    def takes(self, shard: Shard) -> bool:
        """Give a shard to a worker that has nothing to do, if there is one."""
        if not self._idle or self._again:
            return False
        self._send(shard, 1)
        return True

    def wait(self) -> Iterator[ShardReport]:
        """Wait until a worker has answered, or died; what came of its shard."""
        (answer,), _ = self._ray.wait(list(self._awaited), num_returns=1)
        worker, shard, number = self._awaited.pop(answer)
        errors = self._ray.exceptions
        try:
            report = self._ray.get(answer)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            # Of memory or of its machine: another one may have more luck.
            if number >= TRIES:
                name = "a pipeline" if shard is None else f"the shard {shard.name}"
                raise RuntimeError(
                    Errors.SE661(tries=TRIES, what=name, error=type(error).__name__)
                ) from error
            if shard is None:
                self._begin(number + 1)
            else:
                self._again.append((shard, number + 1))
                self._begin()
        else:
            self._idle.append(worker)
            if shard is not None:
                yield report
        while self._idle and self._again:
            self._send(*self._again.pop())

    def _begin(self, number: int = 1) -> None:
        worker = self._make()
        self._awaited[worker.begin.remote()] = (worker, None, number)

    def _send(self, shard: Shard, number: int) -> None:
        worker = self._idle.pop()
        self._awaited[worker.annotate.remote(shard)] = (worker, shard, number)
