"""Our models against those of Transformers, in fp32, on random weights."""

from dataclasses import replace

import pytest
import torch
import transformers
from counterparts import assert_same, batch, pair

from spacy_electra.models import (
    ElectraForMaskedLM,
    ElectraForPreTraining,
    ElectraModel,
)

CONFIGS = {
    "small": {},
    "no projection": {"embedding_size": 32},
    "relu": {"hidden_act": "relu"},
    "gelu_new": {"hidden_act": "gelu_new"},
    "silu": {"hidden_act": "silu"},
    "one head": {"num_attention_heads": 1},
    "one layer": {"num_hidden_layers": 1},
    "relative_key": {"position_embedding_type": "relative_key"},
    "relative_key_query": {"position_embedding_type": "relative_key_query"},
    "four types": {"type_vocab_size": 4},
    "large epsilon": {"layer_norm_eps": 1e-3},
}
CLASSES = {
    ElectraModel: transformers.ElectraModel,
    ElectraForPreTraining: transformers.ElectraForPreTraining,
    ElectraForMaskedLM: transformers.ElectraForMaskedLM,
}


@pytest.fixture(params=CONFIGS)
def config(request, small_config):
    return replace(small_config, **CONFIGS[request.param])


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def ours_class(request):
    return request.param


@pytest.mark.parametrize("inputs", ["ids", "embeds"])
def test_outputs(ours_class, config, inputs):
    ours, theirs = pair(ours_class, config)
    kwargs = batch(config, inputs)
    mask = kwargs["attention_mask"]
    with torch.no_grad():
        mine, other = ours(**kwargs), theirs(**kwargs)
    assert_same(mine.to_tuple()[0], other[0], mask)


def test_defaults_of_mask_types_and_positions(ours_class, small_config):
    ours, theirs = pair(ours_class, small_config)
    ids = torch.randint(99, (2, 9))
    with torch.no_grad():
        assert_same(ours(ids).to_tuple()[0], theirs(ids)[0])


def test_every_layer_and_all_attentions(config):
    ours, theirs = pair(ElectraModel, config)
    kwargs = batch(config)
    mask = kwargs["attention_mask"]
    with torch.no_grad():
        mine = ours(**kwargs, output_attentions=True, output_hidden_states=True)
        other = theirs(**kwargs, output_attentions=True, output_hidden_states=True)
        fused = ours(**kwargs, output_hidden_states=True)
    assert len(mine.hidden_states) == len(other.hidden_states)
    for a, b, c in zip(
        mine.hidden_states, other.hidden_states, fused.hidden_states, strict=True
    ):
        assert_same(a, b, mask)
        assert_same(c, b, mask)
    for a, b in zip(mine.attentions, other.attentions, strict=True):
        # A row of padding attends to whatever the kernel likes.
        rows = mask.bool()[:, None, :, None].expand_as(b)
        assert_same(a[rows], b[rows])


def test_head_mask(small_config):
    ours, theirs = pair(ElectraModel, small_config)
    kwargs = batch(small_config)
    for head_mask in (torch.tensor([1.0, 0, 1, 0.5]), torch.rand(2, 4)):
        with torch.no_grad():
            assert_same(
                ours(**kwargs, head_mask=head_mask).last_hidden_state,
                theirs(**kwargs, head_mask=head_mask).last_hidden_state,
                kwargs["attention_mask"],
            )


def labels_for(ours_class, kwargs):
    mask = kwargs["attention_mask"]
    torch.manual_seed(2)
    if ours_class is ElectraForPreTraining:
        return torch.randint(2, mask.shape)
    labels = torch.randint(99, mask.shape)
    labels[torch.rand(mask.shape) < 0.6] = -100
    labels[mask == 0] = -100
    return labels


@pytest.mark.parametrize("name", list(CONFIGS))
@pytest.mark.parametrize("head_class", [ElectraForPreTraining, ElectraForMaskedLM])
def test_losses_and_gradients(head_class, name, small_config):
    config = replace(small_config, **CONFIGS[name])
    ours, theirs = pair(head_class, config)
    kwargs = batch(config)
    labels = labels_for(head_class, kwargs)
    mine = ours(**kwargs, labels=labels).loss
    other = theirs(**kwargs, labels=labels).loss
    assert_same(mine, other)
    mine.backward()
    other.backward()
    gradients = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    expected, _ = head_class.from_hugging_face(gradients)
    compared = 0
    for parameter_name, parameter in ours.named_parameters():
        if parameter_name in expected:
            torch.testing.assert_close(
                parameter.grad, expected[parameter_name], rtol=1e-4, atol=1e-4
            )
            compared += 1
    assert compared == len([name for name in expected if name != "head.decoder.weight"])


def test_masked_labels_of_padding_do_not_count(small_config):
    model = ElectraForMaskedLM(small_config).eval()
    kwargs = batch(small_config)
    labels = torch.randint(99, (3, 11))
    inside = labels.masked_fill(kwargs["attention_mask"] == 0, -100)
    with torch.no_grad():
        assert (
            model(**kwargs, labels=labels).loss == model(**kwargs, labels=inside).loss
        )


def test_causal_attention_equals_a_decoder_of_transformers(small_config):
    config = replace(small_config, is_decoder=True)
    ours, theirs = pair(ElectraModel, config)
    ids = torch.randint(99, (2, 9))
    with torch.no_grad():
        assert_same(
            ours(ids).last_hidden_state, theirs(ids, use_cache=False).last_hidden_state
        )


def test_bf16_is_near_fp32(small_config):
    ours, _ = pair(ElectraForPreTraining, replace(small_config, initializer_range=0.05))
    kwargs = batch(small_config)
    mask = kwargs["attention_mask"].bool()
    with torch.no_grad():
        exact = ours(**kwargs).logits[mask]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = ours(**kwargs).logits[mask]
    assert (rough - exact).norm() / exact.norm() < 2e-2


def test_input_errors(small_config):
    model = ElectraModel(small_config)
    ids = torch.randint(99, (1, 5))
    with pytest.raises(ValueError, match="both"):
        model(ids, inputs_embeds=torch.randn(1, 5, 16))
    with pytest.raises(ValueError, match="neither"):
        model()
    with pytest.raises(ValueError, match="max_position_embeddings=40"):
        model(torch.randint(99, (1, 41)))
