"""A run over files: what is to do, what is done, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import Errors
from ..files import locked, remove_partials, whole_file
from ..pipeline.saving.folder import pipeline_folder
from .annotator import Annotator, ShardReport
from .engines import in_processes, in_this_process, threads_for
from .output import parquet_package
from .ray_engine import on_ray
from .settings import ENDINGS, AnnotationSettings
from .shards import ERRORS, Shard, input_files, shards_of

MANIFEST = "annotation.json"
_LOCK = ".lock"
_BYTES_PER_READ = 1 << 20


@dataclass
class Summary:
    """What came of a run; of shards that were done before it knows the number alone.

    Args:
        shards: Files of results in all.
        done_before: Those of them that were there before.
        rows: Annotated rows.
        bad: Rows that could not be annotated.
        words: Tokens of the annotated rows.
        warnings: What was warned of.
    """

    shards: int = 0
    done_before: int = 0
    rows: int = 0
    bad: int = 0
    words: int = 0
    warnings: list[str] = field(default_factory=list)

    def add(self, report: ShardReport) -> None:
        """Count a shard."""
        self.shards += 1
        self.done_before += report.was_done
        self.rows += report.rows
        self.bad += report.bad
        self.words += report.words
        known = self.warnings
        known.extend(text for text in report.warnings if text not in known)


def annotate_files(
    paths: Sequence[str],
    output: Path,
    settings: AnnotationSettings,
    *,
    engine: str = "local",
    processes: int = 1,
    resume: bool = False,
    on_shard: Callable[[ShardReport], None] | None = None,
) -> Summary:
    """Annotate the rows of files into a folder, shard by shard.

    Each shard is a file ``part-FILE-NUMBER`` of the folder, in the order of the input,
    that appears when it is whole; ``errors`` has what could not be annotated, by the
    same names. After a run that was killed, ``resume`` does what is missing: no row is
    lost, and none is there twice.

    Args:
        paths: Files, folders or patterns.
        output: The folder.
        settings: What to annotate with, and what to write.
        engine: Where: "local", on this machine, or "ray", on a cluster.
        processes: How many work at a time.
        resume: Whether to go on with what the folder holds of the same run.
        on_shard: Is told of each shard.

    Raises:
        FileNotFoundError: If there is nothing at a path.
        ValueError: If the folder holds another run, or the pipeline can't be loaded.
        RuntimeError: If another run writes to the folder, or a process ends.
        ImportError: If a package is missing that the format or the engine needs.
    """
    if engine not in ENGINES:
        choices = ", ".join(ENGINES)
        raise ValueError(Errors.SE002(name="engine", value=engine, choices=choices))
    if processes < 1:
        raise ValueError(
            Errors.SE003(name="n_process", requirement="1 or more", value=processes)
        )
    if settings.format == "parquet":
        parquet_package()
    output = output.resolve()
    files = input_files(paths, output)
    pipeline = pipeline_folder(settings.pipeline)
    if pipeline is None:
        raise ValueError(
            Errors.SE648(pipeline=settings.pipeline, error="there is no config.cfg")
        )
    if not settings.threads and engine == "ray":
        settings = replace(settings, threads=1)
    elif not settings.threads and processes > 1:
        settings = replace(settings, threads=threads_for(processes))
    output.mkdir(parents=True, exist_ok=True)
    summary = Summary()
    with (
        locked(output / _LOCK, Errors.SE651(path=output)),
        _recorded(files, pipeline, output, settings, resume) as (finished, done),
    ):
        if finished:
            return Summary(shards=len(done), done_before=len(done))
        shards = shards_of(files, settings.text_field, settings.shard_size, done=done)
        # Here only what can't be loaded is one error and not one per process.
        for report in ENGINES[engine](shards, settings, output, processes):
            summary.add(report)
            if on_shard is not None:
                on_shard(report)
    return summary


def _on_this_machine(
    shards: Iterable[Shard],
    settings: AnnotationSettings,
    output: Path,
    processes: int,
) -> Iterator[ShardReport]:
    if processes == 1:
        return in_this_process(shards, Annotator(settings, output))
    return in_processes(shards, settings, output, processes)


ENGINES = {"local": _on_this_machine, "ray": on_ray}


@contextmanager
def _recorded(
    files: Sequence[Path],
    pipeline: Path,
    output: Path,
    settings: AnnotationSettings,
    resume: bool,
) -> Iterator[tuple[bool, frozenset[str]]]:
    """Keep on the disk what the run is made of, and that it is finished.

    Yields:
        Whether it was finished before, and the names of the shards that are done.

    Raises:
        ValueError: If the folder holds results, and these are not to be resumed.
    """
    manifest = output / MANIFEST
    ours = _content(files, pipeline, settings)
    # No other process writes here.
    for folder in (output, output / ERRORS):
        remove_partials(folder)
    ending = ENDINGS[settings.format]
    found = sorted(file.stem for file in output.glob("part-*") if file.suffix == ending)
    before = _read_manifest(manifest)
    if before is None and found:
        raise ValueError(Errors.SE652(path=output, manifest=MANIFEST))
    if before is not None:
        if not resume:
            raise ValueError(Errors.SE653(path=output))
        _check_same(before, ours, output)
    finished = bool(before and before["finished"] and before["shards"] == len(found))
    if not finished:
        _write_manifest(manifest, {**ours, "finished": False})
    yield finished, frozenset(found)
    if not finished:
        # Of workers that died while others went on.
        for folder in (output, output / ERRORS):
            remove_partials(folder)
        shards = sum(file.suffix == ending for file in output.glob("part-*"))
        _write_manifest(manifest, {**ours, "finished": True, "shards": shards})


def _content(
    files: Sequence[Path], pipeline: Path, settings: AnnotationSettings
) -> dict[str, Any]:
    """What a result is made of; files by name, size and time of change."""
    statuses = [(file, file.stat()) for file in files]
    return {
        "pipeline": {"name": settings.pipeline, "sha256": folder_hash(pipeline)},
        "settings": settings.of_result(),
        "input": [
            [str(file), status.st_size, status.st_mtime_ns] for file, status in statuses
        ],
    }


def _check_same(before: dict[str, Any], ours: dict[str, Any], output: Path) -> None:
    """Refuse to go on with what was made of something else.

    Raises:
        ValueError: Naming what differs.
    """
    changes = []
    old, new = before["settings"], ours["settings"]
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            changes.append(f"{name} was {old.get(name)!r} and is {new.get(name)!r}")
    if before["pipeline"]["sha256"] != ours["pipeline"]["sha256"]:
        changes.append(f"the pipeline is not that of {before['pipeline']['name']!r}")
    if before["input"] != ours["input"]:
        theirs = {tuple(row) for row in before["input"]}
        mine = {tuple(row) for row in ours["input"]}
        named = sorted({str(row[0]) for row in theirs ^ mine})
        changes.append(f"input changed: {', '.join(named[:3]) or 'its order'}")
    if changes:
        raise ValueError(Errors.SE654(path=output, changes="; ".join(changes)))


def _read_manifest(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf8"))
        for name in ("pipeline", "settings", "input", "finished"):
            content[name]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(Errors.SE655(file=file, error=error)) from error
    return dict(content)


def _write_manifest(file: Path, content: dict[str, Any]) -> None:
    with whole_file(file) as partial:
        partial.write_text(json.dumps(content, indent=2), encoding="utf8")


def folder_hash(folder: Path) -> str:
    """SHA-256 of the names and contents of a folder's files."""
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or "__pycache__" in file.parts:
            continue
        found.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while part := stream.read(_BYTES_PER_READ):
                found.update(part)
    return found.hexdigest()
