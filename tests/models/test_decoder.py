"""Decoders: causal masks, cross-attention, and the cache of keys and values."""

from dataclasses import replace

import pytest
import torch
import transformers
from counterparts import assert_same, assert_same_gradients, batch, pair

from spacy_electra.models import ElectraModel

POSITIONS = ["absolute", "relative_key", "relative_key_query"]
# Ways to feed 11 pieces.
SPLITS = [(11,), (1,) * 11, (10, 1), (1, 10), (4, 3, 4), (2, 1, 5, 3)]


@pytest.fixture(params=POSITIONS)
def config(request, small_config):
    return replace(small_config, is_decoder=True, position_embedding_type=request.param)


@pytest.fixture
def crossing(config):
    return replace(config, add_cross_attention=True)


def memory(config, length=6):
    """States of another encoder, those of two sequences padded."""
    torch.manual_seed(3)
    mask = torch.ones(3, length, dtype=torch.long)
    mask[1, 4:] = 0
    mask[2, 1:] = 0
    return {
        "encoder_hidden_states": torch.randn(3, length, config.hidden_size),
        "encoder_attention_mask": mask,
    }


def left_padded(kwargs):
    """The same batch with the padding in front."""
    return {
        name: part.flip(1) if part.shape[:2] == (3, 11) else part
        for name, part in kwargs.items()
    }


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("use_cache", [False, True])
def test_states_equal_those_of_transformers(config, side, use_cache):
    ours, theirs = pair(ElectraModel, config)
    kwargs = batch(config) if side == "right" else left_padded(batch(config))
    with torch.no_grad():
        mine = ours(**kwargs, use_cache=use_cache)
        other = theirs(**kwargs, use_cache=use_cache)
    assert_same(
        mine.last_hidden_state, other.last_hidden_state, kwargs["attention_mask"]
    )
    assert (mine.past_key_values is not None) == use_cache


def test_cached_keys_and_values_equal_those_of_transformers(crossing):
    ours, theirs = pair(ElectraModel, crossing)
    kwargs = {**batch(crossing), **memory(crossing)}
    with torch.no_grad():
        mine = ours(**kwargs, use_cache=True).past_key_values
        other = theirs(**kwargs, use_cache=True).past_key_values
    mask = kwargs["attention_mask"].bool()
    for our_layer, their_layer in zip(mine, other, strict=True):
        for a, b in zip(our_layer[:2], their_layer[:2], strict=True):
            assert_same(a.transpose(1, 2)[mask], b.transpose(1, 2)[mask])
        for a, b in zip(our_layer[2:], their_layer[2:], strict=True):
            assert_same(a, b)


def test_every_layer_and_all_attentions(crossing):
    ours, theirs = pair(ElectraModel, crossing)
    kwargs = {**batch(crossing), **memory(crossing)}
    wanted = {"output_attentions": True, "output_hidden_states": True}
    with torch.no_grad():
        mine, other = ours(**kwargs, **wanted), theirs(**kwargs, **wanted)
        fused = ours(**kwargs, output_hidden_states=True)
    mask = kwargs["attention_mask"]
    for a, b, c in zip(
        mine.hidden_states, other.hidden_states, fused.hidden_states, strict=True
    ):
        assert_same(a, b, mask)
        assert_same(c, b, mask)
    for name in ("attentions", "cross_attentions"):
        for a, b in zip(getattr(mine, name), getattr(other, name), strict=True):
            rows = mask.bool()[:, None, :, None].expand_as(b)
            assert_same(a[rows], b[rows])
    assert fused.attentions is None and fused.cross_attentions is None


@pytest.mark.parametrize("eager", [False, True])
def test_gradients_through_cross_attention(crossing, eager):
    ours, theirs = pair(ElectraModel, crossing)
    kwargs = {**batch(crossing), **memory(crossing)}
    mask = kwargs["attention_mask"].bool()
    states = []
    for model in (ours, theirs):
        states.append(kwargs["encoder_hidden_states"].clone().requires_grad_())
        given = {**kwargs, "encoder_hidden_states": states[-1]}
        output = model(**given, use_cache=False, output_attentions=eager)
        output.last_hidden_state[mask].square().sum().backward()
    assert_same_gradients(ours, theirs)
    torch.testing.assert_close(states[0].grad, states[1].grad, rtol=1e-4, atol=1e-4)


def test_head_mask(crossing):
    ours, theirs = pair(ElectraModel, crossing)
    kwargs = {**batch(crossing), **memory(crossing), "head_mask": torch.rand(2, 4)}
    with torch.no_grad():
        assert_same(
            ours(**kwargs).last_hidden_state,
            theirs(**kwargs).last_hidden_state,
            kwargs["attention_mask"],
        )


def in_parts(model, kwargs, split, **more):
    """What the calls give that read a batch in parts, joined, and the last cache."""
    states, past, start = [], None, 0
    for length in split:
        rows = slice(start, start + length)
        given = {
            name: part[:, rows] if name in ("input_ids", "token_type_ids") else part
            for name, part in kwargs.items()
        }
        given["attention_mask"] = kwargs["attention_mask"][:, : start + length]
        output = model(**given, past_key_values=past, use_cache=True, **more)
        states.append(output.last_hidden_state)
        past, start = output.past_key_values, start + length
    return torch.cat(states, dim=1), past


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_any_split_gives_what_one_uncached_call_gives(crossing, split, cross, side):
    model, _ = pair(ElectraModel, crossing)
    kwargs = batch(crossing) if side == "right" else left_padded(batch(crossing))
    # From 0 up, going on after the cache by themselves.
    kwargs.pop("position_ids", None)
    if cross:
        kwargs.update(memory(crossing))
    with torch.no_grad():
        expected = model(**kwargs, use_cache=False).last_hidden_state
        for eager in (False, True):
            found, past = in_parts(model, kwargs, split, output_attentions=eager)
            assert_same(found, expected, kwargs["attention_mask"])
    assert past[0].key.shape == (3, 4, 11, 8)
    assert (past[0].cross_key is not None) == cross


def test_piece_by_piece_equals_transformers(crossing):
    ours, theirs = pair(ElectraModel, crossing)
    kwargs = {**batch(crossing), **memory(crossing)}
    kwargs.pop("position_ids", None)
    with torch.no_grad():
        found, _ = in_parts(ours, kwargs, (5, *(1,) * 6))
        expected, _ = in_parts(theirs, kwargs, (5, *(1,) * 6))
    assert_same(found, expected, kwargs["attention_mask"])


def test_cache_of_transformers_is_taken(config):
    ours, theirs = pair(ElectraModel, config)
    ids = torch.randint(99, (2, 9))
    with torch.no_grad():
        past = theirs(ids[:, :8], use_cache=True).past_key_values
        found = ours(ids[:, 8:], past_key_values=past).last_hidden_state
        assert_same(found, ours(ids).last_hidden_state[:, 8:])


def test_cached_states_of_the_other_encoder_are_not_read_again(crossing):
    model, _ = pair(ElectraModel, crossing)
    states = torch.randn(2, 5, 32)
    ids = torch.randint(99, (2, 9))
    with torch.no_grad():
        whole = model(ids, encoder_hidden_states=states).last_hidden_state
        past = model(ids[:, :4], encoder_hidden_states=states).past_key_values
        for later in (None, torch.full_like(states, torch.nan)):
            rest = model(ids[:, 4:], encoder_hidden_states=later, past_key_values=past)
            assert_same(rest.last_hidden_state, whole[:, 4:])


def test_mask_for_each_pair_covers_cached_pieces(config):
    model, _ = pair(ElectraModel, config)
    ids = torch.randint(99, (2, 9))
    pairs = torch.rand(2, 9, 9) < 0.6
    pairs |= torch.eye(9, dtype=torch.bool)
    with torch.no_grad():
        expected = model(ids, pairs, use_cache=False).last_hidden_state
        first = model(ids[:, :4], pairs[:, :4, :4])
        rest = model(ids[:, 4:], pairs[:, 4:], past_key_values=first.past_key_values)
    assert_same(first.last_hidden_state, expected[:, :4])
    assert_same(rest.last_hidden_state, expected[:, 4:])


def test_config_says_whether_to_cache_and_training_does_not(config):
    ids = torch.randint(99, (1, 5))
    model = ElectraModel(config).eval()
    assert model(ids).past_key_values is not None
    assert model(ids, use_cache=False).past_key_values is None
    assert model.train()(ids).past_key_values is None
    silent = ElectraModel(replace(config, use_cache=False)).eval()
    assert silent(ids).past_key_values is None
    assert ElectraModel(replace(config, is_decoder=False))(ids).past_key_values is None


def test_dropout_of_cross_attention_while_training(crossing):
    config = replace(crossing, attention_probs_dropout_prob=0.5)
    model = ElectraModel(config).train()
    kwargs = {**batch(config), **memory(config)}
    torch.manual_seed(0)
    one = model(**kwargs).last_hidden_state
    assert not torch.equal(one, model(**kwargs).last_hidden_state)
    torch.manual_seed(0)
    torch.testing.assert_close(model(**kwargs).last_hidden_state, one)


@pytest.mark.parametrize("cross", [False, True])
def test_gradient_checkpointing_changes_no_gradient(crossing, cross):
    model = ElectraModel(crossing).train()
    kwargs = {**batch(crossing), **(memory(crossing) if cross else {})}
    found = []
    for change in (
        model.gradient_checkpointing_disable,
        model.gradient_checkpointing_enable,
    ):
        change()
        model.zero_grad()
        model(**kwargs).last_hidden_state.square().sum().backward()
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(found[0], found[1])
    assert len(found[0]) > 20


@pytest.mark.parametrize("use_cache", [False, True])
def test_a_row_that_sees_nothing_is_no_nan_in_bf16(config, use_cache):
    model = ElectraModel(config).eval()
    mask = torch.ones(2, 5, 5)
    mask[0, 2] = 0
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(torch.randint(99, (2, 5)), mask, use_cache=use_cache)
    assert output.last_hidden_state.isfinite().all()


def test_cache_of_another_precision_is_taken(config):
    model, _ = pair(ElectraModel, config)
    ids = torch.randint(99, (2, 9))
    with torch.no_grad():
        past = model(ids[:, :5]).past_key_values
        whole = model(ids).last_hidden_state[:, 5:]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(ids[:, 5:], past_key_values=past).last_hidden_state
    assert (found - whole).norm() / whole.norm() < 5e-2


def test_checkpoints_with_cross_attention_open_on_both_sides(small_config, tmp_path):
    config = replace(small_config, is_decoder=True, add_cross_attention=True)
    ours, theirs = pair(ElectraModel, config)
    kwargs = {**batch(config), **memory(config)}
    mask = kwargs["attention_mask"]
    with torch.no_grad():
        expected = ours(**kwargs).last_hidden_state
    ours.save_pretrained(tmp_path / "ours")
    again, report = transformers.ElectraModel.from_pretrained(
        tmp_path / "ours", output_loading_info=True, attn_implementation="eager"
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    theirs.save_pretrained(tmp_path / "theirs")
    opened = ElectraModel.from_pretrained(tmp_path / "theirs")
    with torch.no_grad():
        for model in (again.eval(), opened):
            assert_same(model(**kwargs).last_hidden_state, expected, mask)


def test_an_encoder_opens_as_a_decoder_whose_cross_attention_is_new(
    small_config, tmp_path
):
    ElectraModel(small_config).save_pretrained(tmp_path)
    model, report = ElectraModel.from_pretrained_with_report(
        tmp_path, is_decoder=True, add_cross_attention=True
    )
    assert report.newly_initialized == tuple(
        sorted(n for n in model.state_dict() if ".cross_attention." in n)
    )
    assert len(report.newly_initialized) == 12


def test_what_only_a_decoder_can_do_is_refused(small_config):
    encoder = ElectraModel(small_config).eval()
    decoder = ElectraModel(replace(small_config, is_decoder=True)).eval()
    ids = torch.randint(99, (2, 5))
    past = decoder(ids).past_key_values
    for name, value in (
        ("use_cache", True),
        ("past_key_values", past),
        ("encoder_hidden_states", torch.randn(2, 5, 32)),
    ):
        with pytest.raises(ValueError, match=rf"SE011.*{name} needs .*is_decoder=True"):
            encoder(ids, **{name: value})
    with pytest.raises(ValueError, match="add_cross_attention=True"):
        decoder(ids, encoder_hidden_states=torch.randn(2, 5, 32))
    with pytest.raises(ValueError, match="SE010"):
        ElectraModel(replace(small_config, add_cross_attention=True))


def test_masks_and_caches_that_do_not_fit_are_refused(small_config):
    config = replace(small_config, is_decoder=True, add_cross_attention=True)
    model = ElectraModel(config).eval()
    ids, states = torch.randint(99, (2, 5)), torch.randn(2, 7, 32)
    past = model(ids, encoder_hidden_states=states).past_key_values
    with pytest.raises(ValueError, match=r"attention_mask .*\[2, 10\].*\(2, 5\)"):
        model(ids, torch.ones(2, 5), past_key_values=past)
    for cached in (None, past):
        with pytest.raises(ValueError, match=r"encoder_attention_mask .*\[2, 7\]"):
            model(
                ids,
                encoder_hidden_states=states,
                encoder_attention_mask=torch.ones(2, 5),
                past_key_values=cached,
            )
    with pytest.raises(ValueError, match="1 layers of 2 sequences"):
        model(ids, past_key_values=past[:1])
    with pytest.raises(ValueError, match="batch 1 sequences"):
        model(ids[:1], past_key_values=past)
    long = torch.randint(99, (2, 36))
    with pytest.raises(ValueError, match="41 pieces"):
        model(long, past_key_values=past)
