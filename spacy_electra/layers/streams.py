"""Forward passes side by side on a CPU, each with one of torch's threads.

Two passes of one thread each lose nothing to waiting in small operators, where one pass
of two threads would. torch lets go of Python's lock while it computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

# With fewer rows for each thread, all threads share one pass.
FEWEST_ROWS = 256


def passes_for_streams(lengths: Sequence[int], most_rows: int) -> int | None:
    """How many passes of about as many rows give each of torch's threads as much to do.

    Args:
        lengths: Rows of each sequence.
        most_rows: Of all passes at one time, and of each.

    Returns:
        None where passes had better run one after the other.
    """
    threads, total = torch.get_num_threads(), sum(lengths)
    # A pass may have a sequence more than its share.
    room = most_rows // threads - max(lengths, default=0)
    if threads == 1 or room < FEWEST_ROWS or total < threads * FEWEST_ROWS:
        return None
    return threads * -(-total // (threads * room))


def split_evenly(lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Cut a run of sequences into parts of about as many rows.

    Args:
        lengths: Rows of each sequence.
        parts: Most parts; none is empty.

    Returns:
        Indices into ``lengths``, in order. No part has more rows than its share and
        its longest sequence.
    """
    ends = np.cumsum(lengths)
    middles = ends - np.asarray(lengths) / 2
    numbers = (middles * parts / ends[-1]).astype(int)
    starts = np.flatnonzero(np.diff(numbers)) + 1
    return [part.tolist() for part in np.split(np.arange(len(lengths)), starts)]
