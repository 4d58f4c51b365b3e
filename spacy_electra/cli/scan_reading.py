"""What `scan` reads: files of any size, paragraph by paragraph."""

from __future__ import annotations

import io
import os
import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from typing import BinaryIO

from ..errors import Errors

STDIN = "-"
# Files that a folder is searched for.
ENDINGS = (".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org", ".tex")
# Longer paragraphs are cut, at the end of a line or at a blank.
LONGEST_BLOCK = 20_000
_FENCE = re.compile(r" {0,3}(?P<sign>```+|~~~+)")


@dataclass
class Block:
    """Lines of a file that are read together.

    Args:
        text: Of the lines, with their ends.
        position: Bytes of the file that were read so far.
        starts: Where in the text each line begins.
        places: Its number, from 1, and how many characters of it stand before the text.
    """

    text: str = ""
    position: int = 0
    starts: list[int] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)

    def place_of(self, offset: int) -> tuple[int, int]:
        """Line and column of a character, both from 1."""
        at = bisect_right(self.starts, offset) - 1
        line, before = self.places[at]
        return line, before + offset - self.starts[at] + 1

    def line_at(self, offset: int) -> tuple[str, int]:
        """The line that has a character, without its end, and where it begins."""
        at = bisect_right(self.starts, offset) - 1
        end = self.starts[at + 1] if at + 1 < len(self.starts) else len(self.text)
        return self.text[self.starts[at] : end].rstrip("\n"), self.starts[at]


def files_of(paths: Iterable[str]) -> list[str]:
    """The files that arguments mean, each once; "-" is standard input.

    Args:
        paths: Files, folders, in which files of ``ENDINGS`` are looked for and hidden
            ones are not, and globs.

    Raises:
        FileNotFoundError: If one means no file.
    """
    found: dict[str, None] = {}
    for path in paths:
        own = [path] if path == STDIN else _files_of(path)
        if not own:
            endings = ", ".join(ENDINGS)
            raise FileNotFoundError(Errors.SE506(path=path, endings=endings))
        found.update(dict.fromkeys(own))
    return list(found)


def _files_of(path: str) -> list[str]:
    if os.path.isdir(path):
        inside = sorted(Path(path).rglob("*"))
        return [
            str(file)
            for file in inside
            if file.suffix.lower() in ENDINGS
            and not any(p.startswith(".") for p in file.relative_to(path).parts)
            and file.is_file()
        ]
    if os.path.exists(path):
        return [path]
    matches = sorted(glob(path, recursive=True)) if has_magic(path) else []
    return [file for file in matches if os.path.isfile(file)]


def size_of(files: Iterable[str]) -> int:
    """How many bytes there are to read; standard input counts for none."""
    return sum(os.path.getsize(file) for file in files if file != STDIN)


def blocks_of(file: str, *, with_code: bool) -> Iterator[Block]:
    """The paragraphs of a file.

    Args:
        file: Its name, or "-".
        with_code: Whether to give code between fences of Markdown, too.

    Raises:
        ValueError: If it is no text in UTF-8.
    """
    if file == STDIN:
        yield from _blocks(sys.stdin.buffer, "Standard input", with_code)
        return
    with open(file, "rb") as stream:
        yield from _blocks(stream, file, with_code)


def _blocks(stream: BinaryIO, name: str, with_code: bool) -> Iterator[Block]:
    position = _Position(stream)
    # The text's own universal newlines: lines end with "\n", whatever the file has.
    text = io.TextIOWrapper(
        io.BufferedReader(position), encoding="utf-8-sig", errors="strict"
    )
    block, fence = Block(), ""
    number = 1
    try:
        for number, before, line in _lines(text):
            if "\0" in line:
                problem = f"line {number} has a zero byte"
                raise ValueError(Errors.SE505(name=name, problem=problem))
            is_code, fence = _fenced(line, before, fence)
            is_blank = not line.strip()
            if block.text and (
                is_blank
                or (is_code and not with_code)
                or len(block.text) + len(line) > LONGEST_BLOCK
            ):
                block.position = position.read_so_far
                yield block
                block = Block()
            if not is_blank and (with_code or not is_code):
                block.starts.append(len(block.text))
                block.places.append((number, before))
                block.text += line
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x} ({error.reason})"
        problem = f"after line {number} there is {found}"
        raise ValueError(Errors.SE505(name=name, problem=problem)) from error
    finally:
        # The stream is not this function's to close.
        text.detach().detach() if not text.closed else None
    if block.text:
        block.position = position.read_so_far
        yield block


class _Position(io.RawIOBase):
    """Counts the bytes that were read of a stream, which may be a pipe."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.read_so_far = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        self.read_so_far += len(data)
        return len(data)


def _lines(text: io.TextIOWrapper) -> Iterator[tuple[int, int, str]]:
    """Number of a line, characters of it that were given already, and more of it.

    A line of any length is given in parts that fit a block.
    """
    number, before, rest = 1, 0, ""
    while part := text.readline(LONGEST_BLOCK - len(rest)):
        part = rest + part
        rest = ""
        if not part.endswith("\n") and len(part) >= LONGEST_BLOCK:
            cut = max(map(part.rfind, " \t")) + 1
            if cut:
                part, rest = part[:cut], part[cut:]
        yield number, before, part
        before += len(part)
        if part.endswith("\n"):
            number, before = number + 1, 0
    if rest:
        yield number, before, rest


def _fenced(line: str, before: int, fence: str) -> tuple[bool, str]:
    """Whether a line is code between fences, and the fence that is open after it."""
    match = _FENCE.match(line) if not before else None
    if not fence:
        return (True, match["sign"]) if match else (False, "")
    sign = line.strip()
    closes = match is not None and sign.startswith(fence) and not sign.strip(fence[0])
    return True, "" if closes else fence
