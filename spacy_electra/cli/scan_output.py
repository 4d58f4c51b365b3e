"""The forms in which `scan` gives what it found: a table, JSON lines, SARIF."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TextIO
from urllib.parse import quote

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..pipeline.display.heat import heat_colour

_CONTEXT = 30
_RULE = "replaced-word"
_PACKAGE = "spacy-electra"


@dataclass(frozen=True)
class Finding:
    """A suspicious word.

    Args:
        file: Where it is; "-" for standard input.
        line: From 1.
        column: Of its first character, in characters, from 1.
        word: As it is written.
        score: How little it belongs there, 0 to 1.
        suggestions: What would fit, with probabilities.
        context: The line that it stands in.
        start: Where it begins in that.
    """

    file: str
    line: int
    column: int
    word: str
    score: float
    suggestions: tuple[tuple[str, float], ...]
    context: str
    start: int

    @property
    def end_column(self) -> int:
        """The column after its last character."""
        return self.column + len(self.word)

    @property
    def around(self) -> tuple[str, str]:
        """What stands around it in its line, not too much of it."""
        before = self.context[: self.start]
        after = self.context[self.start + len(self.word) :]
        if len(before) > _CONTEXT:
            before = f"…{before[-_CONTEXT:]}"
        if len(after) > _CONTEXT:
            after = f"{after[:_CONTEXT]}…"
        return before.lstrip(), after


class Form(Protocol):
    """Takes findings file by file, and writes them."""

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings as they come."""
        ...

    def end_file(self) -> None:
        """All of a file were given."""
        ...

    def end(self) -> None:
        """There are no more files."""
        ...


class AsTable:
    """For people: a table for each file that has a finding."""

    def __init__(self, out: TextIO) -> None:
        self.console = Console(file=out)
        self.found: list[Finding] = []

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings as they come."""
        self.found += findings

    def end_file(self) -> None:
        """Print the table of a file."""
        if self.found:
            self.console.print(_table(self.found))
        self.found = []

    def end(self) -> None:
        """All has been printed."""


def _table(findings: list[Finding]) -> Table:
    name = findings[0].file
    table = Table(title=Text("standard input" if name == "-" else name))
    table.add_column("line:column", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("text", overflow="fold", ratio=3)
    table.add_column("would fit", overflow="fold", ratio=1)
    for own in findings:
        before, after = own.around
        word = Text(own.word, style=f"bold underline black on {heat_colour(own.score)}")
        fits = ", ".join(word for word, _ in own.suggestions)
        table.add_row(
            f"{own.line}:{own.column}",
            f"{own.score:.2f}",
            Text.assemble(before, word, after),
            Text(fits),
        )
    return table


class AsLines:
    """For programs: an object a line, as soon as it is found."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def add(self, findings: Iterable[Finding]) -> None:
        """Write findings as they come."""
        for own in findings:
            row = {
                "file": own.file,
                "line": own.line,
                "column": own.column,
                "end_column": own.end_column,
                "word": own.word,
                "score": round(own.score, 4),
                "suggestions": _plain(own.suggestions),
                "context": own.context,
            }
            self.out.write(f"{json.dumps(row, ensure_ascii=False)}\n")
        self.out.flush()

    def end_file(self) -> None:
        """All has been written."""

    def end(self) -> None:
        """All has been written."""


class AsSarif:
    """For code hosts: a log in the Static Analysis Results Interchange Format 2.1.0.

    https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
    """

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.results: list[dict[str, Any]] = []

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings as they come."""
        self.results += map(_result, findings)

    def end_file(self) -> None:
        """The log is written as a whole."""

    def end(self) -> None:
        """Write the log."""
        about = "Finds words that do not belong, by replaced-token detection"
        rule = {
            "id": _RULE,
            "name": "ReplacedWord",
            "shortDescription": {"text": "A word that does not fit its context"},
            "fullDescription": {
                "text": "The detector takes the word for one that another was replaced "
                "by: a slip, a misspelling, or a word of another meaning."
            },
            "defaultConfiguration": {"level": "warning"},
        }
        driver = {
            "name": _PACKAGE,
            "version": version(_PACKAGE),
            "shortDescription": {"text": about},
            "rules": [rule],
        }
        log = {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {"driver": driver},
                    "columnKind": "unicodeCodePoints",
                    "results": self.results,
                }
            ],
        }
        json.dump(log, self.out, ensure_ascii=False, indent=2)
        self.out.write("\n")


def _result(own: Finding) -> dict[str, Any]:
    fits = ", ".join(word for word, _ in own.suggestions)
    text = f"“{own.word}” may not belong here (score {own.score:.2f})"
    region = {
        "startLine": own.line,
        "startColumn": own.column,
        "endLine": own.line,
        "endColumn": own.end_column,
    }
    place = {"uri": _uri(own.file)}
    # The same word in the same line is the same finding, wherever the line moves.
    key = f"{own.file}\n{own.word}\n{own.context}\n{own.start}".encode()
    return {
        "ruleId": _RULE,
        "ruleIndex": 0,
        "level": "warning",
        "rank": round(100 * own.score, 2),
        "message": {"text": f"{text}; fits: {fits}." if fits else f"{text}."},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": place,
                    "region": {**region, "snippet": {"text": own.word}},
                }
            }
        ],
        "partialFingerprints": {"line/v1": hashlib.sha256(key).hexdigest()[:32]},
        "fixes": [
            {
                "description": {"text": f"Write “{word}”"},
                "artifactChanges": [
                    {
                        "artifactLocation": place,
                        "replacements": [
                            {
                                "deletedRegion": region,
                                "insertedContent": {"text": word},
                            }
                        ],
                    }
                ],
            }
            for word, _ in own.suggestions
        ],
        "properties": {"suggestions": _plain(own.suggestions)},
    }


def _uri(file: str) -> str:
    if file == "-":
        return "stdin"
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _plain(suggestions: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"word": word, "probability": round(p, 4)} for word, p in suggestions]


FORMS: dict[str, Callable[[TextIO], Form]] = {
    "table": AsTable,
    "jsonl": AsLines,
    "sarif": AsSarif,
}
