"""Batches without padding give what padded ones give."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_electra.models import (
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraModel,
    PackedBatch,
    split_by_tokens,
)

lengths_strategy = st.lists(st.integers(1, 12), min_size=1, max_size=8)


def sequences(lengths):
    torch.manual_seed(0)
    return [torch.randint(1, 99, (length,)) for length in lengths]


def padded(parts):
    ids = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    mask = torch.zeros_like(ids)
    for row, part in enumerate(parts):
        mask[row, : len(part)] = 1
    return ids, mask


@settings(max_examples=25, deadline=None)
@given(lengths=lengths_strategy)
@pytest.mark.parametrize("positions", ["absolute", "relative_key_query"])
def test_packed_equals_padded(lengths, positions):
    from spacy_electra.models import ElectraConfig

    torch.manual_seed(0)
    config = ElectraConfig(
        vocab_size=99,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=40,
        initializer_range=0.3,
        position_embedding_type=positions,
    )
    model = ElectraForPreTraining(config).eval()
    parts = sequences(lengths)
    ids, mask = padded(parts)
    with torch.no_grad():
        packed = model.forward_packed(PackedBatch.from_sequences(parts))
        logits = model(ids, mask).logits[mask.bool()]
    torch.testing.assert_close(packed, logits, rtol=1e-5, atol=1e-5)


def test_packed_gradients_equal_padded(small_config):
    torch.manual_seed(0)
    model = ElectraForMaskedLM(small_config).train()
    parts = sequences([3, 9, 9, 5])
    ids, mask = padded(parts)
    rows = torch.tensor([0, 4, 11, 20])
    model.forward_packed(
        PackedBatch.from_sequences(parts), rows
    ).square().sum().backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model(ids, mask).logits[mask.bool()][rows].square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(packed[name], parameter.grad, rtol=1e-4, atol=1e-4)


def test_masked_lm_rows_are_those_of_all(small_config):
    model = ElectraForMaskedLM(small_config).eval()
    batch = PackedBatch.from_sequences(sequences([4, 6]))
    rows = torch.tensor([1, 8])
    with torch.no_grad():
        torch.testing.assert_close(
            model.forward_packed(batch, rows), model.forward_packed(batch)[rows]
        )


def test_empty_batch(small_config):
    model = ElectraModel(small_config).eval()
    output = model.forward_packed(PackedBatch.from_sequences([]))
    assert output.last_hidden_state.shape == (0, 32)


def test_lengths_must_add_up():
    ids = torch.zeros(5, dtype=torch.long)
    with pytest.raises(ValueError, match="add up to 4"):
        PackedBatch(ids, ids, ids, [2, 2])


@given(lengths=st.lists(st.integers(1, 50), max_size=40), room=st.integers(1, 120))
def test_split_by_tokens_uses_each_sequence_once_and_keeps_the_bound(lengths, room):
    batches = split_by_tokens(lengths, room)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert sum(lengths[i] for i in batch) <= room or len(batch) == 1
    in_order = [lengths[i] for batch in batches for i in batch]
    assert in_order == sorted(in_order)


def test_weights_stay_tied(small_config, tmp_path):
    model = ElectraForMaskedLM(small_config)
    model.save_pretrained(tmp_path)
    again = ElectraForMaskedLM.from_pretrained(tmp_path)
    words = again.electra.embeddings.word_embeddings.weight
    assert again.head.decoder.weight is words
    torch.testing.assert_close(words, model.electra.embeddings.word_embeddings.weight)


def test_token_types_of_a_packed_batch_are_those_of_a_padded_one(small_config):
    torch.manual_seed(0)
    model = ElectraModel(small_config).eval()
    parts = sequences([3, 9, 6])
    types = [(torch.arange(len(part)) > 2).long() for part in parts]
    batch = PackedBatch.from_sequences(parts, types)
    ids, mask = padded(parts)
    padded_types = torch.nn.utils.rnn.pad_sequence(types, batch_first=True)
    with torch.no_grad():
        packed = model.forward_packed(batch).last_hidden_state
        expected = model(ids, mask, token_type_ids=padded_types).last_hidden_state
        other = model.forward_packed(PackedBatch.from_sequences(parts))
    torch.testing.assert_close(packed, expected[mask.bool()], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(packed[:3], other.last_hidden_state[:3])
    assert (packed[3:] - other.last_hidden_state[3:]).abs().max() > 0.01


def test_token_types_of_other_lengths_are_named():
    parts = sequences([3, 4])
    with pytest.raises(ValueError, match=r"token_types.*\[3, 4\].*\[4, 3\]"):
        PackedBatch.from_sequences(parts, [torch.zeros(4).long(), torch.zeros(3)])
    empty = PackedBatch.from_sequences([], [])
    assert empty.token_type_ids.shape == (0,)
    assert empty.token_type_ids.dtype == torch.int64
