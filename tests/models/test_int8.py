"""Products of 8-bit integers give nearly what the network computes."""

from dataclasses import replace

import pytest
import torch

from spacy_electra.models import ElectraConfig, ElectraModel, PackedBatch, int8
from spacy_electra.models.inference import InferenceEncoder
from spacy_electra.models.int8 import Int8Encoder, Range, can_quantize
from spacy_electra.models.int8_few_rows import FEWEST_ROWS

pytestmark = pytest.mark.skipif(
    not can_quantize(ElectraModel(ElectraConfig.preset("tiny"))),
    reason="this processor, or this build of torch, has no fast 8-bit products",
)


def batch(*lengths, seed=0):
    random = torch.Generator().manual_seed(seed)
    return PackedBatch.from_sequences(
        [torch.randint(5, 99, (length,), generator=random) for length in lengths]
    )


def relative_error(found, expected):
    return float((found.float() - expected).norm() / expected.norm())


def with_large_columns(config):
    """A network whose states have outliers, as those of trained ones."""
    torch.manual_seed(0)
    network = ElectraModel(config).eval()
    with torch.no_grad():
        for layer in network.encoder.layers:
            layer.attention.norm.weight[3] = 12.0
            layer.attention.norm.bias[5] = 8.0
            layer.feed_forward.norm.bias[7] = -9.0
            layer.feed_forward.up.bias[2] = 10.0
    return network


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu"])
@pytest.mark.parametrize("embedding_size", [16, 32])
def test_states_are_nearly_those_of_the_network(
    small_config, activation, embedding_size
):
    config = replace(small_config, hidden_act=activation, embedding_size=embedding_size)
    network = with_large_columns(config)
    packed = batch(3, 3, 9, 1, 40)
    with torch.no_grad():
        found = Int8Encoder(network, batch(20, 30, 40, seed=1)).forward_packed(
            packed, True
        )
        expected = network.forward_packed(packed, True)
    assert len(found.hidden_states) == len(expected.hidden_states)
    for a, b in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert relative_error(a, b) < 0.05
    torch.testing.assert_close(found.hidden_states[-1], found.last_hidden_state)


def test_the_last_states_are_the_same_without_the_others(small_config):
    encoder = Int8Encoder(with_large_columns(small_config), batch(30, seed=1))
    with torch.no_grad():
        all_states = encoder.forward_packed(batch(8, 8, 13), True)
        alone = encoder.forward_packed(batch(8, 8, 13))
    assert torch.equal(all_states.last_hidden_state, alone.last_hidden_state)


def test_states_do_not_depend_on_the_batch_they_come_in(small_config):
    encoder = Int8Encoder(with_large_columns(small_config), batch(30, seed=1))
    packed = batch(7, 7, 11)
    with torch.no_grad():
        together = encoder.forward_packed(packed).last_hidden_state
        alone = encoder.forward_packed(
            PackedBatch.from_sequences([packed.input_ids[14:]])
        ).last_hidden_state
    assert relative_error(together[14:], alone) < 0.02


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu"])
@pytest.mark.parametrize("lengths", [(1,), (30,), (9, 9), (3, 20, 7), (40, 40)])
def test_few_rows_are_as_by_the_operators_of_many(small_config, activation, lengths):
    config = replace(small_config, hidden_act=activation)
    assert difference_of_few_rows(config, batch(*lengths)) < 0.01


@pytest.mark.parametrize("inner", [3, 32, 33])
def test_few_rows_with_columns_of_one_range_and_of_two(small_config, inner):
    config = replace(small_config, intermediate_size=inner)
    assert difference_of_few_rows(config, batch(9)) < 0.01


def difference_of_few_rows(config, packed):
    """The largest relative difference of any layer's states from those of many rows."""
    encoder = Int8Encoder(with_large_columns(config), batch(30, seed=1))
    if encoder.layers[0].few_rows is None:
        pytest.skip("this build of torch has no FBGEMM")
    with torch.no_grad():
        few = encoder.forward_packed(packed, True).hidden_states
        for layer in encoder.layers:
            # With attention in the same precision.
            layer.few_rows, layer.dtype = None, torch.float32
        many = encoder.forward_packed(packed, True).hidden_states
    return max(relative_error(a, b) for a, b in zip(few, many, strict=True))


def test_many_rows_do_not_go_the_way_of_few(small_config, monkeypatch):
    encoder = Int8Encoder(with_large_columns(small_config), batch(30, seed=1))
    calls = []
    for layer in encoder.layers:
        layer.few_rows = lambda hidden, segments: calls.append(len(hidden)) or hidden
    with torch.no_grad():
        for rows in (FEWEST_ROWS, FEWEST_ROWS - 1):
            encoder.forward_packed(batch(*[1] * rows))
    assert calls == [FEWEST_ROWS - 1] * len(encoder.layers)


def test_the_engine_of_the_user_stays(small_config):
    usual = torch.backends.quantized.engine
    Int8Encoder(ElectraModel(small_config).eval(), batch(30))
    assert torch.backends.quantized.engine == usual


def test_without_fbgemm_few_rows_are_as_many(small_config, monkeypatch):
    network = with_large_columns(small_config)
    usual = Int8Encoder(network, batch(30, seed=1))
    monkeypatch.setattr(int8, "has_floats_linear", lambda: False)
    without = Int8Encoder(network, batch(30, seed=1))
    assert all(layer.few_rows is None for layer in without.layers)
    with torch.no_grad():
        found, expected = (
            encoder.forward_packed(batch(8)).last_hidden_state
            for encoder in (without, usual)
        )
    assert relative_error(found, expected) < 0.02


def test_no_sequences(small_config):
    encoder = Int8Encoder(ElectraModel(small_config).eval(), batch(30))
    with torch.no_grad():
        assert encoder.forward_packed(batch()).last_hidden_state.shape == (0, 32)


def test_a_large_column_costs_the_others_little(small_config):
    """Without scales and groups of columns it would be several times as much."""
    packed = batch(20, 20)
    errors = []
    for network in (
        ElectraModel(small_config).eval(),
        with_large_columns(small_config),
    ):
        with torch.no_grad():
            exact = InferenceEncoder(network, torch.float32).forward_packed(packed)
            found = Int8Encoder(network, packed).forward_packed(packed)
        errors.append(relative_error(found.last_hidden_state, exact.last_hidden_state))
    assert 0 < errors[0] < 0.05
    assert errors[1] < 2 * errors[0]


def test_a_range_rounds_within_half_a_step():
    values = torch.linspace(-1.0, 3.0, 1000).view(10, 100)
    found = Range.of(values)
    integers = found.round(values)
    assert integers.dtype == torch.uint8 and integers.shape == values.shape
    back = (integers.float() - found.zero) * found.scale
    assert float((back - values).abs().max()) <= 0.51 * found.scale
    assert found.scale == pytest.approx(4 / 255, rel=0.01)


def test_a_range_cuts_what_is_rare():
    values = torch.randn(1 << 14, generator=torch.Generator().manual_seed(0))
    values[5] = 7.5
    assert Range.of(values).scale < float(values.max() - values.min()) / 255


@pytest.mark.parametrize(
    "change", [{"position_embedding_type": "relative_key"}, {"is_decoder": True}]
)
def test_what_it_can_not_do_is_left_to_the_network(small_config, change):
    assert not can_quantize(ElectraModel(replace(small_config, **change)))
