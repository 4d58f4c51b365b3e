"""Dropout does what torch's does: it drops a share, scales the rest, and is fair."""

import pytest
import torch

from spacy_electra.models.dropout import Dropout, drop


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_scale(dtype, p):
    torch.manual_seed(0)
    dropped = drop(torch.ones(300, 701, dtype=dtype), p)
    is_zero = dropped == 0
    assert is_zero.float().mean() == pytest.approx(p, abs=0.005)
    scale = torch.tensor(1 / (1 - p), dtype=dtype)
    torch.testing.assert_close(dropped[~is_zero], scale.expand((~is_zero).sum()))


def test_values_are_dropped_independently():
    torch.manual_seed(0)
    kept = (drop(torch.ones(400_000), 0.3) != 0).float()
    for distance in (1, 2, 3, 4, 5, 8):
        both = (kept[distance:] * kept[:-distance]).mean()
        assert both == pytest.approx(0.49, abs=0.004)


def test_gradient_passes_where_the_value_does():
    torch.manual_seed(0)
    values = torch.randn(3, 50, 7).transpose(0, 1).requires_grad_()
    dropped = drop(values, 0.4)
    weight = torch.randn(dropped.shape)
    (gradient,) = torch.autograd.grad((dropped * weight).sum(), values)
    expected = torch.where(dropped == 0, 0.0, weight / 0.6)
    torch.testing.assert_close(gradient, expected)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], values.detach()[kept] / 0.6)


def test_seed_decides():
    def drawn(seed):
        torch.manual_seed(seed)
        return drop(torch.ones(1000), 0.1)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_nothing_is_dropped_where_nothing_should_be():
    values = torch.randn(10)
    assert torch.equal(drop(values, 0.0), values)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert (drop(values, 1.0) == 0).all()
    assert drop(torch.zeros(0, 4), 0.1).shape == (0, 4)


def test_infinity_is_dropped_to_zero():
    # Multiplying by a mask of zeros would make it NaN.
    values = torch.full((1000,), float("inf"))
    assert set(drop(values, 0.5).tolist()) == {0.0, float("inf")}
