"""Attention with its own backward pass computes what the plain operations do."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.autograd import gradcheck
from torch.utils.checkpoint import checkpoint
from training_masks import by_size

from spacy_electra.models import ElectraForPreTraining, PackedBatch
from spacy_electra.models.attention import SelfAttention, explicit_attention
from spacy_electra.models.packing import segments_of
from spacy_electra.models.training import attention, places
from spacy_electra.models.training.attention import attend_and_learn
from spacy_electra.models.training.places import Places

HEADS, WIDTH = 2, 16
# All of these need padding, and lie side by side; with groups of their own, the longer
# ones do not.
LENGTHS = (5, 18, 6, 3, 32)


@pytest.fixture(params=[1, 1 << 19])
def part(request, monkeypatch):
    """One sequence and head at a time, or all of a group; in groups or together."""
    monkeypatch.setattr(attention, "_SCORES_OF_A_PART", request.param)
    monkeypatch.setattr(places, "_SCORES_OF_A_GROUP", request.param)


def rows(dtype=torch.float32, lengths=LENGTHS):
    torch.manual_seed(0)
    return torch.randn(sum(lengths), 3 * WIDTH).to(dtype).requires_grad_()


def plain(projected, causal=False):
    """Each sequence by itself, with torch's own gradients."""
    found = []
    for sequence in projected.split(LENGTHS):
        parts = sequence.view(1, len(sequence), 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        context = explicit_attention(parts, causal=causal)
        found.append(context.transpose(1, 2).reshape(len(sequence), WIDTH))
    return torch.cat(found)


def attend(projected, dropout=0.0, causal=False, lengths=LENGTHS):
    segments = segments_of(lengths, padded=True)
    return attend_and_learn(projected, segments, HEADS, dropout, causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)]
)
def test_states_and_gradients_are_those_of_plain_operations(
    part, dtype, tolerance, causal
):
    projected = rows(dtype)
    found, expected = attend(projected, causal=causal), plain(projected, causal)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    weight = torch.randn(expected.shape).to(dtype)
    (gradient,) = torch.autograd.grad((found * weight).sum(), projected)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), projected)
    torch.testing.assert_close(gradient, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("causal", [False, True])
def test_gradient_is_that_of_small_differences(part, dropout, causal):
    def seeded(projected):
        torch.manual_seed(1)
        return attend(projected, dropout, causal, lengths=(3, 4, 4))

    assert gradcheck(seeded, rows(torch.float64, lengths=(3, 4, 4)))


def test_dropout_keeps_the_mean_and_drops_its_share():
    torch.manual_seed(0)
    projected = torch.randn(4 * 64, 3 * WIDTH)
    projected[:, : 2 * WIDTH] = 0.0
    projected[:, 2 * WIDTH :] = 1.0
    found = attend(projected, dropout=0.25, lengths=(64,) * 4)
    # Weights are all alike, so a state is the share of the 64 that were kept.
    share = found * 0.75
    assert share.mean().item() == pytest.approx(0.75, abs=0.01)
    # Of 64 draws: sqrt(0.75 * 0.25 / 64).
    assert share[:, :: WIDTH // HEADS].std().item() == pytest.approx(0.054, abs=0.006)


def test_gradient_may_be_asked_for_twice():
    projected = rows()
    loss = attend(projected, dropout=0.1).square().sum()
    once = torch.autograd.grad(loss, projected, retain_graph=True)
    assert torch.equal(*once, *torch.autograd.grad(loss, projected))


def test_a_checkpoint_draws_the_same_masks_again():
    projected, gradients = rows(), []
    for run in (attend, partial(checkpoint, attend, use_reentrant=False)):
        torch.manual_seed(2)
        loss = run(projected, 0.4).square().sum()
        gradients += torch.autograd.grad(loss, projected)
    assert torch.equal(*gradients)


def test_places_lead_to_rows_and_back():
    """Blocks follow each other; padding takes any row, and its gradient is zero."""
    found = Places.of([(5, 18), (), (6, 0, 40)], HEADS, causal=False)
    assert [group.length for group in found.groups] == [32, 48]
    assert [group.count for group in found.groups] == [2 * HEADS, 2 * HEADS]
    assert found.scores == [2 * HEADS * 32**2, 0, 2 * HEADS * 48**2]
    rows = torch.arange(69 * 3 * HEADS)
    sources, size = rows[found.sources].view(3, -1), len(found.gradient_sources)
    assert size == HEADS * (2 * 32 + 2 * 48)
    for kind in range(3):
        wanted = rows.view(69, 3, HEADS)[:, kind].flatten()
        assert torch.equal(sources[kind][found.places], wanted)
    assert torch.equal(sources.flatten()[found.gradient_places], rows)
    is_padding = torch.ones(size, dtype=torch.bool)
    is_padding[found.places] = False
    assert (found.gradient_sources[is_padding] >= 69 * HEADS).all()
    assert torch.equal(found.gradient_sources[found.places], torch.arange(69 * HEADS))


def test_no_rows_have_no_states():
    projected = rows(lengths=())
    attend(projected, lengths=()).sum().backward()
    assert projected.grad.shape == (0, 3 * WIDTH)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_learns_what_it_learns_by_plain_operations(
    small_config, monkeypatch, dtype
):
    """Updates with dropout after the parts of a layer, by the same masks."""
    by_size(monkeypatch)
    config = replace(
        small_config, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.0
    )

    def losses(written_out):
        torch.manual_seed(0)
        model = ElectraForPreTraining(config).train()
        if not written_out:
            monkeypatch.setattr(SelfAttention, "learns_here", lambda *_: False)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        batch = PackedBatch.from_sequences(
            [torch.randint(1, 99, (length,)) for length in (4, 12, 13, 20, 20)]
        )
        labels = (batch.input_ids % 3 == 0).float()
        for _ in range(60):
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                logits = model.forward_packed(batch).float()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()

    written_out, by_plain_operations = list(losses(True)), list(losses(False))
    assert by_plain_operations[-1] < 0.8 * by_plain_operations[0]
    tolerance = 1e-3 if dtype == torch.float32 else 0.05
    assert written_out == pytest.approx(by_plain_operations, abs=tolerance)
