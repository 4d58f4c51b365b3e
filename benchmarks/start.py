"""What the first text costs: time of the processor and memory, by bundled checkpoint.

    python benchmarks/start.py

Each row is a process of its own, which makes a pipeline and marks one sentence, the
median of a few. Time is that of the processor on one thread, so other work on the
machine hardly counts; files lie in the cache of the operating system.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any

import typer
from machine import write_result
from wasabi import msg

_PROCESS = """
import json, resource, sys
settings = json.loads(sys.argv[1])
import spacy
nlp = spacy.blank("en")
def used():
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": own.ru_utime + own.ru_stime, "mb": own.ru_maxrss / 1024}
points = [used()]
if settings is not None:
    nlp.add_pipe("electra_rtd", config=settings)
    points.append(used())
    nlp("He was salt by the United States Senate on July 27, 1982.")
    points.append(used())
print(json.dumps(points))
"""


def main(rounds: int = typer.Option(3, help="Processes for each row")) -> None:
    """Print the table, and write all figures."""
    rows: dict[str, Any] = {}
    for name, settings in (
        ("spaCy alone", None),
        ("en_tiny", _settings("en_tiny", 0)),
        ("en_tiny, suggestions", _settings("en_tiny", 3)),
        ("en_small", _settings("en_small", 0)),
        ("en_small, suggestions", _settings("en_small", 3)),
    ):
        found = [_measured(settings) for _ in range(rounds)]
        rows[name] = {
            key: statistics.median(points[-1][key] for points in found)
            for key in ("seconds", "mb")
        }
        if settings is not None:
            added = [points[1]["seconds"] - points[0]["seconds"] for points in found]
            first = [points[2]["seconds"] - points[1]["seconds"] for points in found]
            rows[name]["add_pipe"] = statistics.median(added)
            rows[name]["first text"] = statistics.median(first)
    table = [
        (
            name,
            *(f"{row[k]:.1f}" if k in row else "–" for k in ("add_pipe", "first text")),
            f"{row['seconds']:.1f}",
            f"{row['mb']:.0f}",
        )
        for name, row in rows.items()
    ]
    header = ("", "add_pipe, s", "first text, s", "process, s", "peak memory, MB")
    msg.table(table, header=header, divider=True)
    msg.good(f"Wrote {write_result('start', {'rows': rows})}")


def _settings(source: str, suggestions: int) -> dict[str, Any]:
    return {"model": {"encoder": {"source": source}}, "suggestions": suggestions}


def _measured(settings: dict[str, Any] | None) -> list[dict[str, float]]:
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS, json.dumps(settings)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    points: list[dict[str, float]] = json.loads(done.stdout)
    return points


if __name__ == "__main__":
    typer.run(main)
