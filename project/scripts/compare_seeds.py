"""Say what adaptation is worth: the difference of two encoders over the same seeds."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import srsly
import typer
from wasabi import msg


def main(
    before: Path = typer.Argument(..., help="Scores of the encoder as it was"),
    after: Path = typer.Argument(..., help="Scores of the adapted one"),
    metrics: Path = typer.Argument(..., help="JSON file to write"),
) -> None:
    """Print both, their difference by seed, and how sure it is."""
    first, second = srsly.read_json(before), srsly.read_json(after)
    gained = difference(first["values"], second["values"])
    srsly.write_json(metrics, {"before": first, "after": second, "difference": gained})
    rows = [
        (
            name,
            *(f"{v:+.4f}" if sign else f"{v:.4f}" for v in row["values"]),
            shown(row),
        )
        for name, row, sign in (
            ("as it was", first, False),
            ("adapted", second, False),
            ("difference", gained, True),
        )
    ]
    seeds = [f"run {n + 1}" for n in range(len(first["values"]))]
    header = (first["score"], *seeds, "mean ± standard deviation")
    msg.table(rows, header=header, divider=True)


def difference(before: list[float], after: list[float]) -> dict[str, Any]:
    """Differences by seed, with the standard error of their mean."""
    values = [b - a for a, b in zip(before, after, strict=True)]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {
        "values": values,
        "mean": statistics.fmean(values),
        "deviation": spread,
        "standard_error": spread / math.sqrt(len(values)),
    }


def shown(row: dict[str, Any]) -> str:
    """Mean and deviation."""
    return f"{row['mean']:.4f} ± {row['deviation']:.4f}"


if __name__ == "__main__":
    typer.run(main)
