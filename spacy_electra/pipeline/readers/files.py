"""Files of annotated data: their text, and what stands where in their JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, TypeVar

from ...errors import Errors
from ...pretraining.corpus.compression import (
    COMPRESSED,
    broken_file_errors,
    format_of,
    open_bytes,
)

Kind = TypeVar("Kind")
# How an error calls what JSON may hold.
_KINDS: dict[type, str] = {
    str: "a string",
    list: "a list",
    dict: "an object",
    int: "an int",
}


@dataclass(frozen=True)
class Place:
    """Where in a file something stands, as a message names it.

    Args:
        file: The file, perhaps with a line of it.
        path: The way to it through the members and items of the file's JSON.
    """

    file: str | Path
    path: str = ""

    def member(self, key: str) -> Place:
        """The place of an object's member."""
        return Place(self.file, f"{self.path}.{key}" if self.path else key)

    def item(self, number: int) -> Place:
        """The place of a list's item."""
        return Place(self.file, f"{self.path}[{number}]")

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.path else str(self.file)


def check_counts(**counts: int) -> None:
    """Refuse a count that is negative; 0 stands for no limit.

    Args:
        counts: By the name of the setting.

    Raises:
        ValueError: If there is one.
    """
    for name, value in counts.items():
        if value < 0:
            requirement = "0 or a positive int"
            raise ValueError(
                Errors.SE003(name=name, requirement=requirement, value=value)
            )


def files_at(path: str | os.PathLike[str], ending: str) -> list[Path]:
    """A file, all files of a folder that end so, or those of a pattern, sorted.

    Args:
        path: The file, folder or pattern ("mctest/*.train.tsv").
        ending: Such as ".json"; that of a compression may follow it.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If the folder has no such file.
    """
    root = Path(path)
    if root.is_file():
        return [root]
    if not root.is_dir():
        found = [Path(name) for name in sorted(glob(os.fspath(path), recursive=True))]
        files = [file for file in found if file.is_file()]
        if not files:
            raise FileNotFoundError(Errors.SE380(path=path, ending=ending))
        return files
    files = [file for file in sorted(root.rglob("*")) if format_of(file) == ending]
    if not files:
        endings = f"{ending} (plain, {', '.join(COMPRESSED)})"
        raise ValueError(Errors.SE401(path=root, endings=endings))
    return files


def read_text(file: Path) -> str:
    """A file as text, decompressed by the end of its name.

    Raises:
        ValueError: If it is not UTF-8, or broken.
    """
    try:
        with open_bytes(file) as stream:
            data = stream.read()
    except broken_file_errors() as error:
        raise ValueError(Errors.SE403(file=file, error=error)) from error
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(Errors.SE402(file=file, line=line, error=error)) from error


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not blank, each with its number from 1."""
    # Not splitlines(), which ends a line at characters that JSON and texts may hold.
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if line.strip():
            yield number, line


def parse_json(text: str, file: Path, line: int = 1) -> Any:
    """What JSON says.

    Args:
        text: The JSON.
        file: Where it stands, for messages.
        line: Number of its first line there.

    Raises:
        ValueError: If it is not JSON; the message names the place.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line, column, problem = line + error.lineno - 1, error.colno, error.msg
    except (RecursionError, ValueError) as error:
        # Nested too deep, or a number of thousands of digits.
        column, problem = 1, str(error)
    raise ValueError(
        Errors.SE375(file=file, line=line, column=column, error=problem)
    ) from None


def member(record: Any, key: str, kind: type[Kind], place: Place) -> Kind:
    """A member of a JSON object, of the kind that it must have.

    Args:
        record: The object.
        key: Which member.
        kind: ``str``, ``list`` or ``int``.
        place: Where the object stands.

    Raises:
        ValueError: If the object is none, or the member is missing or of another kind.
    """
    if not isinstance(record, dict):
        raise ValueError(_wrong(place, "an object", record))
    if key not in record:
        raise ValueError(_wrong(place, f"an object with {key!r}", record))
    return _checked(record[key], kind, place.member(key))


def items(
    record: Any, key: str, place: Place, kind: type[Kind]
) -> Iterator[tuple[Kind, Place]]:
    """The items of a list that is a member of an object, each with its place.

    Args:
        record: The object.
        key: Which member.
        place: Where the object stands.
        kind: ``str`` or ``dict``: what each item must be.

    Raises:
        ValueError: If it is no such list.
    """
    values = member(record, key, list, place)
    for number, value in enumerate(values):
        where = place.member(key).item(number)
        yield _checked(value, kind, where), where


def _checked(value: Any, kind: type[Kind], place: Place) -> Kind:
    # Of Python's kinds, true is an int.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(_wrong(place, _KINDS[kind], value))
    if isinstance(value, str) and not _is_whole(value):
        raise ValueError(_wrong(place, "text without half characters", value))
    return value


def _is_whole(text: str) -> bool:
    """Whether no escape of it stands for half a character, which no Doc can hold."""
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        return False
    return True


def _wrong(place: Place, requirement: str, value: Any) -> str:
    shown = json.dumps(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return Errors.SE376(place=place, requirement=requirement, value=shown)
