"""What commands say about marks: from which score on, and what they suggest."""

from __future__ import annotations

from ..errors import Errors
from ..pipeline.rtd import ElectraRTD

SUGGESTIONS = 3


def set_threshold(
    component: ElectraRTD, threshold: float | None, false_marks: float | None
) -> None:
    """Take over the options --threshold and --false-marks, one of which may be given.

    Raises:
        ValueError: If both are, or the component has no table for a rate.
    """
    if threshold is not None and false_marks is not None:
        raise ValueError(Errors.SE504())
    if threshold is not None:
        component.threshold = threshold
    if false_marks is not None:
        component.false_marks_per_1000 = false_marks
    # A table that is missing, or of other weights, is told at once.
    _ = component.mark_threshold


def suggestions_for(component: ElectraRTD, wished: int | None) -> int:
    """How many words to suggest: as many as are wished, else some if it can.

    Raises:
        ValueError: If some are wished and there is no generator.
    """
    if wished is None:
        return SUGGESTIONS if component.has_generator else 0
    component.suggestions = wished
    if wished:
        # What is missing is told before anything is read.
        component.load_generator()
    return wished
