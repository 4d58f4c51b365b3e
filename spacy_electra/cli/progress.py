"""What long commands show in the terminal while they work."""

from __future__ import annotations

import time
from typing import Any, TextIO

from tqdm import tqdm

from ..annotation.annotator import ShardReport
from ..pretraining.run.trainer import Trainer

# What a line of the terminal shows, and how.
_COLUMNS = {
    "step": "{:>7}",
    "tokens": "{:>11,}",
    "minutes": "{:>7.1f}",
    "progress": "{:>6.1%}",
    "tokens_per_second": "{:>6,}",
    "train_mlm": "mlm {:.3f}",
    "train_rtd": "rtd {:.4f}",
    "train_same": "same {:.2f}",
    "mlm_loss": "| held out: mlm {:.3f}",
    "mlm_accuracy": "acc {:.3f}",
    "auc_generator": "AUC generator {:.3f}",
    "auc_frequency": "frequency {:.3f}",
    "auc_unigram": "unigram {:.3f}",
}
_SECONDS_BETWEEN = 0.5


class PretrainingBar:
    """A bar at the bottom, and the lines of the log above it."""

    def __init__(self) -> None:
        form = "{percentage:5.1f}%|{bar:20}| {desc}"
        self._bar = tqdm(total=1.0, bar_format=form, dynamic_ncols=True)
        self._began: tuple[float, float] | None = None
        self._shown = 0.0

    def __enter__(self) -> PretrainingBar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def on_step(self, trainer: Trainer) -> None:
        """Move the bar; metrics are fetched only so often, which a GPU waits for."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, trainer.progress)
        if now - self._shown < _SECONDS_BETWEEN and trainer.progress < 1.0:
            return
        self._shown = now
        self._bar.n = trainer.progress
        parts = [f"step {trainer.step:,}"]
        if trainer.speed:
            parts.append(f"{trainer.speed:,.0f} tokens/s")
        parts.append(f"{self._time_left(now, trainer.progress)} left")
        if trainer.losses is not None:
            parts.append(f"mlm {float(trainer.losses.generator):.3f}")
            parts.append(f"rtd {float(trainer.losses.discriminator):.4f}")
        self._bar.set_description_str("  ".join(parts))

    def report(self, row: dict[str, Any]) -> None:
        """Write a line of the log."""
        shown = (f.format(row[name]) for name, f in _COLUMNS.items() if name in row)
        self._bar.write("  ".join(shown))

    def warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Write a warning between the lines; takes the place of ``showwarning``."""
        self._bar.write(f"⚠ {message}")

    def _time_left(self, now: float, progress: float) -> str:
        assert self._began is not None
        then, before = self._began
        if progress <= before:
            return "?"
        return str(
            tqdm.format_interval((1 - progress) * (now - then) / (progress - before))
        )


class AnnotationBar:
    """A bar over the bytes of the input, with words/s and the time that is left.

    Args:
        size: Of all input files, bytes.
    """

    def __init__(self, size: int) -> None:
        form = "{percentage:5.1f}%|{bar:20}| {desc}"
        self._bar = tqdm(total=size, bar_format=form, dynamic_ncols=True)
        self._began = time.monotonic()
        self._size = size
        self._rows = self._bad = self._words = 0
        # What was done before took no time of this run.
        self._read = self._annotated = 0

    def __enter__(self) -> AnnotationBar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def on_shard(self, report: ShardReport) -> None:
        """Move the bar on by a shard."""
        self._rows += report.rows
        self._bad += report.bad
        self._words += report.words
        self._read += report.size
        if not report.was_done:
            self._annotated += report.size
        self._bar.n = self._read
        self._bar.set_description_str(self._told(time.monotonic() - self._began))

    def _told(self, seconds: float) -> str:
        parts = [f"{self._rows:,} rows"]
        if self._bad:
            parts.append(f"{self._bad:,} bad")
        parts.append(f"{self._words / max(seconds, 1e-9):,.0f} words/s")
        left = "?"
        if self._annotated:
            rest = (self._size - self._read) * seconds / self._annotated
            left = str(tqdm.format_interval(rest))
        return "  ".join([*parts, f"{left} left"])
