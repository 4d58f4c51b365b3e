import pytest
import torch
from small_networks import make_objective

from spacy_electra.pretraining import optimizers
from spacy_electra.pretraining.objective import ReplacedTokenDetection
from spacy_electra.pretraining.optimizers import (
    OPTIMIZERS,
    AdamWithoutBiasCorrection,
    parameter_groups,
)


def rates_by_name(objective, groups):
    names = {id(p): name for name, p in objective.named_parameters()}
    return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}


def test_rates_fall_from_layer_to_layer():
    objective = make_objective(ReplacedTokenDetection)
    groups = parameter_groups(objective, 0.01, lr=1.0, layer_decay=0.5)
    rates = rates_by_name(objective, groups)
    assert len(rates) == len(dict(objective.named_parameters()))
    layers = "discriminator.electra.encoder.layers"
    assert rates["discriminator.head.score.weight"] == 1.0
    assert rates[f"{layers}.1.feed_forward.up.weight"] == 0.5
    assert rates[f"{layers}.0.feed_forward.up.bias"] == 0.25
    # The two networks share them, and the generator has the first name.
    embeddings = "generator.electra.embeddings"
    assert rates[f"{embeddings}.position_embeddings.weight"] == 0.125
    assert rates[f"{embeddings}.norm.weight"] == 0.125


def test_norms_and_biases_do_not_decay_with_rates_by_layer_either():
    objective = make_objective(ReplacedTokenDetection)
    names = {id(p): name for name, p in objective.named_parameters()}
    for decay in (1.0, 0.5):
        for group in parameter_groups(objective, 0.01, lr=1.0, layer_decay=decay):
            for parameter in group["params"]:
                name = names[id(parameter)]
                is_kept = "norm" in name or name.endswith("bias")
                assert (group["weight_decay"] == 0.0) == is_kept, name


@pytest.mark.parametrize("name", ["adamw", "adamw_reference"])
def test_lower_layers_move_less(name):
    objective = make_objective(ReplacedTokenDetection)
    before = {n: p.detach().clone() for n, p in objective.named_parameters()}
    (optimizer,) = OPTIMIZERS[name](objective, lr=1e-3, layer_decay=0.1)
    for parameter in objective.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    layers = "discriminator.electra.encoder.layers"
    moved = [
        (before[n] - dict(objective.named_parameters())[n]).abs().mean().item()
        for n in (f"{layers}.0.attention.qkv.bias", f"{layers}.1.attention.qkv.bias")
    ]
    assert moved[0] == pytest.approx(moved[1] / 10, rel=0.05)


def test_reference_step_is_that_of_its_formula(monkeypatch):
    """In one kernel, and as several operations, which weights on other devices take."""
    torch.manual_seed(0)
    start = torch.randn(30, 20)
    gradients = torch.randn(5, 30, 20)
    found = {}
    for dtype in (torch.float32, torch.float64):
        for is_fused in (True, False):
            weight = torch.nn.Parameter(start.to(dtype, copy=True))
            groups = [{"params": [weight], "weight_decay": 0.1}]
            optimizer = AdamWithoutBiasCorrection(groups, lr=0.01, betas=(0.8, 0.9))
            with monkeypatch.context() as patch:
                if not is_fused:
                    patch.setattr(optimizers, "_is_fusable", lambda weight: False)
                for gradient in gradients:
                    weight.grad = gradient.to(dtype)
                    optimizer.step()
            found[dtype, is_fused] = weight.detach()
            assert set(optimizer.state[weight]) == {"mean", "square"}
    expected, mean, square = start.double(), 0.0, 0.0
    for gradient in gradients.double():
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        expected = expected * (1 - 0.01 * 0.1) - 0.01 * mean / (square.sqrt() + 1e-6)
    for (dtype, _), weight in found.items():
        tolerance = 1e-5 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(weight.double(), expected, rtol=0, atol=tolerance)
