"""A layer with its own backward pass computes what its modules do."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from training_masks import by_size

from spacy_electra.models import ElectraConfig, ElectraModel, PackedBatch
from spacy_electra.models.encoder import EncoderLayer
from spacy_electra.models.training import layers, share

# Two segments, of which the first has padding.
LENGTHS = (5, 6, 6, 3, 3)
WIDTH = 8


def config(dropout=0.0, **changes):
    return ElectraConfig(
        vocab_size=99,
        embedding_size=WIDTH,
        hidden_size=WIDTH,
        intermediate_size=12,
        num_attention_heads=2,
        num_hidden_layers=2,
        max_position_embeddings=32,
        initializer_range=0.5,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        **changes,
    )


def encoder(dtype=torch.float32, dropout=0.0, seed=0, **changes):
    """Layers of which biases and norms are not what they begin as."""
    torch.manual_seed(seed)
    model = ElectraModel(config(dropout, **changes))
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    return model.to(dtype).train()


def rows(dtype=torch.float32):
    torch.manual_seed(1)
    return torch.randn(sum(LENGTHS), WIDTH).to(dtype).requires_grad_()


def run(model, hidden, lengths=LENGTHS):
    torch.manual_seed(2)
    return model.encoder(hidden, model._layout(lengths))[0]


def by_modules(model):
    """The same layers, module by module."""
    copy = deepcopy(model)
    for layer in copy.encoder.layers:
        layer.learns_here = lambda *_: False
    return copy


def results(model, hidden, autocast=False, lengths=LENGTHS):
    """States, and the gradients of the rows and of all weights, by name."""
    model.zero_grad()
    hidden = hidden.detach().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        states = run(model, hidden, lengths)
    weight = torch.arange(states.numel()).view_as(states).sin().to(states.dtype)
    states.backward(weight)
    named = model.encoder.named_parameters()
    return {"states": states, "rows": hidden.grad, **{n: w.grad for n, w in named}}


def assert_alike(found, expected, tolerance):
    assert set(found) == set(expected)
    for name, value in expected.items():
        if value is None:
            assert found[name] is None, name
        else:
            assert found[name].dtype == value.dtype, name
            scale = tolerance * (1 + value.abs().max().item())
            torch.testing.assert_close(found[name], value, rtol=0, atol=scale, msg=name)


def errors_of(model, *found):
    """Of each, the sum of its squared distances from what float64 gives."""
    exact = results(by_modules(model).double(), rows(torch.bfloat16).double())
    return [
        sum((some[n].double() - v).square().sum().item() for n, v in exact.items())
        for some in found
    ]


@pytest.fixture
def same_masks(monkeypatch):
    """Dropout keeps the same values whenever it is asked for as many."""
    by_size(monkeypatch)


@pytest.fixture
def calls(monkeypatch):
    """How often a layer was run as one operation."""
    from spacy_electra.models import encoder

    counted, run_layers = [], encoder.run_layers
    monkeypatch.setattr(
        encoder,
        "run_layers",
        lambda *a: (counted.append(len(a[2])), run_layers(*a))[1],
    )
    return counted


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_states_and_gradients_are_those_of_the_modules(
    calls, same_masks, dropout, activation
):
    model = encoder(torch.float64, dropout, hidden_act=activation)
    found = results(model, rows(torch.float64))
    # Without dropout, torch's attention serves float64.
    assert sum(calls) == (2 if dropout else 0)
    expected = results(by_modules(model), rows(torch.float64))
    assert_alike(found, expected, 1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_in_bf16_they_are_the_same_but_for_rounding(calls, same_masks, dropout):
    errors = []
    for seed in range(8):
        model = encoder(dropout=dropout, seed=seed)
        found = results(model, rows(torch.bfloat16), autocast=True)
        modules = by_modules(model)
        expected = results(modules, rows(torch.bfloat16), autocast=True)
        assert_alike(found, expected, 0.25)
        errors.append(errors_of(model, found, expected))
    assert sum(calls) == 16
    # What was found is no further from float64 than what the modules find.
    own, theirs = map(sum, zip(*errors, strict=True))
    assert own < 1.2 * theirs


def test_weights_may_be_in_bf16_themselves(calls):
    model = encoder().bfloat16()
    found = results(model, rows(torch.bfloat16))
    assert sum(calls) == 2
    assert found["layers.0.feed_forward.up.weight"].dtype == torch.bfloat16
    assert_alike(found, results(by_modules(model), rows(torch.bfloat16)), 0.05)


@pytest.mark.parametrize("causal", [False, True])
def test_gradient_is_that_of_small_differences(calls, causal):
    model = encoder(torch.float64, dropout=0.3, is_decoder=causal)
    weights = list(model.encoder.layers[0].parameters())

    def seeded(hidden, *_):
        return run(model, hidden, lengths=(3, 2, 2))

    torch.manual_seed(1)
    hidden = torch.randn(7, WIDTH, dtype=torch.float64).requires_grad_()
    assert gradcheck(seeded, (hidden, *weights), fast_mode=True)
    assert calls


def test_frozen_weights_get_no_gradient(calls):
    model = encoder(dropout=0.3)
    expected = results(model, rows())
    for name, weight in model.encoder.named_parameters():
        weight.requires_grad_("up" not in name and "norm.bias" not in name)
    found = results(model, rows())
    for name, value in found.items():
        if "up" in name or "norm.bias" in name:
            assert value is None
        else:
            torch.testing.assert_close(value, expected[name])
    assert sum(calls) == 4


def test_rows_need_no_gradient(calls):
    model = encoder(dropout=0.3)
    states = run(model, rows().detach())
    states.sum().backward()
    assert all(w.grad is not None for w in model.encoder.parameters())
    assert sum(calls) == 2


def test_checkpointing_draws_the_same_masks_again():
    model = encoder(dropout=0.3)
    expected = results(model, rows())
    model.encoder.checkpointing = True
    assert_alike(results(model, rows()), expected, 1e-6)


def test_layers_one_by_one_draw_the_masks_that_all_at_once_draw():
    model = encoder(dropout=0.3)
    torch.manual_seed(1)
    hidden = torch.randn(sum(LONG), WIDTH)
    torch.manual_seed(2)
    states, between, _ = model.encoder(hidden, model._layout(LONG), keep_all=True)
    assert len(between) == 3
    assert torch.equal(states, run(model, hidden, LONG))


def test_gradients_may_be_asked_for_twice():
    model = encoder(dropout=0.3)
    hidden = rows()
    loss = run(model, hidden).square().sum()
    once = torch.autograd.grad(loss, hidden, retain_graph=True)
    assert torch.equal(*once, *torch.autograd.grad(loss, hidden))


def test_two_graphs_at_once_do_not_disturb_each_other():
    model, hidden = encoder(dropout=0.3), rows()
    one = run(model, hidden).square().sum()
    (alone,) = torch.autograd.grad(one, hidden, retain_graph=True)
    other = run(model, hidden * 2).square().sum()
    torch.autograd.grad(other, hidden, retain_graph=True)
    assert torch.equal(*torch.autograd.grad(one, hidden), alone)


LONG = (300, 290, 290, 300, 410, 400)


@pytest.fixture
def narrow_layers_are_divided(monkeypatch):
    monkeypatch.setattr(share, "_FEW_VALUES", 0)


@pytest.mark.usefixtures("narrow_layers_are_divided")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_side_by_side_find_what_one_finds(threads, monkeypatch, dtype):
    """Masks too are the same."""
    model = encoder(dropout=0.3)
    torch.manual_seed(1)
    hidden = torch.randn(sum(LONG), WIDTH).to(dtype)
    taken = []
    share_out = layers.share_out

    def shares(*arguments):
        found = share_out(*arguments)
        taken.append([part.rows for part in found])
        return found

    monkeypatch.setattr(layers, "share_out", shares)
    found = []
    for count in (1, 2):
        threads(count)
        autocast = dtype == torch.bfloat16
        found.append(results(model, hidden, autocast=autocast, lengths=LONG))
    assert taken == [[slice(0, 1990)], [slice(0, 1000), slice(1000, 1990)]]
    assert torch.equal(found[0]["states"], found[1]["states"])
    # Gradients of weights are sums in another order.
    assert_alike(*found, 1e-5 if dtype == torch.float32 else 0.02)


@pytest.mark.parametrize("is_divided", [True, False])
def test_all_threads_are_for_the_layers(threads, monkeypatch, is_divided):
    """Streams one each, operators that are shared all; what stands around one."""
    threads(2)
    monkeypatch.setattr(share, "_FEW_VALUES", 0 if is_divided else 1 << 30)
    counts = {"layers": [], "around": []}
    norm, moved = layers._norm, layers._moved

    def note(place, run):
        def noted(*arguments, **named):
            counts[place].append(torch.get_num_threads())
            return run(*arguments, **named)

        return noted

    monkeypatch.setattr(layers, "_norm", note("layers", norm))
    monkeypatch.setattr(layers, "_moved", note("around", moved))
    model, hidden = encoder(dropout=0.3), torch.randn(sum(LONG), WIDTH)
    results(model, hidden, lengths=LONG)
    assert set(counts["layers"]) == {1 if is_divided else 2}
    assert set(counts["around"]) == {1}
    assert torch.get_num_threads() == 2


def test_a_batch_of_few_values_is_not_divided(threads):
    threads(2)
    layout = encoder()._layout(LONG)
    counts = [len(share.share_out(layout, 2, width)) for width in (64, 256)]
    assert counts == [1, 2]


@pytest.mark.usefixtures("narrow_layers_are_divided")
def test_several_may_train_at_once(threads):
    """They share the threads that compute, and none waits for another without end."""
    threads(2)
    model, hidden = encoder(dropout=0.3), torch.randn(sum(LONG), WIDTH)

    def train(copy):
        for _ in range(5):
            states = copy.encoder(hidden.clone(), copy._layout(LONG))[0]
            states.sum().backward()
        return states.shape

    with ThreadPoolExecutor(4) as pool:
        shapes = list(pool.map(train, [deepcopy(model) for _ in range(4)]))
    assert shapes == [hidden.shape] * 4


def test_gradients_of_norms_are_added_up_exactly_over_many_rows():
    model, lengths = encoder(), (32,) * 128
    torch.manual_seed(1)
    hidden = torch.randn(sum(lengths), WIDTH).bfloat16()
    found = results(model, hidden, autocast=True, lengths=lengths)
    exact = results(model.double(), hidden.double(), lengths=lengths)
    name = "layers.1.feed_forward.norm.weight"
    torch.testing.assert_close(found[name].double(), exact[name], rtol=0.01, atol=0.5)


def test_nothing_is_computed_below_the_lowest_layer_that_learns(monkeypatch):
    from spacy_electra.models.training.backward import Backward

    model = encoder(dropout=0.3)
    expected = results(model, rows())
    passed, one = [], Backward._layer
    monkeypatch.setattr(
        Backward, "_layer", lambda *a: (passed.append(a[2]), one(*a))[1]
    )
    model.encoder.layers[0].requires_grad_(False)
    model.zero_grad()
    states = run(model, rows().detach())
    weight = torch.arange(states.numel()).view_as(states).sin()
    states.backward(weight)
    assert passed == [1]
    for name, value in model.encoder.layers[1].named_parameters():
        torch.testing.assert_close(value.grad, expected[f"layers.1.{name}"])


class Doubling(nn.Module):
    """What another library may put in place of a linear layer."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear

    def forward(self, values):
        return 2 * self.linear(values)


@pytest.mark.parametrize("part", ["attention.output", "feed_forward.up"])
def test_a_part_that_was_replaced_or_watched_is_called(calls, part):
    model = encoder(dropout=0.3)
    layer: EncoderLayer = model.encoder.layers[1]
    watched = []
    layer.get_submodule(part).register_forward_hook(lambda *_: watched.append(1))
    before = run(model, rows())
    assert watched == [1]
    assert sum(calls) == 1
    parent, name = part.split(".")
    holder = layer.get_submodule(parent)
    setattr(holder, name, Doubling(getattr(holder, name)))
    assert not torch.equal(run(model, rows()), before)
    assert watched == [1, 1]


def test_other_activations_are_computed_by_the_modules(calls):
    model = encoder(dropout=0.3, hidden_act="relu")
    run(model, rows()).sum().backward()
    assert not calls


def test_memory_of_a_pass_does_not_grow_with_the_layers():
    batch = PackedBatch.from_sequences([torch.randint(1, 99, (7,))] * 3)
    sizes = []
    for count in (1, 4):
        model = ElectraModel(replace(config(0.1), num_hidden_layers=count)).train()
        layout = model._layout(batch.lengths)
        hidden = torch.randn(21, WIDTH).requires_grad_()
        model.encoder(hidden, layout)[0].sum().backward()
        sizes.append(sum(m.nbytes for m in layout.scratch._memory.values()))
    assert sizes[0] == sizes[1] > 0
