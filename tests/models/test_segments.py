"""Sequences of nearly one length share an attention call and are none the worse."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from spacy_electra.models import (
    ElectraForPreTraining,
    ElectraModel,
    PackedBatch,
    attention,
)
from spacy_electra.models import packing as module
from spacy_electra.models.inference import InferenceEncoder
from spacy_electra.models.packing import Segment, segments_of

LENGTHS = st.lists(st.integers(0, 60), max_size=40)


@given(lengths=LENGTHS, padded=st.booleans())
def test_segments_cover_all_rows(lengths, padded):
    segments = segments_of(lengths, padded)
    rows = 0
    for segment in segments:
        assert segment.start == rows
        assert (segment.padding is None) == (len(set(segment.lengths)) == 1)
        assert padded or segment.padding is None
        rows += segment.rows
    found = [length for segment in segments for length in segment.lengths]
    assert found == [length for length in lengths if length]


@given(lengths=LENGTHS)
def test_padding_stays_small(lengths):
    for segment in segments_of(sorted(lengths), padded=True):
        assert min(segment.lengths) >= module.LEAST_RATIO * segment.length


@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=9))
def test_rows_come_back_from_padding_and_so_do_gradients(lengths):
    segment = Segment(0, tuple(lengths))
    assume(segment.padding is not None)
    rows = torch.randn(segment.rows, 3, dtype=torch.float64, requires_grad=True)
    padded = segment.padding.pad(rows)
    assert padded.shape == (segment.count * segment.length, 3)
    by_sequence = padded.view(segment.count, segment.length, 3)
    for sequence, alone in zip(by_sequence, rows.split(lengths), strict=True):
        assert torch.equal(sequence[: len(alone)], alone)
    back = segment.padding.unpad(padded)
    assert torch.equal(back, rows)
    weight = torch.randn_like(rows)
    (gradient,) = torch.autograd.grad((back * weight).sum(), rows)
    assert torch.equal(gradient, weight)


def batch_of(lengths):
    return PackedBatch.from_sequences([torch.randint(1, 99, (n,)) for n in lengths])


@pytest.mark.parametrize("longest", [0, 1000], ids=["fused", "explicit"])
@pytest.mark.parametrize("causal", [False, True])
def test_shared_calls_change_nothing(small_config, monkeypatch, longest, causal):
    monkeypatch.setattr(attention, "LONGEST_EXPLICIT", {torch.float32: longest})
    torch.manual_seed(0)
    config = replace(
        small_config,
        is_decoder=causal,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = ElectraForPreTraining(config)
    batch = batch_of([3, 8, 9, 9, 10, 12, 20])
    results = []
    for few_rows in (0, 1000):
        monkeypatch.setattr(module, "FEW_ROWS", few_rows)
        logits = model.forward_packed(batch)
        gradients = torch.autograd.grad(logits.square().sum(), list(model.parameters()))
        results.append((logits, *gradients))
    assert len(segments_of(batch.lengths, padded=True)) < len(set(batch.lengths))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inference_shares_calls(small_config, dtype):
    torch.manual_seed(0)
    model = ElectraModel(small_config).eval()
    lengths = [8, 9, 10]
    batch = batch_of(lengths)
    encoder = InferenceEncoder(model, dtype)
    together = encoder.forward_packed(batch).last_hidden_state
    starts = [0, 8, 17]
    for start, length in zip(starts, lengths, strict=True):
        ids = batch.input_ids[start : start + length]
        alone = PackedBatch.from_sequences([ids])
        expected = encoder.forward_packed(alone).last_hidden_state
        found = together[start : start + length]
        tolerance = 1e-5 if dtype == torch.float32 else 0.05
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
