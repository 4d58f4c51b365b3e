"""All weights at once or one after the other: Thinc's Adam changes them alike."""

import numpy as np
import pytest
import torch
from thinc.api import SGD, Adam, NumpyOps, Optimizer, RAdam, use_ops

from spacy_electra.layers import adam
from spacy_electra.layers.adam import Part, is_plain_adam, step

SHAPES = {"matrix": (7, 5), "bias": (5,), "one": (1,)}
OPS = NumpyOps()


def draw(seed):
    random = np.random.default_rng(seed)
    return {k: random.normal(size=v).astype("float32") for k, v in SHAPES.items()}


def parts_of(weights, gradients):
    # Rates differ, as with layer_decay.
    return [
        Part((1, k), torch.from_numpy(v), torch.from_numpy(gradients[k]), 0.5 + len(k))
        for k, v in weights.items()
    ]


@pytest.fixture(params=[0, 1 << 20])
def side_by_side(request, monkeypatch, threads):
    """All weights by one thread, or shared out."""
    monkeypatch.setattr(adam, "_FEWEST_VALUES", request.param)
    threads(2)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"grad_clip": 0.0, "L2": 0.0},
        {"grad_clip": 0.5, "L2": 0.1, "use_averages": False},
        {"beta1": 0.5, "beta2": 0.9, "eps": 0.1},
    ],
)
def test_weights_moments_and_averages_are_thincs(side_by_side, settings):
    at_once, one_by_one = (Adam(0.01, **settings) for _ in range(2))
    found, expected = draw(0), draw(0)
    with use_ops("numpy"):
        for update in range(6):
            gradients = draw(1 + update)
            if update == 2:
                # A weight may have no gradient, and then lag behind.
                del gradients["bias"]
            chosen = {name: found[name] for name in gradients}
            step(at_once, parts_of(chosen, {k: v.copy() for k, v in gradients.items()}))
            for name, gradient in gradients.items():
                key, scale = (1, name), 0.5 + len(name)
                one_by_one(key, expected[name], gradient, lr_scale=scale)
    for name in SHAPES:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-5)
        for moments in ("mom1", "mom2"):
            ours, theirs = (getattr(o, moments) for o in (at_once, one_by_one))
            np.testing.assert_allclose(
                # Thinc has 1 - beta2 in float32.
                ours[1, name],
                theirs[1, name],
                rtol=1e-4,
                atol=1e-7,
            )
        if one_by_one.averages is not None:
            np.testing.assert_allclose(
                at_once.averages[1, name], one_by_one.averages[1, name], atol=1e-5
            )
    assert at_once.nr_update == one_by_one.nr_update
    assert not np.allclose(found["matrix"], draw(0)["matrix"])


def test_the_optimizer_may_go_on_by_itself():
    both = Adam(0.01)
    weights = draw(0)
    step(both, parts_of(weights, draw(1)))
    with use_ops("numpy"):
        both((1, "matrix"), weights["matrix"], draw(2)["matrix"])
    assert both.nr_update[1, "matrix"] == 2
    assert both.mom1[1, "matrix"].shape == (35,)


def test_no_weights_are_no_step():
    optimizer = Adam(0.01)
    step(optimizer, [])
    assert not optimizer.nr_update


def test_read_only_moments_are_copied():
    optimizer, weights = Adam(0.01), draw(0)
    step(optimizer, parts_of(weights, draw(1)))
    for moment in optimizer.mom1.values():
        moment.flags.writeable = False
    step(optimizer, parts_of(weights, draw(2)))
    assert all(moment.flags.writeable for moment in optimizer.mom1.values())


class Own(Optimizer):
    """Somebody's optimizer, of which nothing is known."""


def test_other_optimizers_are_called():
    parts = parts_of(draw(0), draw(1))
    assert is_plain_adam(Adam(0.1), parts)
    with_l2 = Adam(0.1, L2=0.1, L2_is_weight_decay=False)
    for other in (Own(0.1), SGD(0.1), RAdam(0.1), with_l2):
        assert not is_plain_adam(other, parts)
    half = [Part((1, "half"), torch.zeros(1).half(), torch.zeros(1).half())]
    assert not is_plain_adam(Adam(0.1), half)
