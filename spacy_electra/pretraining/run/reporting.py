"""The figures of a line of the log, gathered over the steps since the last one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..objective import Losses
from .checkpointing import Progress

Report = Callable[[dict[str, Any]], None]
_TRAINED = ("mlm", "rtd", "mlm_correct", "replaced", "same")
COLUMNS = (
    "step",
    "tokens",
    "minutes",
    "progress",
    "tokens_per_second",
    *(f"train_{name}" for name in _TRAINED),
)


class RunningFigures:
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
        values = torch.stack([getattr(losses, name).float() for name in _TRAINED])
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
    """Whether a figure is better than another: losses fall, the rest rises."""
    return value < than if "loss" in name else value > than
