"""A line of the log: its columns, how it is gathered, and where it goes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from math import isnan
from numbers import Real
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import torch
from torch import Tensor

from ...errors import Errors
from ...files import whole_file
from ..objective import Losses
from ..settings import PretrainingSettings
from .checkpointing import Progress

LOG = "log.csv"
WANDB_ID = "wandb_id.txt"
Report = Callable[[dict[str, Any]], None]
# Columns of the log, and the fields of ``Losses`` that fill them.
_TRAINED = {
    "mlm": "generator",
    "rtd": "discriminator",
    "mlm_correct": "mlm_correct",
    "replaced": "replaced",
    "same": "same",
}
COLUMNS = (
    "step",
    "tokens",
    "minutes",
    "progress",
    "tokens_per_second",
    *(f"train_{name}" for name in _TRAINED),
)


class RunningMetrics:
    """Sums of what the steps gave.

    Args:
        since: Time spent before them, seconds.
    """

    def __init__(self, since: float = 0.0) -> None:
        self.since = since
        self.until = since
        self.steps = 0
        self.tokens = 0
        self._sum: Tensor | None = None

    def add(self, tokens: int, seconds: float, losses: Losses) -> None:
        """Take in a step.

        Args:
            tokens: Its pieces.
            seconds: Time spent up to its end.
            losses: What it gave; they stay where they are, so a GPU need not wait.
        """
        values = torch.stack(
            [getattr(losses, name).float() for name in _TRAINED.values()]
        )
        self._sum = values if self._sum is None else self._sum + values
        self.tokens += tokens
        self.until = seconds
        self.steps += 1

    def row(self, reached: Progress, progress: float) -> dict[str, Any]:
        """A line of the log."""
        assert self._sum is not None
        means = (self._sum / self.steps).tolist()
        return {
            "step": reached.step,
            "tokens": reached.tokens,
            "minutes": round(reached.seconds / 60, 3),
            "progress": round(progress, 5),
            "tokens_per_second": round(
                self.tokens / max(self.until - self.since, 1e-9)
            ),
            **{
                f"train_{name}": round(mean, 5)
                for name, mean in zip(_TRAINED, means, strict=True)
            },
        }


def is_better(name: str, value: float, than: float) -> bool:
    """Whether a metric is better than another: losses fall, the rest rises.

    What is not a number is never better, and anything is better than it.
    """
    if isnan(value) or isnan(than):
        return isnan(than) and not isnan(value)
    return value < than if "loss" in name else value > than


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
        with (
            whole_file(file) as partial,
            partial.open("w", newline="", encoding="utf8") as lines,
        ):
            writer = csv.DictWriter(lines, self.columns, restval="")
            writer.writeheader()
            if step:
                writer.writerows(rows)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a line; columns that the row lacks stay empty."""
        with self.file.open("a", newline="", encoding="utf8") as lines:
            writer = csv.DictWriter(
                lines, self.columns, restval="", extrasaction="ignore"
            )
            writer.writerow(row)


def read_log(file: Path) -> list[dict[str, str]]:
    """The rows of a log; a last line that was cut short is left out.

    Raises:
        ValueError: If the file is no log.
    """
    if not file.exists():
        return []
    try:
        with file.open(newline="", encoding="utf8") as lines:
            reader = csv.DictReader(lines)
            if reader.fieldnames and "step" not in reader.fieldnames:
                raise ValueError("it has no column 'step'")
            rows = [row for row in reader if (row["step"] or "").isdigit()]
    except (ValueError, csv.Error) as error:
        raise ValueError(Errors.SE455(path=file, error=error)) from error
    if rows and None in rows[-1].values():
        rows.pop()
    return rows


class Tracker(Protocol):
    """Takes rows of the log."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Take a row."""
        ...

    def close(self) -> None:
        """Write what is left to write."""
        ...


class TensorBoard:
    """Event files in the folder of the run."""

    def __init__(self, output: Path) -> None:
        module = import_module("torch.utils.tensorboard")
        self._writer = module.SummaryWriter(str(output / "tensorboard"))

    def log(self, row: Mapping[str, Any]) -> None:
        """Take a row."""
        for name, value in _figures(row).items():
            self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Write what is left to write."""
        self._writer.close()


class WeightsAndBiases:
    """A run of the service, which the environment's WANDB_* variables describe.

    A run that is resumed is the same one there: its id stays in the folder.
    """

    def __init__(self, output: Path, settings: PretrainingSettings) -> None:
        module = import_module("wandb")
        file = output / WANDB_ID
        if not file.exists():
            file.write_text(uuid4().hex[:8], encoding="utf8")
        self._run = module.init(
            dir=str(output),
            id=file.read_text(encoding="utf8"),
            name=output.name,
            config=asdict(settings),
            resume="allow",
        )

    def log(self, row: Mapping[str, Any]) -> None:
        """Take a row."""
        self._run.log(_figures(row), step=row["step"])

    def close(self) -> None:
        """Write what is left to write."""
        self._run.finish()


def open_trackers(
    names: Iterable[str], output: Path, settings: PretrainingSettings
) -> list[Tracker]:
    """The trackers that the settings name.

    Raises:
        ImportError: If one that is named is not installed.
    """
    opened: list[Tracker] = []
    for name in dict.fromkeys(names):
        if name == "auto":
            # Weights & Biases sends metrics elsewhere: only by its name.
            if find_spec("tensorboard") and "tensorboard" not in names:
                opened.append(TensorBoard(output))
            continue
        if not find_spec(name):
            raise ImportError(Errors.SE425(name=name))
        if name == "wandb":
            opened.append(WeightsAndBiases(output, settings))
        else:
            opened.append(TensorBoard(output))
    return opened


def _figures(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value) for name, value in row.items() if isinstance(value, Real)
    }
