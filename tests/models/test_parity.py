"""Our models against those of Transformers, in fp32, on random weights."""

from dataclasses import replace

import pytest
import torch
from counterparts import assert_same, assert_same_gradients, batch, labels_for, pair

from spacy_electra.models import (
    ElectraForMultipleChoice,
    ElectraForPreTraining,
    ElectraForQuestionAnswering,
    ElectraModel,
)
from spacy_electra.models.heads import HEADS

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
CLASSES = [ElectraModel, *HEADS.values()]
# What a head has to do with; the rest is the encoder's business.
OF_HEADS = ["small", "no projection", "relu", "relative_key_query"]


def name_of(cls):
    return cls.__name__


@pytest.fixture(params=CLASSES, ids=name_of)
def ours_class(request):
    return request.param


CASES = [(ElectraModel, name) for name in CONFIGS]
CASES += [(cls, name) for cls in HEADS.values() for name in OF_HEADS]
LOSSES = [(cls, padded) for cls in HEADS.values() for padded in (False, True)]
# There padding has some probability in Transformers, and none here.
LOSSES.remove((ElectraForQuestionAnswering, True))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0].__name__}, {case[1]}")
def case(request, small_config):
    ours_class, name = request.param
    return ours_class, replace(small_config, **CONFIGS[name])


@pytest.mark.parametrize("inputs", ["ids", "embeds"])
def test_outputs(case, inputs):
    ours_class, config = case
    ours, theirs = pair(ours_class, config)
    kwargs = batch(config, inputs, ours_class)
    with torch.no_grad():
        mine, other = ours(**kwargs).to_tuple(), theirs(**kwargs).to_tuple()
    assert len(other) == (2 if ours_class is ElectraForQuestionAnswering else 1)
    for a, b in zip(mine, other, strict=False):
        assert_same(a, b, kwargs["attention_mask"])


def test_defaults_of_mask_types_and_positions(ours_class, small_config):
    ours, theirs = pair(ours_class, small_config)
    ids = torch.randint(99, (2, 9))
    if ours_class is ElectraForMultipleChoice:
        ids = ids[None]
    with torch.no_grad():
        assert_same(ours(ids).to_tuple()[0], theirs(ids)[0])


def test_order_of_arguments(ours_class, small_config):
    ours, theirs = pair(ours_class, small_config)
    kwargs = batch(small_config, cls=ours_class)
    names = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
    given = [kwargs[name] for name in names]
    head_mask = torch.rand(2, 4)
    with torch.no_grad():
        found = ours(*given, head_mask).to_tuple()[0]
        assert_same(found, theirs(*given, head_mask)[0], kwargs["attention_mask"])


def test_every_layer_and_all_attentions(case):
    ours_class, config = case
    ours, theirs = pair(ours_class, config)
    kwargs = batch(config, cls=ours_class)
    mask = kwargs["attention_mask"].view(3, 11)
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


def test_head_mask(ours_class, small_config):
    ours, theirs = pair(ours_class, small_config)
    kwargs = batch(small_config, cls=ours_class)
    for head_mask in (torch.tensor([1.0, 0, 1, 0.5]), torch.rand(2, 4)):
        with torch.no_grad():
            assert_same(
                ours(**kwargs, head_mask=head_mask).to_tuple()[0],
                theirs(**kwargs, head_mask=head_mask)[0],
                kwargs["attention_mask"],
            )


@pytest.mark.parametrize("name", OF_HEADS)
@pytest.mark.parametrize(("head_class", "padded"), LOSSES)
def test_losses_and_gradients(head_class, padded, name, small_config):
    config = replace(small_config, **CONFIGS[name])
    ours, theirs = pair(head_class, config)
    kwargs = batch(config, cls=head_class)
    if not padded:
        kwargs["attention_mask"] = torch.ones_like(kwargs["attention_mask"])
    labels = labels_for(head_class, config, kwargs)
    mine = ours(**kwargs, **labels)
    other = theirs(**kwargs, **labels)
    assert_same(mine.loss, other.loss)
    mine.loss.backward()
    other.loss.backward()
    assert_same_gradients(ours, theirs)


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
