"""Parts of some sizes that stand end to end."""

from __future__ import annotations

import numpy as np

from .batch_encoding import Integers


def heads(sizes: Integers) -> Integers:
    """Where the parts of these sizes begin, end to end."""
    return sizes.cumsum() - sizes


def spread(values: Integers, counts: Integers) -> Integers:
    """A value of each text, for each of its parts; that of a single text is one still.

    NumPy spreads it where it is used. Each step that a short text is spared counts.
    """
    return values if len(values) == 1 else np.repeat(values, counts)
