"""A change of weights is seen, however it was made."""

import pytest
import spacy
import torch
from torch import nn

from spacy_electra.layers.encoder_shim import EncoderShim
from spacy_electra.layers.weight_watch import WeightWatch
from spacy_electra.models import ElectraModel, PackedBatch
from spacy_electra.models.inference import can_infer
from spacy_electra.tokenization import ElectraTokenizer


def write(network):
    with torch.no_grad():
        network.encoder.layers[1].attention.norm.bias.add_(0.5)


def give_other_memory(network):
    weight = network.encoder.layers[0].feed_forward.up.weight
    weight.data = 1.5 * weight.data


def load(network):
    network.load_state_dict({k: 1.5 * w for k, w in network.state_dict().items()})


def replace_a_weight(network):
    norm = network.embeddings.norm
    norm.weight = nn.Parameter(norm.weight.detach() + 0.5)


def replace_a_module(network):
    feed_forward = network.encoder.layers[1].feed_forward
    feed_forward.down = nn.Linear(feed_forward.down.in_features, 32)


def take_away_a_layer(network):
    del network.encoder.layers[1]


CHANGES = [
    write,
    give_other_memory,
    load,
    replace_a_weight,
    replace_a_module,
    take_away_a_layer,
]


@pytest.mark.parametrize("change", CHANGES)
def test_each_kind_of_change_is_seen(small_config, change):
    network = ElectraModel(small_config)
    watch = WeightWatch(network)
    with torch.no_grad():
        network.eval().forward_packed(PackedBatch.from_sequences([torch.arange(9)]))
    assert watch.is_unchanged()
    change(network)
    assert not watch.is_unchanged()


@pytest.mark.parametrize("change", CHANGES)
def test_a_shim_computes_with_the_weights_that_there_are(small_config, change):
    network = ElectraModel(small_config)
    if not can_infer(network, torch.float32):
        pytest.skip("this build of torch has no oneDNN")
    shim = EncoderShim("fp32")
    shim.fill(network, small_config)
    before = states(shim)
    assert shim.ready(is_train=False)(lambda own: own)[0] is not network
    change(network)
    after = states(shim)
    assert_follows(network, before, after)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["network", "_model"])
def test_weights_are_watched_from_when_somebody_asks_for_them(
    small_config, change, name, monkeypatch
):
    if not can_infer(ElectraModel(small_config), torch.float32):
        pytest.skip("this build of torch has no oneDNN")
    shim = loaded_shim(small_config)
    looks = []
    look = WeightWatch.is_unchanged
    monkeypatch.setattr(
        WeightWatch, "is_unchanged", lambda watch: looks.append(watch) or look(watch)
    )
    before = states(shim)
    assert torch.equal(states(shim), before) and not looks
    network = getattr(shim, name)
    assert torch.equal(states(shim), before) and len(looks) == 1
    change(network)
    after = states(shim)
    assert_follows(network, before, after)


def states(shim):
    """What it infers for a short text."""
    run = shim.ready(is_train=False)
    batch = PackedBatch.from_sequences([torch.arange(9)])
    return run(lambda own: own.forward_packed(batch).last_hidden_state)[0]


def assert_follows(network, before, after):
    """Whether states are those of a network that has changed since."""
    with torch.no_grad():
        batch = PackedBatch.from_sequences([torch.arange(9)])
        expected = network.forward_packed(batch).last_hidden_state
    # Kernels differ by more where weights are larger, but by far less than a change.
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-4)
    assert (after - before).abs().max() > 1e-2


def loaded_shim(config):
    """One whose network nobody else holds."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [f"a{n}" for n in range(config.vocab_size - len(pieces))]
    tokenizer = ElectraTokenizer({piece: n for n, piece in enumerate(pieces)})
    saved = EncoderShim("fp32")
    saved.fill(ElectraModel(config), config, tokenizer)
    shim = EncoderShim("fp32")
    shim.from_bytes(saved.to_bytes())
    assert not shim.is_lent
    return shim


def test_a_pipeline_watches_no_weights_of_its_own():
    nlp = spacy.blank("en")
    encoder = nlp.add_pipe("electra", config={"model": {"name": "en_tiny"}})
    nlp.initialize()
    nlp("Texts of a pipeline.")
    copy = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    copy("Texts of a pipeline.")
    for pipe in (encoder, copy.get_pipe("electra")):
        assert not pipe.model.shim.is_lent
        assert pipe.model.transformer is not None
        assert pipe.model.shim.is_lent


def test_another_precision_is_another_encoder(small_config):
    network = ElectraModel(small_config)
    if not can_infer(network, torch.bfloat16):
        pytest.skip("this build of torch has no oneDNN")
    shim = EncoderShim("fp32")
    shim.fill(network, small_config)

    def dtype(precision):
        run = shim.ready(is_train=False, precision=precision)
        return run(lambda own: torch.zeros(1, dtype=own.dtype))[0].dtype

    asked = ["fp32", "bf16", "bf16", "fp32"]
    found = [dtype(precision) for precision in asked]
    half, single = torch.bfloat16, torch.float32
    assert found == [single, half, half, single]
