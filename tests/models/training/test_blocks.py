"""Blocks hold all sequences, each once, and cost about the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_electra.models.training.blocks import divide

lists_of_lengths = st.lists(st.integers(1, 600), max_size=60)


@given(lists_of_lengths)
def test_rows_of_blocks_are_those_of_the_batch_and_lead_back(lengths):
    parts, order, places = divide(lengths)
    ends = [0, *(block.stop for block in parts)]
    assert [block.start for block in parts] == ends[:-1]
    assert ends[-1] == sum(lengths)
    rows = torch.arange(sum(lengths))
    if order is None:
        order = places = rows
    assert torch.equal(order[places], rows)
    # Those of a sequence stay side by side, in order.
    starts = {sum(lengths[:n]): length for n, length in enumerate(lengths)}
    row = 0
    for length in (length for block in parts for length in block.lengths):
        first = int(order[row])
        assert starts.pop(first) == length
        assert torch.equal(order[row : row + length], rows[first : first + length])
        row += length
    assert not starts


@given(lists_of_lengths)
def test_blocks_cost_about_the_same(lengths):
    parts = divide(lengths).parts
    costs = [block.cost for block in parts]
    dearest = max((n * (1024 + n) for n in lengths), default=0)
    if len(parts) > 1:
        # A sequence is not divided, and a batch may lie as it does for a little more.
        assert max(costs) - min(costs) <= dearest + 0.03 * max(costs)


@pytest.mark.parametrize(
    ("lengths", "count"),
    [
        ((), 0),
        ((5,), 1),
        ((700,), 1),
        ((400, 200), 2),
        ((1, 900, 1, 900), 2),
        ((300, 290, 290, 300, 410, 400), 2),
        ((128,) * 32, 4),
    ],
)
def test_number_of_blocks_depends_on_the_rows(lengths, count):
    assert len(divide(lengths).parts) == count


def test_blocks_are_runs_of_the_batch_where_these_are_even():
    assert divide((30,) * 40).order is None
    assert divide((248, 251, 255, 270, 292)).order is None
    parts, order, _ = divide((100, 100, 500, 510))
    assert [block.lengths for block in parts] == [(100, 510), (100, 500)]
    assert order[[0, 100, 610, 710]].tolist() == [100, 700, 0, 200]
