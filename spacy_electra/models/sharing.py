"""Work of many sizes, shared out evenly."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


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
