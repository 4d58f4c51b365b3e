"""Work of many sizes is shared out evenly."""

import pytest

from spacy_electra.models.sharing import cut_evenly, share_evenly


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_shares_of_a_run_cover_all_and_are_about_even(count):
    costs = sorted(3 + 7 * n % 120 for n in range(90))
    shares = cut_evenly(costs, count)
    assert [n for share in shares for n in share] == list(range(90))
    most = sum(costs) / count + max(costs)
    assert all(0 < sum(costs[n] for n in share) <= most for share in shares)


def test_work_is_shared_out_by_its_cost():
    assert share_evenly([5, 1, 1, 1, 1, 1], 2) == [[0], [1, 2, 3, 4, 5]]
    assert share_evenly([3], 4) == [[0]]
    assert share_evenly([], 2) == []
