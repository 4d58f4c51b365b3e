import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_electra.models import PackedBatch
from spacy_electra.pretraining.masking import Masking

CLS, SEP, MASK = 1, 2, 3
MASKING = Masking(mask_id=MASK, special_ids=(0, CLS, SEP, MASK))
# Pieces from 70 on continue a word.
CONTINUES = torch.arange(99) >= 70


def random_with(seed):
    return torch.Generator().manual_seed(seed)


def batch_of(lengths):
    torch.manual_seed(0)
    return PackedBatch.from_sequences(
        [
            torch.cat(
                [torch.tensor([CLS]), torch.randint(4, 99, (n,)), torch.tensor([SEP])]
            )
            for n in lengths
        ]
    )


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_masking_takes_its_share_of_each_sequence(lengths, seed):
    batch = batch_of(lengths)
    masked = MASKING(batch, random_with(seed))
    assert (masked.rows.diff() > 0).all()
    assert torch.equal(masked.originals, batch.input_ids[masked.rows])
    assert not torch.isin(masked.originals, torch.tensor(MASKING.special_ids)).any()
    changed = (masked.batch.input_ids != batch.input_ids).nonzero().squeeze(-1)
    assert (masked.batch.input_ids[changed] == MASK).all()
    assert torch.isin(changed, masked.rows).all()
    start = 0
    for n in lengths:
        inside = ((masked.rows >= start) & (masked.rows < start + n + 2)).sum()
        assert inside == min(n, max(1, round(n * 0.15)))
        start += n + 2


def test_share_of_masked_places():
    masked = MASKING(batch_of([1000] * 20), random_with(0))
    share = (masked.batch.input_ids[masked.rows] == MASK).float().mean()
    assert share == pytest.approx(0.85, abs=0.02)


def test_masking_is_a_function_of_its_seed():
    batch = batch_of([30, 20])
    a, b, c = (MASKING(batch, random_with(seed)) for seed in (5, 5, 6))
    assert torch.equal(a.batch.input_ids, b.batch.input_ids)
    assert not torch.equal(a.batch.input_ids, c.batch.input_ids)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_whole_words_are_masked_together(lengths, seed):
    batch = batch_of(lengths)
    masking = Masking(MASK, (0, CLS, SEP, MASK), share_masked=1.0, continues=CONTINUES)
    masked = masking(batch, random_with(seed))
    assert torch.equal(masked.originals, batch.input_ids[masked.rows])
    chosen = torch.zeros(len(batch.input_ids), dtype=torch.bool)
    chosen[masked.rows] = True
    special = torch.isin(batch.input_ids, torch.tensor(masking.special_ids))
    assert not chosen[special].any()
    for row in range(1, len(chosen)):
        continues = CONTINUES[batch.input_ids[row]] and not special[row - 1]
        if continues and not special[row]:
            assert chosen[row] == chosen[row - 1]
    start = 0
    for n in lengths:
        rows = slice(start, start + n + 2)
        assert chosen[rows].sum() >= min(n, max(1, round(n * 0.15)))
        start += n + 2


def test_words_that_are_masked_are_hidden_whole():
    masking = Masking(MASK, (0, CLS, SEP, MASK), share_masked=0.5, continues=CONTINUES)
    masked = masking(batch_of([3000]), random_with(0))
    hidden = masked.batch.input_ids[masked.rows] == MASK
    joined = CONTINUES[masked.originals[1:]] & (masked.rows.diff() == 1)
    assert torch.equal(hidden[1:][joined], hidden[:-1][joined])
    assert hidden.float().mean() == pytest.approx(0.5, abs=0.1)
