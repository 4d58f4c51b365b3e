"""The loss of a vocabulary is torch's, however many rows are computed at a time."""

import pytest
import torch
import torch.nn.functional as F

from spacy_electra.models import vocabulary
from spacy_electra.models.vocabulary import cross_entropy, is_best


@pytest.fixture(params=[1, 1 << 18])
def part(request, monkeypatch):
    """Values of a part: one row at a time, or all of them at once."""
    monkeypatch.setattr(vocabulary, "_VALUES_OF_A_PART", request.param)


def scores(dtype=torch.float32, rows=7, classes=50):
    torch.manual_seed(0)
    logits = (3 * torch.randn(rows, classes)).to(dtype).requires_grad_()
    return logits, torch.randint(classes, (rows,))


def test_losses_and_gradients_are_those_of_torch(part):
    logits, targets = scores()
    weights = torch.randn(len(targets))
    found = cross_entropy(logits, targets)
    (gradient,) = torch.autograd.grad((found * weights).sum(), logits)
    expected = F.cross_entropy(logits, targets, reduction="none")
    (wanted,) = torch.autograd.grad((expected * weights).sum(), logits)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, wanted)


def test_gradient_is_that_of_small_differences(part):
    logits, targets = scores(torch.float64, rows=3, classes=6)
    assert torch.autograd.gradcheck(lambda v: cross_entropy(v, targets), logits)


def test_scores_in_bf16_lose_nothing_but_the_rounding_of_their_gradient(part):
    logits, targets = scores(torch.bfloat16)
    found = cross_entropy(logits, targets)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    exact = logits.detach().float().requires_grad_()
    expected = F.cross_entropy(exact, targets, reduction="none")
    (wanted,) = torch.autograd.grad(expected.sum(), exact)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, wanted.bfloat16())


def test_gradient_may_be_asked_for_twice(part):
    logits, targets = scores()
    loss = cross_entropy(logits, targets).sum()
    once = torch.autograd.grad(loss, logits, retain_graph=True)
    assert torch.equal(*once, *torch.autograd.grad(loss, logits))


def test_no_rows_have_no_losses():
    logits = torch.zeros(0, 5, requires_grad=True)
    losses = cross_entropy(logits, torch.zeros(0, dtype=torch.long))
    losses.sum().backward()
    assert losses.shape == (0,)
    assert logits.grad.shape == (0, 5)


def test_the_best_class_is_the_first_of_equal_ones():
    logits = torch.tensor([[1.0, 3.0, 3.0], [1.0, 3.0, 3.0], [5.0, 0.0, 0.0]])
    assert is_best(logits, torch.tensor([1, 2, 1])).tolist() == [True, False, False]
    assert is_best(logits.bfloat16(), torch.tensor([0, 1, 0])).tolist() == [
        *(False, True, True)
    ]


def test_a_class_without_any_share_has_a_finite_loss(part):
    logits = torch.tensor([[0.0, 300.0, 1.0]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([0]))
    assert loss.item() == 300.0
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient.tolist() == [[-1.0, 1.0, 0.0]]
