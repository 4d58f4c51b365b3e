"""A linear layer in training is torch's, forward and backward."""

import pytest
import torch
from torch import nn

from spacy_electra.models import linear
from spacy_electra.models.linear import Linear


def layers(**options):
    torch.manual_seed(0)
    ours, theirs = Linear(6, 5, **options), nn.Linear(6, 5, **options)
    theirs.load_state_dict(ours.state_dict())
    rows = torch.randn(7, 6).bfloat16()
    return ours, theirs, rows


def run(layer, rows, autocast=True):
    rows = rows.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        result = layer(rows)
    result.backward(torch.arange(float(result.numel())).view(result.shape).bfloat16())
    return result, rows.grad, *(weight.grad for weight in layer.parameters())


def assert_alike(ours, theirs):
    for found, expected in zip(ours, theirs, strict=True):
        # One step of bf16.
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=2**-7)


@pytest.fixture
def calls(monkeypatch):
    """How often the kernel was called."""
    counted, product = [], linear._product
    linear._works()

    def count(*arguments):
        counted.append(1)
        return product(*arguments)

    monkeypatch.setattr(linear, "_product", count)
    return counted


def test_result_and_gradients_are_those_of_torch(calls):
    ours, theirs, rows = layers()
    assert_alike(run(ours, rows), run(theirs, rows))
    assert ours.weight.grad.dtype == torch.float32
    assert len(calls) == linear._works()


def test_weights_may_be_in_bf16_themselves(calls):
    ours, theirs, rows = layers(dtype=torch.bfloat16)
    assert_alike(run(ours, rows, autocast=False), run(theirs, rows, autocast=False))
    assert len(calls) == linear._works()


def test_frozen_weights_get_no_gradient():
    ours, _, rows = layers()
    ours.requires_grad_(False)
    _, gradient, weight, bias = run(ours, rows)
    assert gradient is not None
    assert weight is None
    assert bias is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_precisions_are_torchs_own(calls, dtype):
    ours, theirs, rows = layers(dtype=dtype)
    found, expected = (run(v, rows.to(dtype), autocast=False) for v in (ours, theirs))
    assert all(map(torch.equal, found, expected))
    assert not calls


def test_without_gradients_it_is_torchs_own(calls):
    ours, theirs, rows = layers(dtype=torch.bfloat16)
    with torch.no_grad():
        assert torch.equal(ours(rows), theirs(rows))
    assert torch.equal(ours.eval()(rows), theirs(rows))
    assert not calls


def test_without_a_bias_it_is_torchs_own(calls):
    ours, theirs, rows = layers(bias=False)
    assert all(map(torch.equal, run(ours, rows), run(theirs, rows)))
    assert not calls
