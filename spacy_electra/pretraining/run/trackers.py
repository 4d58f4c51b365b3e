"""Where a run logs besides its CSV file: TensorBoard, Weights & Biases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from ...errors import Errors
from ..settings import PretrainingSettings
from .layout import WANDB_ID


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
            # Weights & Biases sends figures elsewhere: only by its name.
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
