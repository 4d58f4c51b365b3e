"""A run that is asked to stop: Ctrl-C, or the end of the time that a cluster gave."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from ...errors import Errors

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class RunStopped(KeyboardInterrupt):
    """A run was asked to stop, and has saved a checkpoint first.

    Args:
        number: The signal.
        step: Steps taken.
        folder: Of the checkpoint.
    """

    def __init__(self, number: int, step: int, folder: Path) -> None:
        super().__init__(Errors.SE452(step=step, folder=folder))
        self.number = number


class StopRequest:
    """Turns the first of these signals into something that a loop can look at.

    A step that is cut short would leave weights that no other run has. The second
    signal acts as usual. Only the main thread may listen to signals; elsewhere nothing
    changes.

    Attributes:
        number: The signal that came, 0 before.
    """

    def __init__(self) -> None:
        self.number = 0
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._usual[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        while self._usual:
            number, handler = self._usual.popitem()
            # Handlers that were not set from Python can't be put back from it.
            signal.signal(number, handler or signal.SIG_DFL)
