"""Heads pruned, vocabularies resized, memory saved: the network stays what it was."""

from dataclasses import replace

import pytest
import torch
import transformers
from counterparts import (
    assert_same,
    assert_same_gradients,
    batch,
    ids_for,
    pair,
    without_padding,
)
from test_packed import padded, sequences

from spacy_electra.models import (
    ElectraConfig,
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraModel,
    PackedBatch,
)
from spacy_electra.models.heads import HEADS
from spacy_electra.models.inference import InferenceEncoder, can_infer

PRUNED = {0: [1, 2], 1: [3]}
CLASSES = [ElectraModel, *HEADS.values()]


def names(cls):
    return cls.__name__


@pytest.mark.parametrize("cls", CLASSES, ids=names)
@pytest.mark.parametrize("positions", ["absolute", "relative_key_query"])
def test_pruned_network_equals_that_of_transformers(cls, positions, small_config):
    config = replace(small_config, position_embedding_type=positions)
    ours, theirs = pair(cls, config)
    ours.prune_heads(PRUNED)
    theirs.prune_heads(PRUNED)
    kwargs = batch(config, cls=cls)
    mask = kwargs["attention_mask"]
    mine, other = ours(**kwargs).to_tuple()[0], theirs(**kwargs)[0]
    assert_same(mine, other, mask)
    for scores in (mine, other):
        without_padding(scores, mask).square().mean().backward()
    assert_same_gradients(ours, theirs)


def test_pruning_equals_masking_heads(small_config):
    model, _ = pair(ElectraModel, small_config)
    kwargs = batch(small_config)
    head_mask = torch.tensor([[1.0, 0, 0, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        # Silenced after the softmax, so that nothing of these heads is left.
        expected = model(**kwargs, head_mask=head_mask).last_hidden_state
        model.prune_heads(PRUNED)
        found = model(**kwargs).last_hidden_state
        again = model(**kwargs, head_mask=head_mask).last_hidden_state
    assert_same(found, expected, kwargs["attention_mask"])
    assert_same(again, expected, kwargs["attention_mask"])


def test_pruning_twice_counts_from_the_whole_network(small_config):
    once, _ = pair(ElectraModel, small_config)
    twice, _ = pair(ElectraModel, small_config)
    once.prune_heads({0: [1, 2], 1: [3]})
    twice.prune_heads({0: [1]})
    twice.prune_heads({0: [2, 1], 1: [3]})
    assert once.config == twice.config
    assert twice.config.pruned_heads == PRUNED
    for a, b in zip(once.parameters(), twice.parameters(), strict=True):
        assert torch.equal(a, b)


def test_pruned_layers_pack_and_cache(small_config):
    config = replace(small_config, is_decoder=True)
    model, _ = pair(ElectraModel, config)
    model.prune_heads(PRUNED)
    parts = sequences([3, 9, 9, 5])
    ids, mask = padded(parts)
    with torch.no_grad():
        packed = model.forward_packed(PackedBatch.from_sequences(parts))
        output = model(ids, mask)
    assert_same(packed.last_hidden_state, output.last_hidden_state[mask.bool()])
    assert [layer.key.shape[1] for layer in output.past_key_values] == [2, 3]


@pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)
@pytest.mark.parametrize("lengths", [[3, 9, 9, 5], []])
def test_inference_with_layers_of_several_head_counts(small_config, lengths):
    model, _ = pair(ElectraModel, small_config)
    model.prune_heads(PRUNED)
    assert can_infer(model, torch.float32)
    packed = PackedBatch.from_sequences(sequences(lengths))
    with torch.no_grad():
        found = InferenceEncoder(model, torch.float32).forward_packed(packed)
        expected = model.forward_packed(packed)
    assert_same(found.last_hidden_state, expected.last_hidden_state)


@pytest.mark.parametrize("cls", CLASSES, ids=names)
def test_pruned_checkpoints_open_on_both_sides(cls, small_config, tmp_path):
    ours, theirs = pair(cls, small_config)
    ours.prune_heads(PRUNED)
    theirs.prune_heads(PRUNED)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    again, report = getattr(transformers, cls.__name__).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    opened = cls.from_pretrained(tmp_path / "theirs")
    assert opened.config.pruned_heads == PRUNED
    assert cls.from_pretrained(tmp_path / "ours").config.pruned_heads == PRUNED
    ids = ids_for(cls)
    with torch.no_grad():
        expected = ours(ids).to_tuple()[0]
        assert_same(again.eval()(ids)[0], expected)
        assert_same(opened(ids).to_tuple()[0], expected)


def test_fewer_layers_forget_what_was_pruned_of_the_rest(small_config, tmp_path):
    model = ElectraModel(small_config)
    model.prune_heads(PRUNED)
    model.save_pretrained(tmp_path)
    opened = ElectraModel.from_pretrained_with_report(tmp_path, num_hidden_layers=1)[0]
    assert opened.config.pruned_heads == {0: [1, 2]}
    assert small_config.generator().pruned_heads == {}
    assert model.config.generator().pruned_heads == {}


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({2: [0]}, "SE015.*Layer 2.*2 layers of 4 heads"),
        ({0: [0], 1: [4]}, r"SE015.*Layer 1 .*\[4\]"),
        ({0: [-1]}, r"SE015.*\[-1\]"),
        ({0: [0], 1: [0, 1, 2, 3]}, "SE016.*Layer 1"),
    ],
)
def test_what_can_not_be_pruned_is_refused_and_nothing_changes(
    small_config, heads, message
):
    model = ElectraModel(small_config)
    with pytest.raises(ValueError, match=message):
        model.prune_heads(heads)
    assert model.config == small_config
    assert model.encoder.layers[0].attention.heads == 4


@pytest.mark.parametrize("value", [[1, 2], {"a": [1]}, {0: 1}])
def test_config_says_what_pruned_heads_are(value):
    with pytest.raises(ValueError, match="SE014"):
        ElectraConfig(pruned_heads=value)


@pytest.mark.parametrize("cls", CLASSES, ids=names)
@pytest.mark.parametrize("size", [60, 99, 130])
def test_resized_vocabulary_keeps_the_old_rows(cls, size, small_config, tmp_path):
    model = cls(small_config).eval()
    old = model.get_input_embeddings().weight.detach().clone()
    ids = ids_for(cls, 60)
    with torch.no_grad():
        before = model(ids).to_tuple()[0]
        embeddings = model.resize_token_embeddings(size)
        after = model(ids).to_tuple()[0]
    kept = min(size, 99)
    assert embeddings is model.get_input_embeddings()
    assert embeddings.weight.shape == (size, 16)
    assert torch.equal(embeddings.weight[:kept], old[:kept])
    assert model.config.vocab_size == model.base_model.config.vocab_size == size
    decoder = model.get_output_embeddings()
    if decoder is None:
        assert_same(after, before)
    else:
        assert after.shape == (2, 9, size)
        assert_same(after[..., :kept], before[..., :kept])
        assert decoder.weight is embeddings.weight
    model.save_pretrained(tmp_path)
    theirs = getattr(transformers, cls.__name__).from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert_same(theirs(ids)[0], after)


def test_new_rows_lie_around_the_mean_of_the_old(small_config):
    model = ElectraForMaskedLM(replace(small_config, initializer_range=0.01))
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(mean=3.0)
        model.head.decoder.bias.fill_(-7.0)
    model.resize_token_embeddings(1099)
    words, bias = model.get_input_embeddings().weight[99:], model.head.decoder.bias[99:]
    assert words.mean().item() == pytest.approx(3.0, abs=0.1)
    assert words.std(0).mean().item() == pytest.approx(0.01, abs=0.001)
    assert bias.mean().item() == pytest.approx(-7.0, abs=0.01)
    # They train.
    loss = model(torch.tensor([[1, 1090]]), labels=torch.tensor([[1090, -100]])).loss
    loss.backward()
    assert model.get_input_embeddings().weight.grad[1090].any()
    assert model.head.decoder.bias.grad[1090]


def test_untied_output_is_resized_too(small_config):
    config = replace(small_config, extra={"tie_word_embeddings": False})
    model = ElectraForMaskedLM(config)
    old = model.head.decoder.weight.detach().clone()
    model.resize_token_embeddings(120)
    assert model.head.decoder.weight.shape == (120, 16)
    assert torch.equal(model.head.decoder.weight[:99], old)
    assert model.head.decoder.weight is not model.get_input_embeddings().weight


@pytest.mark.parametrize("size", [50, 130])
@pytest.mark.parametrize("generator_first", [False, True])
def test_a_pair_that_shares_embeddings_is_resized_together(
    small_config, size, generator_first
):
    discriminator = ElectraForPreTraining(small_config).eval()
    generator = ElectraForMaskedLM(small_config.generator(0.5)).eval()
    generator.share_embeddings(discriminator.electra)
    networks = [discriminator, generator]
    for network in reversed(networks) if generator_first else networks:
        network.resize_token_embeddings(size)
    words = discriminator.get_input_embeddings().weight
    assert generator.get_input_embeddings().weight is words
    assert generator.head.decoder.weight is words
    assert generator.config.vocab_size == discriminator.config.vocab_size == size
    ids = torch.tensor([[1, size - 1]])
    assert generator(ids).logits.shape == (1, 2, size)
    assert discriminator(ids).logits.shape == (1, 2)


@pytest.mark.parametrize("size", [0, -3, 1.5])
def test_a_vocabulary_of_no_size_is_refused_and_nothing_changes(small_config, size):
    model = ElectraForMaskedLM(small_config)
    with pytest.raises(ValueError, match="vocab_size"):
        model.resize_token_embeddings(size)
    assert model.get_input_embeddings().weight.shape == (99, 16)
    padded_last = ElectraModel(replace(small_config, pad_token_id=98))
    with pytest.raises(ValueError, match="pad_token_id"):
        padded_last.resize_token_embeddings(98)


def test_other_embeddings_are_tied_and_set_the_vocabulary(small_config):
    model = ElectraForMaskedLM(small_config)
    embeddings = torch.nn.Embedding(120, 16)
    model.set_input_embeddings(embeddings)
    assert model.get_input_embeddings() is embeddings
    assert model.head.decoder.weight is embeddings.weight
    assert model.head.decoder.bias.shape == (120,)
    assert model.config.vocab_size == model.electra.config.vocab_size == 120
    with pytest.raises(ValueError, match=r"SE017.*17 wide.*16 wide"):
        model.set_input_embeddings(torch.nn.Embedding(120, 17))
    assert model.get_input_embeddings() is embeddings


@pytest.mark.parametrize("cls", CLASSES, ids=names)
def test_gradient_checkpointing_changes_no_gradient(cls, small_config):
    model = cls(small_config).train()
    kwargs = batch(small_config, cls=cls)
    calls = []
    layer = model.base_model.encoder.layers[0]
    layer.register_forward_pre_hook(lambda *_: calls.append(1))
    found = []
    for enable in (False, True):
        if enable:
            model.gradient_checkpointing_enable()
        model.zero_grad()
        # The summary of multiple choice drops some.
        torch.manual_seed(0)
        model(**kwargs).to_tuple()[0].square().sum().backward()
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(found[0], found[1])
    # Once without, then once forward and once more on the way back.
    assert len(calls) == 3
    model.gradient_checkpointing_disable()
    model(**kwargs).to_tuple()[0].square().sum().backward()
    assert len(calls) == 4
