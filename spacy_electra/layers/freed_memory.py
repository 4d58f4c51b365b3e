"""Memory that is freed, and asked for again a moment later."""

from __future__ import annotations

from functools import cache

import numpy as np

# A little less than 32 MiB, so that it is within them with what malloc adds.
_LARGEST = 32 * 2**20 - 2**16


@cache
def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB that are freed, for what is asked for next.

    States of some thousand words take megabytes, which are freed when they have been
    read. What is freed beyond a threshold goes back to the system, and to touch its
    pages anew takes longer than to write there what is copied. The threshold is twice
    the size of the largest array of at most 32 MiB that was ever freed (mallopt(3), "a
    dynamic mmap threshold"), so one that is freed at once and never touched raises it.
    Other C libraries take no notice.
    """
    np.empty(_LARGEST, dtype=np.uint8)
