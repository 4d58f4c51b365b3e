"""Gather scores and pictures in one Markdown file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import srsly
import typer
from wasabi import msg

BY_LABEL = ("_per_type", "_per_feat")


def main(
    output: Path = typer.Argument(..., help="Markdown file to write"),
    files: list[Path] = typer.Argument(..., help="JSON files with scores; pictures"),
    title: str = typer.Option("Report", help="Heading"),
) -> None:
    """Write a section for each file."""
    parts = [f"# {title}"]
    for file in files:
        parts.append(f"## {file.stem}")
        if file.suffix == ".json":
            parts.append(table(srsly.read_json(file)))
        else:
            parts.append(f"![{file.stem}]({os.path.relpath(file, output.parent)})")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n\n".join(parts) + "\n", encoding="utf8")
    msg.good(f"Wrote {output}")


def table(values: dict[str, Any]) -> str:
    """A table of the numbers among some values, nested names joined by commas."""
    rows = [f"| {name} | {number:.4g} |" for name, number in numbers(values)]
    return "\n".join(["| score | value |", "|---|---|", *rows])


def numbers(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Each number with its full name, but for those of single labels."""
    for name, value in values.items():
        if name.endswith(BY_LABEL):
            continue
        if isinstance(value, dict):
            yield from numbers(value, f"{prefix}{name}, ")
        elif isinstance(value, int | float):
            yield prefix + name, value


if __name__ == "__main__":
    typer.run(main)
