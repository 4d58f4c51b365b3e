"""Signs that a run does not learn what it should, said while there is time."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import Warnings, listed
from ..settings import PretrainingSettings

# Share of the training after the warm-up that a discriminator may take to begin.
_PATIENCE = 0.1
_CHANCE = 0.55
_CLEARLY_LEARNS = 0.65


@dataclass
class Watcher:
    """Warns once for each thing that goes wrong.

    Args:
        settings: Of the run.
        steps_per_epoch: How many steps show each text once.
    """

    settings: PretrainingSettings
    steps_per_epoch: float
    _said: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Tell what the settings alone make clear."""
        training = self.settings.training
        if training.max_steps:
            self._watch_repeats(training.max_steps)

    def look_at(self, row: Mapping[str, Any]) -> None:
        """Tell what a row of the log shows."""
        self._watch_repeats(row["step"])
        started = self.settings.objective.mlm_warmup + _PATIENCE
        if row["progress"] < started or "auc_unigram" not in row:
            return
        if row["auc_unigram"] < _CHANCE:
            self._say("SW402", auc=row["auc_unigram"], progress=row["progress"])
        elif row["auc_unigram"] > _CLEARLY_LEARNS:
            auc = row.get("auc_generator", 1.0)
            if auc < _CHANCE:
                self._say("SW403", auc=auc, accuracy=row["mlm_accuracy"])

    def look_at_missing(self, names: Sequence[str]) -> None:
        """Tell which metrics the held-out text is too short for."""
        if names:
            self._say("SW443", names=listed(names))

    def _watch_repeats(self, steps: int) -> None:
        epochs = steps / self.steps_per_epoch
        most = self.settings.training.most_repeats
        if most and epochs > most:
            self._say("SW404", epochs=epochs, most=most)

    def _say(self, code: str, **values: object) -> None:
        if code not in self._said:
            self._said.add(code)
            warnings.warn(Warnings[code](**values), stacklevel=4)
