"""Dropout does what torch's does: it drops a share, scales the rest, and is fair."""

from dataclasses import replace

import pytest
import torch
from counterparts import batch, labels_for, pair

from spacy_electra.checkpoints.names import to_hugging_face
from spacy_electra.models.dropout import Dropout, drop
from spacy_electra.models.heads import HEADS


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


MASKS = 100


def gradients_over_masks(model, inputs, names=lambda gradients: gradients):
    """Mean and variance of the gradient of each weight, float64."""
    model.train()
    sums, squares = {}, {}
    for _ in range(MASKS):
        model.zero_grad()
        model(**inputs).loss.backward()
        found = {n: w.grad for n, w in model.named_parameters() if w.grad is not None}
        for name, gradient in names(found).items():
            values = gradient.double()
            sums[name] = sums.get(name, 0) + values
            squares[name] = squares.get(name, 0) + values**2
    means = {name: total / MASKS for name, total in sums.items()}
    return {
        name: (mean, (squares[name] / MASKS - mean**2) * MASKS / (MASKS - 1))
        for name, mean in means.items()
    }


@pytest.mark.parametrize("head_class", HEADS.values(), ids=lambda cls: cls.__name__)
def test_every_head_drops_where_transformers_does_and_as_much(head_class, small_config):
    """Over many masks gradients have the same mean, and the same variance."""
    config = replace(
        small_config,
        initializer_range=0.02,
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.4,
        summary_last_dropout=0.15,
        classifier_dropout=0.25,
    )
    ours, theirs = pair(head_class, config)
    inputs = batch(config, cls=head_class)
    # Losses of padding differ.
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    inputs |= labels_for(head_class, config, inputs)
    torch.manual_seed(1)
    expected = gradients_over_masks(theirs, inputs)
    found = gradients_over_masks(
        ours, inputs, lambda g: to_hugging_face(g, head_class.hugging_face_names)
    )
    assert set(found) == set(expected)
    squares = []
    for name, (mean, variance) in expected.items():
        other, others = found[name]
        error = (variance + others) / MASKS
        is_noisy = error > 1e-16
        # Differences over their standard errors.
        squares.append(((mean - other) ** 2 / error)[is_noisy])
        if variance.sum() > 1e-12:
            assert 0.7 < others.sum() / variance.sum() < 1.4, name
    assert torch.cat(squares).mean().sqrt() < 1.25
