"""The log of a run: one CSV file, a line for each report."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LOG = "log.csv"


class LogFile:
    """Appends rows to a CSV file; a run that goes on drops what it will do again.

    Args:
        file: Written anew with the rows up to ``step``, whole at any moment.
        columns: Names that rows may have. Columns of an older file stay.
        step: Rows of later steps go.
    """

    def __init__(self, file: Path, columns: Sequence[str], step: int) -> None:
        self.file = file
        rows = [row for row in read_log(file) if int(row["step"]) <= step]
        known = list(rows[0]) if step and rows else []
        self.columns = list(dict.fromkeys([*known, *columns]))
        partial = file.with_suffix(".part")
        with partial.open("w", newline="", encoding="utf8") as lines:
            writer = csv.DictWriter(lines, self.columns, restval="")
            writer.writeheader()
            if step:
                writer.writerows(rows)
        os.replace(partial, file)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a line; columns that the row lacks stay empty."""
        with self.file.open("a", newline="", encoding="utf8") as lines:
            writer = csv.DictWriter(
                lines, self.columns, restval="", extrasaction="ignore"
            )
            writer.writerow(row)


def read_log(file: Path) -> list[dict[str, str]]:
    """The rows of a log; a last line that was cut short is left out."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf8") as lines:
        rows = [row for row in csv.DictReader(lines) if (row["step"] or "").isdigit()]
    if rows and None in rows[-1].values():
        rows.pop()
    return rows
