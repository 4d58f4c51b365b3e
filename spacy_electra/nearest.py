"""What somebody may have meant by a name that leads nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from .errors import listed

_ALIKE = 0.7
_MOST_TRIED = 3


def nearest_name(name: str, names: Iterable[str]) -> str:
    """The one of some names that is most like another, or ""."""
    return next(iter(_matches(name, names)), "")


def nearest_folder(path: str) -> str:
    """The folder that is most like a path, written as the path is, or "".

    Each part may be mistyped. Signs of Windows are read as the system's own.
    """
    parts, begin = _parts(path)
    found = _most_alike(begin, parts)
    if found is None:
        return ""
    text = found.as_posix()
    return f"./{text}" if path.startswith("./") else text


def folder_hint(path: str) -> str:
    """A sentence on what lies where a path leads nowhere."""
    if near := nearest_folder(path):
        return f"Did you mean {near!r}?"
    parts, place = _parts(path)
    while parts and (place / parts[0]).is_dir():
        place, parts = place / parts[0], parts[1:]
    names = sorted(_folders(place))
    there = f"has the folders {listed(names, 8)}" if names else "has no folders"
    where = "The current folder" if place == Path() else repr(str(place))
    return f"{where} {there}."


def _parts(path: str) -> tuple[list[str], Path]:
    """The parts of a path, and where they begin."""
    plain = path if os.sep == "\\" else path.replace("\\", "/")
    whole = Path(plain).expanduser() if plain.startswith("~") else Path(plain)
    begin = Path(whole.anchor)
    return list(whole.relative_to(begin).parts), begin


def _most_alike(place: Path, parts: list[str]) -> Path | None:
    if not parts:
        return place
    first, rest = parts[0], parts[1:]
    if first == ".." or (place / first).is_dir():
        names = [first]
    else:
        names = _matches(first, _folders(place))
    found = (_most_alike(place / name, rest) for name in names)
    return next((path for path in found if path is not None), None)


def _matches(name: str, names: Iterable[str]) -> list[str]:
    by_lower = {other.lower(): other for other in names}
    alike = get_close_matches(name.lower(), by_lower, _MOST_TRIED, _ALIKE)
    return [by_lower[other] for other in alike]


def _folders(place: Path) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return [e.name for e in entries if e.is_dir() and e.name[0] != "."]
    except OSError:
        return []
