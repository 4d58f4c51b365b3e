"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

# What is being written, or removed, ends in this.
PARTIAL = ".part"
_OLD = ".old" + PARTIAL
_PARTIAL_NAME = re.compile(r"(\.\d+\.part(\.\w+)?|\.part)$")


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A file that takes its place when it is whole; its folder is made.

    Yields:
        Where to write. After an error it is gone, and the old file is as it was.
    """
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Who looks for files of a kind must not find it, and none of another process, on
    # this machine or another one, has its name.
    partial = file.with_name(f".{file.name}.{uuid4().hex[:12]}{PARTIAL}")
    try:
        yield partial
        synchronize(partial)
        os.replace(partial, file)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    synchronize(file.parent)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder of one's own that is there with all its content, or not at all.

    What was in it before is gone afterwards. After an error it is as it was.

    Yields:
        Where to write.
    """
    partial = folder.with_name(folder.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        _synchronize_all(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _exchange(partial, folder)
    synchronize(folder.parent)


@contextmanager
def into_folder(folder: Path, names: Sequence[str], marker: str) -> Iterator[Path]:
    """Files and folders that take their places in a folder when all are whole.

    Whatever else lies in the folder stays. Of what has a place in it, the old goes even
    where there is no new. Files that are open, or mapped into memory, stay readable for
    those who have them.

    Args:
        folder: Made where it is missing.
        names: What has a place in it.
        marker: The one of them by which readers know that all are there. It goes
            first and comes last.

    Yields:
        Where to write. After an error the folder is as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"new{PARTIAL}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        _synchronize_all(partial)
        (folder / marker).unlink(missing_ok=True)
        for name in sorted(names, key=lambda name: name == marker):
            if (partial / name).exists():
                _exchange(partial / name, folder / name)
            else:
                _remove(folder / name)
        synchronize(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def locked(file: Path, message: str) -> Iterator[None]:
    """Hold a lock, which ends with the process however that ends.

    Raises:
        RuntimeError: With the message, if another process holds it.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RuntimeError(message) from error
    try:
        yield
    finally:
        lock.release()


def remove_partials(folder: Path) -> None:
    """Clear away what a process that was killed left in a folder.

    A folder that it was about to replace comes back.
    """
    for partial in sorted(folder.iterdir() if folder.is_dir() else ()):
        if not _PARTIAL_NAME.search(partial.name):
            continue
        name = partial.name.removesuffix(_OLD)
        if partial.name.endswith(_OLD) and not (folder / name).exists():
            partial.rename(folder / name)
        else:
            _remove(partial)


def folder_size(folder: Path) -> int:
    """How many bytes the files of a folder have."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def synchronize(path: Path) -> None:
    """Have the disk itself hold a file, or a folder's names (fsync)."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _synchronize_all(folder: Path) -> None:
    # A name that is on the disk before its content would outlive a power cut.
    for file in [*folder.rglob("*"), folder]:
        synchronize(file)


def _exchange(new: Path, place: Path) -> None:
    """Put a file or folder in the place of another."""
    if not place.is_dir():
        os.replace(new, place)
        return
    # Folders can't replace each other in one step.
    old = place.with_name(place.name + _OLD)
    _remove(old)
    place.rename(old)
    new.rename(place)
    _remove(old)


def _remove(path: Path) -> None:
    """Remove what lies there, if anything does; of a link, not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
