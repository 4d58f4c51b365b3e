"""What every format checks of a file before it believes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...errors import Errors, listed

# Where checkpoints lie in what writes several of them: a run, a trainer's folder.
_DEEPEST = 3
_MOST_NAMED = 4
FETCH_ALL = "Fetch all files of the checkpoint."


def missing(folder: Path, names: Sequence[str]) -> FileNotFoundError:
    """The error for a folder that has none of some files.

    It says where below the folder they are, if they are: the folder of a pretraining
    run, for instance, has checkpoints and is none.
    """
    places = sorted(
        {
            str(found.parent)
            for name in names
            for depth in range(1, _DEEPEST + 1)
            for found in folder.glob("*/" * depth + name)
        }
    )
    places = places[-_MOST_NAMED:]
    advice = (
        f"Name one of the folders in it that have: {listed(places, len(places))}."
        if places
        else FETCH_ALL
    )
    return FileNotFoundError(
        Errors.SE200(folder=folder, names=" or ".join(names), advice=advice)
    )


def check_file(file: Path) -> None:
    """Refuse what can't be read as a file: a folder, a pipe, nothing at all.

    Raises:
        FileNotFoundError: If there is nothing of that name.
        ValueError: If it is no regular file.
    """
    if not file.exists():
        raise missing(file.parent, [file.name])
    if not file.is_file():
        raise ValueError(Errors.SE211(file=file))


def check_claim(file: Path, claimed: int) -> None:
    """Refuse weights that are larger than their file, before they get memory.

    Args:
        file: The file.
        claimed: Bytes that its weights take, by what it says.

    Raises:
        ValueError: If the file is smaller.
    """
    size = file.stat().st_size
    if claimed > size:
        raise ValueError(Errors.SE212(file=file, claimed=claimed, size=size))


@contextmanager
def damage_named(file: Path) -> Iterator[None]:
    """Turn whatever a reader raises into one error that names the file.

    Raises:
        ValueError: In place of any exception without a code of this package.
    """
    try:
        yield
    except Exception as error:
        # A damaged file can make a library raise anything at all.
        if str(error).startswith("[SE"):
            raise
        raise ValueError(Errors.SE202(file=file, error=error)) from error
