import pytest
import torch
from small_networks import make_objective

from spacy_electra.pretraining.objective import ReplacedTokenDetection
from spacy_electra.pretraining.optimizers import OPTIMIZERS, parameter_groups


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
