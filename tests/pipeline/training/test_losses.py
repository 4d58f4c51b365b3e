"""Losses and gradients are torch's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spacy_electra.pipeline.training.losses import (
    binary_cross_entropy,
    cross_entropy,
    mean_squared_error,
    sigmoid,
)


@pytest.fixture
def random():
    return np.random.default_rng(0)


def of_torch(function, values):
    values = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    loss = function(values)
    loss.backward()
    return loss.item(), values.grad.numpy()


def assert_same(found, expected):
    assert found[1].dtype == np.float32
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-7)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_binary_cross_entropy(random, scale):
    logits = random.normal(size=(5, 3)) * scale
    gold = random.integers(0, 2, size=(5, 3))
    weights = random.uniform(0, 2, size=(5, 3))

    def expected(values):
        losses = F.binary_cross_entropy_with_logits(
            values,
            torch.tensor(gold, dtype=torch.float64),
            torch.tensor(weights),
            reduction="sum",
        )
        return losses / weights.sum()

    assert_same(binary_cross_entropy(logits, gold, weights), of_torch(expected, logits))


def test_binary_cross_entropy_of_soft_labels_and_one_weight(random):
    logits, gold = random.normal(size=7), random.uniform(size=7)

    def expected(values):
        return F.binary_cross_entropy_with_logits(values, torch.tensor(gold))

    assert_same(binary_cross_entropy(logits, gold), of_torch(expected, logits))


def test_logits_that_are_not_finite_count_for_nothing(random):
    logits = np.array([1.0, -np.inf, -2.0, np.nan])
    loss, gradient = binary_cross_entropy(logits, [1, 1, 0, 0])
    some, of_some = binary_cross_entropy(logits[[0, 2]], [1, 0])
    assert loss == some
    np.testing.assert_array_equal(gradient, [of_some[0], 0, of_some[1], 0])


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_cross_entropy(random, scale):
    logits = random.normal(size=(6, 4)) * scale
    gold = np.array([0, 3, -1, 2, 2, -1])

    def expected(values):
        return F.cross_entropy(values, torch.tensor(gold), ignore_index=-1)

    assert_same(cross_entropy(logits, gold), of_torch(expected, logits))
    mask = gold >= 0
    assert_same(
        cross_entropy(logits, np.where(mask, gold, 1), mask), of_torch(expected, logits)
    )


def test_mean_squared_error(random):
    values, gold = random.normal(size=(4, 3)), random.normal(size=(4, 3))
    mask = random.integers(0, 2, size=(4, 3)).astype(bool)

    def whole(found):
        return F.mse_loss(found, torch.tensor(gold))

    def part(found):
        chosen = torch.tensor(mask)
        return F.mse_loss(found[chosen], torch.tensor(gold)[chosen])

    assert_same(mean_squared_error(values, gold), of_torch(whole, values))
    assert_same(mean_squared_error(values, gold, mask), of_torch(part, values))
    gold[~mask] = np.nan
    assert_same(mean_squared_error(values, gold, mask), of_torch(part, values))


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (binary_cross_entropy, (np.zeros(0), np.zeros(0))),
        (binary_cross_entropy, (np.ones(3), np.ones(3), np.zeros(3))),
        (cross_entropy, (np.zeros((0, 4)), np.zeros(0))),
        (cross_entropy, (np.zeros((2, 4)), [-1, -1])),
        (mean_squared_error, (np.zeros((0, 2)), np.zeros((0, 2)))),
        (mean_squared_error, (np.ones(2), np.zeros(2), [False, False])),
    ],
)
def test_nothing_to_learn_from_is_no_loss_and_no_gradient(loss, arguments):
    value, gradient = loss(*arguments)
    assert value == 0.0 and gradient.shape == np.shape(arguments[0])
    assert not gradient.any()


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid([-1e4, 0.0, 1e4]), [0.0, 0.5, 1.0])
