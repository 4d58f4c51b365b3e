"""What is laid out for inference on a CPU computes what the network computes."""

from dataclasses import replace

import pytest
import torch

from spacy_electra.models import ElectraModel, PackedBatch
from spacy_electra.models.inference import (
    LONGEST_ALONE,
    InferenceEncoder,
    attend_segments,
    can_infer,
)
from spacy_electra.models.packing import segments_of

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),
    reason="this build of torch has no oneDNN",
)


def batch(*lengths):
    random = torch.Generator().manual_seed(0)
    return PackedBatch.from_sequences(
        [torch.randint(5, 99, (length,), generator=random) for length in lengths]
    )


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu"])
@pytest.mark.parametrize("embedding_size", [16, 32])
def test_states_are_those_of_the_network(small_config, activation, embedding_size):
    config = replace(small_config, hidden_act=activation, embedding_size=embedding_size)
    network = ElectraModel(config).eval()
    assert can_infer(network, torch.float32)
    packed = batch(3, 3, 9, 1, 40)
    with torch.no_grad():
        found = InferenceEncoder(network, torch.float32).forward_packed(packed, True)
        expected = network.forward_packed(packed, True)
    for a, b in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[1], [9], [40], [9, 9], [40, 40, 40]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sequences_of_one_length_are_as_among_others(small_config, lengths, dtype):
    """They have no padding and no copies; few of them another attention."""
    # Of bf16's rounding, some weights make more than others.
    torch.manual_seed(1)
    fast = InferenceEncoder(ElectraModel(small_config).eval(), dtype)
    packed = batch(*lengths)
    others = [torch.arange(5, 5 + n) for n in (3, 12, 37)]
    rows = packed.input_ids.split(lengths)
    with torch.no_grad():
        alone = fast.forward_packed(packed).last_hidden_state.float()
        mixed = fast.forward_packed(PackedBatch.from_sequences([*others, *rows]))
    among = mixed.last_hidden_state[52:].float()
    error = (alone - among).norm() / among.norm()
    assert error < (1e-6 if dtype == torch.float32 else 0.01)


@pytest.mark.parametrize("rows", [1, 7, LONGEST_ALONE, LONGEST_ALONE + 1])
def test_a_sequence_attends_alone_as_beside_itself(rows):
    random = torch.Generator().manual_seed(0)
    projected = torch.randn(rows, 3 * 4 * 8, generator=random)
    alone = attend_segments(projected, segments_of([rows]), 4, torch.float32)
    twice = torch.cat([projected, projected])
    both = attend_segments(twice, segments_of([rows, rows]), 4, torch.float32)
    assert alone.is_contiguous()
    torch.testing.assert_close(torch.cat([alone, alone]), both, rtol=1e-5, atol=1e-6)


def test_bf16_is_as_near_to_fp32_as_autocast(small_config):
    network = ElectraModel(small_config).eval()
    packed = batch(5, 20, 20, 33)
    with torch.no_grad():
        exact = network.forward_packed(packed).last_hidden_state
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = network.forward_packed(packed).last_hidden_state
        fast = InferenceEncoder(network, torch.bfloat16)
        found = fast.forward_packed(packed).last_hidden_state
    assert found.dtype == torch.bfloat16
    error = (found.float() - exact).abs().mean()
    assert error < 1.5 * (cast.float() - exact).abs().mean()


def test_no_sequences(small_config):
    network = ElectraModel(small_config).eval()
    fast = InferenceEncoder(network, torch.float32)
    with torch.no_grad():
        assert fast.forward_packed(batch()).last_hidden_state.shape == (0, 32)


def test_too_long_a_sequence_is_named(small_config):
    fast = InferenceEncoder(ElectraModel(small_config).eval(), torch.float32)
    with pytest.raises(ValueError, match="SE004"):
        fast.forward_packed(batch(41))


@pytest.mark.parametrize(
    "change", [{"position_embedding_type": "relative_key"}, {"is_decoder": True}]
)
def test_what_it_can_not_do_is_left_to_the_network(small_config, change):
    network = ElectraModel(replace(small_config, **change))
    assert not can_infer(network, torch.float32)
