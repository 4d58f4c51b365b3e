"""Attention by matrix products equals torch's fused kernel."""

import pytest
import torch
import torch.nn.functional as F

from spacy_electra.models import ElectraForPreTraining, PackedBatch, attention
from spacy_electra.models.attention import explicit_attention, softmax_by_chunks


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 7, 40])
def test_explicit_equals_fused(length, causal):
    torch.manual_seed(0)
    # Strides as the packed projection has them.
    rows = torch.randn(3, length, 3, 2, 16, requires_grad=True)
    parts = rows.permute(2, 0, 3, 1, 4)
    fused = F.scaled_dot_product_attention(*parts.unbind(0), is_causal=causal)
    explicit = explicit_attention(parts, causal=causal)
    torch.testing.assert_close(explicit, fused)
    (expected,) = torch.autograd.grad(fused.square().sum(), rows, retain_graph=True)
    (found,) = torch.autograd.grad(explicit.square().sum(), rows)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", [(3, 17, 17), (700, 20, 20), (40, 127, 127)])
def test_softmax_in_chunks_is_that_of_torch(shape):
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    scores[..., -2:] = -torch.inf
    expected = torch.softmax(scores, dim=-1)
    found = softmax_by_chunks(scores)
    # One step of bf16.
    torch.testing.assert_close(found, expected, rtol=2**-7, atol=0)
    assert not found[..., -2:].any()


def test_dropout_keeps_the_mean():
    torch.manual_seed(0)
    parts = torch.randn(3, 1, 4, 64, 8)
    parts[2] = 1.0
    dropped = explicit_attention(parts, dropout=0.5)
    assert dropped.std() > 0.01
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("longest", [0, 1000])
def test_either_kernel_gives_the_same_logits(small_config, monkeypatch, longest):
    torch.manual_seed(0)
    model = ElectraForPreTraining(small_config).eval()
    batch = PackedBatch.from_sequences(
        [torch.randint(1, 99, (length,)) for length in (3, 9, 9, 20)]
    )
    with torch.no_grad():
        expected = model.forward_packed(batch)
        monkeypatch.setattr(attention, "LONGEST_EXPLICIT", {torch.float32: longest})
        torch.testing.assert_close(model.forward_packed(batch), expected)
