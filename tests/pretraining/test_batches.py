import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_electra.pretraining.batches import SequenceBatches
from spacy_electra.pretraining.corpus.shards import write_shards


@pytest.mark.parametrize("batch_tokens", [64, 300])
def test_batches_by_pieces_hold_each_sequence_once(shards, batch_tokens):
    batches = SequenceBatches.from_shards(
        shards, length=32, batch_size=1, batch_tokens=batch_tokens, seed=0
    )
    seen, sizes = [], []
    for number in range(batches.batches_per_epoch):
        batch = batches[number]
        sizes.append(len(batch.input_ids))
        assert batches.tokens(number) == sizes[-1]
        start = 0
        for length in batch.lengths:
            seen.append(tuple(batch.input_ids[start + 1 : start + length - 1].tolist()))
            start += length
    assert all(abs(size - batch_tokens) < 32 for size in sizes)
    expected = [
        tuple(shards.ids[start : start + size].tolist())
        for start, size in zip(batches.starts, batches.sizes, strict=True)
    ]
    for sequence in seen:
        expected.remove(sequence)
    assert sum(map(len, expected)) < batch_tokens
    assert batches[0].input_ids.tolist() != batches[len(sizes)].input_ids.tolist()


def test_batch_larger_than_the_corpus_or_less_than_a_sequence(shards):
    with pytest.raises(ValueError, match="batch_tokens"):
        SequenceBatches.from_shards(
            shards, length=32, batch_size=1, batch_tokens=10**9, seed=0
        )
    with pytest.raises(ValueError, match="at least"):
        SequenceBatches.from_shards(
            shards, length=32, batch_size=1, batch_tokens=16, seed=0
        )


def test_corpus_smaller_than_a_batch_is_an_error(tmp_path, tokenizer):
    shards = write_shards(["The chef cooked."] * 3, tokenizer, tmp_path)
    with pytest.raises(ValueError, match="batch_size"):
        SequenceBatches.from_shards(shards, length=16, batch_size=8, seed=0)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(8, 64), batch_size=st.integers(1, 20), seed=st.integers(0, 9))
def test_an_epoch_has_each_sequence_once(shards, length, batch_size, seed):
    batches = SequenceBatches.from_shards(
        shards, length=length, batch_size=batch_size, seed=seed
    )
    tokenizer = shards.tokenizer
    seen = []
    for step in range(batches.batches_per_epoch):
        batch = batches[step]
        assert len(batch.lengths) == batch_size
        start = 0
        for size in batch.lengths:
            ids = batch.input_ids[start : start + size].tolist()
            assert 6 <= size <= length
            assert ids[0] == tokenizer.cls_token_id
            assert ids[-1] == tokenizer.sep_token_id
            seen.append(tuple(ids[1:-1]))
            start += size
    assert len(seen) == batches.batches_per_epoch * batch_size
    expected = [
        tuple(shards.ids[start : start + size].tolist())
        for start, size in zip(batches.starts, batches.sizes, strict=True)
    ]
    remaining = len(expected) - len(seen)
    assert 0 <= remaining < batch_size
    for sequence in seen:
        expected.remove(sequence)
    assert len(expected) == remaining


def test_order_depends_on_seed_and_epoch_alone(shards):
    def ids(seed, step):
        batches = SequenceBatches.from_shards(
            shards, length=32, batch_size=4, seed=seed
        )
        return batches[step].input_ids.tolist()

    epoch = SequenceBatches.from_shards(
        shards, length=32, batch_size=4, seed=0
    ).batches_per_epoch
    assert ids(0, 3) == ids(0, 3)
    assert ids(0, 3) != ids(1, 3)
    assert ids(0, 3) != ids(0, 3 + epoch)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(8, 64), share=st.floats(0.1, 1.0), seed=st.integers(0, 9))
def test_short_sequences_hold_all_pieces(shards, length, share, seed):
    def cut(**short):
        return SequenceBatches.from_shards(
            shards, length=length, batch_size=1, seed=seed, **short
        )

    whole, short = cut(), cut(short_share=share)
    assert short.sizes.max() <= length - 2
    order = np.argsort(short.starts)
    starts, sizes = short.starts[order], short.sizes[order]
    assert (starts[1:] >= (starts + sizes)[:-1]).all()
    # Only what remains of a span, where it is too short for a sequence, is left out.
    assert sizes.sum() >= whole.sizes.sum() - 3 * len(whole.starts)


def test_short_sequences_are_shorter_and_begin_with_sentences(shards):
    def cut(**short):
        return SequenceBatches.from_shards(
            shards, length=64, batch_size=1, seed=0, **short
        )

    whole, short = cut(), cut(short_share=1.0)
    assert short.sizes.mean() < 0.6 * whole.sizes.mean()
    added = np.setdiff1d(short.starts, whole.starts)
    before = np.asarray(shards.ids)[added - 1]
    assert (before == shards.tokenizer.vocab["."]).mean() > 0.5
