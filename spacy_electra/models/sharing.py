"""Work of many sizes, shared out evenly."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np


def share_evenly(costs: Sequence[int], count: int) -> list[list[int]]:
    """Give each item, the most costly first, to the share that costs least so far.

    (Graham, 1969, "Bounds on multiprocessing timing anomalies".)

    Args:
        costs: Of each item.
        count: Most shares; none is empty.

    Returns:
        The numbers of the items of each share, in order.
    """
    least = [(0, number) for number in range(count)]
    shares: list[list[int]] = [[] for _ in range(count)]
    for item in sorted(range(len(costs)), key=costs.__getitem__, reverse=True):
        cost, number = least[0]
        shares[number].append(item)
        heapq.heapreplace(least, (cost + costs[item], number))
    return [sorted(share) for share in shares if share]


def cut_evenly(costs: Sequence[int], count: int) -> list[list[int]]:
    """Cut a run of items into shares of about one cost.

    Args:
        costs: Of each item.
        count: Most shares; none is empty.

    Returns:
        The numbers of the items of each share, in order. None costs more than an even
        share and the most costly item.
    """
    ends = np.cumsum(costs)
    middles = ends - np.asarray(costs) / 2
    numbers = (middles * count / ends[-1]).astype(int)
    starts = np.flatnonzero(np.diff(numbers)) + 1
    return [share.tolist() for share in np.split(np.arange(len(costs)), starts)]
