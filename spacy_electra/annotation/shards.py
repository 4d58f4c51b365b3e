"""Input files cut into shards, each of which becomes one output file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..errors import Errors
from ..pretraining.corpus.documents import corpus_files
from .rows import BadRow, Row, rows_of

# Below the output folder: where rows that could not be annotated are told.
ERRORS = "errors"


@dataclass(frozen=True)
class Shard:
    """Some rows of an input file that follow each other.

    Args:
        file: The input file.
        name: Of the output file, without its ending; sorted, names have the order of
            the input.
        rows: As they stand in the file.
        size: What they took of the file, bytes on the disk.
        is_done: Whether they were annotated before; then there are no rows here.
    """

    file: Path
    name: str
    rows: list[Row | BadRow]
    size: int
    is_done: bool = False


def input_files(paths: Iterable[str], output: Path) -> list[Path]:
    """The files of several paths, each once, in the order that the paths are given.

    Args:
        paths: Files, folders or patterns, as ``corpus_files`` takes them.
        output: Where results go, which must not be read as input.

    Raises:
        FileNotFoundError: If there is nothing at a path.
        ValueError: If a path holds no file of a known kind, or the output.
    """
    place = output.resolve()
    for path in paths:
        root = Path(path).resolve()
        if root == place or root in place.parents:
            raise ValueError(Errors.SE644(path=path, output=output))
    files = (file for path in paths for file in corpus_files(path))
    return list({file.resolve(): file for file in files}.values())


def shards_of(
    files: Iterable[Path],
    text_field: str,
    size: int,
    *,
    first_file: int = 0,
    done: Collection[str] = (),
) -> Iterator[Shard]:
    """Cut files into shards, which depend on their content and the size alone.

    Args:
        files: The input.
        text_field: The field that holds the text.
        size: Most rows of a shard.
        first_file: Number of the first of the files.
        done: Names of the shards that were annotated before.
    """
    for file_number, file in enumerate(files, first_file):
        length = file.stat().st_size
        read = told = 0

        def count(more: int) -> None:
            nonlocal read
            read += more

        rows = rows_of(file, text_field, count)
        number = 0
        # One shard ahead, to know which one is the file's last.
        upcoming = list(islice(rows, size))
        while upcoming:
            own, upcoming = upcoming, list(islice(rows, size))
            # A .parquet is not read from end to end.
            position = min(read, length) if upcoming else length
            name = f"part-{file_number:05}-{number:05}"
            is_done = name in done
            yield Shard(file, name, [] if is_done else own, position - told, is_done)
            told = position
            number += 1
