"""Writing on from prompts: as Transformers does, and without a cache."""

from dataclasses import replace

import pytest
import torch
from counterparts import assert_same, pair
from transformers.generation import logits_process

from spacy_electra.models import ElectraForCausalLM
from spacy_electra.models.generation import narrow


@pytest.fixture
def models(small_config):
    return pair(ElectraForCausalLM, small_config)


def prompts(lengths, side="left"):
    """Prompts of several lengths, padded, and their mask."""
    torch.manual_seed(5)
    longest = max(lengths)
    ids = torch.randint(5, 99, (len(lengths), longest))
    places = torch.arange(longest)
    counts = torch.tensor(lengths)[:, None]
    mask = places >= longest - counts if side == "left" else places < counts
    return ids * mask, mask.long()


def written_without_cache(model, ids, count):
    """Greedy, reading the whole text again for each piece."""
    for _ in range(count):
        logits = model(ids, use_cache=False).logits[:, -1]
        ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
    return ids


@pytest.mark.parametrize(
    "positions", ["absolute", "relative_key", "relative_key_query"]
)
@pytest.mark.parametrize("lengths", [[6], [6, 6, 6], [3, 6, 1]])
def test_greedy_equals_transformers(small_config, positions, lengths):
    config = replace(small_config, position_embedding_type=positions)
    ours, theirs = pair(ElectraForCausalLM, config)
    ids, mask = prompts(lengths)
    expected = theirs.generate(
        ids, attention_mask=mask, max_new_tokens=15, do_sample=False, pad_token_id=0
    )
    found = ours.generate(ids, mask, max_new_tokens=15)
    assert torch.equal(found, expected)
    # Padding pieces say it too.
    assert torch.equal(ours.generate(ids, max_new_tokens=15), expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_writes_what_each_prompt_writes_alone(models, side):
    model, _ = models
    lengths = [3, 6, 1, 5]
    ids, mask = prompts(lengths, side)
    found = model.generate(ids, mask, max_new_tokens=12)
    assert torch.equal(found[:, :6], ids)
    for row, length in enumerate(lengths):
        prompt = ids[row][mask[row].bool()][None]
        alone = model.generate(prompt, max_new_tokens=12)
        assert torch.equal(alone[0, length:], found[row, 6:])
        with torch.no_grad():
            assert torch.equal(alone, written_without_cache(model, prompt, 12))


@pytest.mark.parametrize("several", [False, True])
def test_an_end_ends_as_in_transformers(models, several):
    ours, theirs = models
    ids, mask = prompts([3, 6, 1])
    free = ours.generate(ids, mask, max_new_tokens=15)
    # Pieces that come up somewhere in the middle of one text or another.
    ends = [int(free[0, 9]), int(free[2, 12])] if several else int(free[1, 10])
    expected = theirs.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=15,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=ends,
    )
    found = ours.generate(ids, mask, max_new_tokens=15, eos_token_id=ends)
    assert torch.equal(found, expected)
    assert not torch.equal(found, free)


def test_the_config_may_name_the_end(small_config):
    torch.manual_seed(0)
    model = ElectraForCausalLM(small_config).eval()
    ids, _ = prompts([4])
    free = model.generate(ids, max_new_tokens=8)
    end = int(free[0, 4])
    ending = ElectraForCausalLM(replace(small_config, extra={"eos_token_id": end}))
    ending.load_state_dict(model.state_dict())
    assert ending.eval().generate(ids, max_new_tokens=8).shape == (1, 5)


def test_runs_of_pieces_stop(models):
    model, _ = models
    ids, mask = prompts([3, 6, 1])
    free = model.generate(ids, mask, max_new_tokens=15)
    run = free[1, 9:12].tolist()
    found = model.generate(ids, mask, max_new_tokens=15, stop=[[98, 98, 98], run])
    for row in range(3):
        written = free[row, 6:].tolist()
        ends = [n + 3 for n in range(13) if written[n : n + 3] in (run, [98, 98, 98])]
        length = ends[0] if ends else 15
        kept = found[row, 6:].tolist()
        assert kept[:length] == written[:length]
        assert not any(kept[length:])
    assert found[1, 12:].tolist() in ([], [0] * (found.shape[1] - 12))


def test_nothing_is_written_after_all_have_ended(models):
    model, _ = models
    ids, _ = prompts([4, 4])
    free = model.generate(ids, max_new_tokens=10)
    ends = [int(free[0, 6]), int(free[1, 5])]
    found = model.generate(ids, max_new_tokens=10, eos_token_id=ends, pad_token_id=7)
    longest = max(
        next((n + 1 for n, piece in enumerate(row[4:].tolist()) if piece in ends), 10)
        for row in free
    )
    assert found.shape == (2, 4 + longest)


def test_draws_follow_the_seed(models):
    model, _ = models
    ids, mask = prompts([3, 6, 1])

    def drawn(seed, **options):
        options = {"max_new_tokens": 15, "do_sample": True, "seed": seed, **options}
        return model.generate(ids, mask, **options)

    # Hot, so that the small model is not sure of anything.
    assert torch.equal(drawn(1, temperature=20.0), drawn(1, temperature=20.0))
    assert not torch.equal(drawn(1, temperature=20.0), drawn(2, temperature=20.0))
    state = torch.random.get_rng_state()
    drawn(1)
    assert torch.equal(torch.random.get_rng_state(), state)
    drawn(None)
    assert not torch.equal(torch.random.get_rng_state(), state)


def test_a_draw_from_one_piece_is_greedy(models):
    model, _ = models
    ids, mask = prompts([3, 6, 1])
    greedy = model.generate(ids, mask)
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        assert torch.equal(model.generate(ids, mask, do_sample=True, **options), greedy)


def test_draws_have_the_models_probabilities(models):
    model, _ = models
    ids, _ = prompts([4])
    with torch.no_grad():
        logits = model(ids).logits[:, -1] / 5
    expected = logits.softmax(-1)[0]
    drawn = model.generate(
        ids.expand(20000, 4),
        max_new_tokens=1,
        do_sample=True,
        temperature=5.0,
        pad_token_id=98,
        seed=0,
    )[:, 4]
    found = torch.bincount(drawn, minlength=99) / 20000
    # Four standard deviations of each share.
    assert ((found - expected).abs() < 4 * (expected / 20000).sqrt() + 1e-4).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 1, 7, 500])
@pytest.mark.parametrize("top_p", [0.2, 0.9, 1.0])
def test_pieces_to_draw_from_are_those_of_transformers(temperature, top_k, top_p):
    torch.manual_seed(0)
    logits = torch.randn(4, 99) * 3
    expected = logits / temperature
    if top_k is not None:
        expected = logits_process.TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1.0:
        expected = logits_process.TopPLogitsWarper(top_p)(None, expected)
    assert_same(narrow(logits, temperature, top_k, top_p), expected)


def test_another_encoder_is_read_once(small_config):
    config = replace(small_config, is_decoder=True, add_cross_attention=True)
    model, _ = pair(ElectraForCausalLM, config)
    ids, mask = prompts([3, 6, 1])
    states = torch.randn(3, 5, 32)
    seen = torch.ones(3, 5)
    seen[1, 2:] = 0
    reads = []
    cross = model.electra.encoder.layers[0].cross_attention
    counted = cross.keys_and_values
    cross.keys_and_values = lambda given: reads.append(1) or counted(given)
    free = model.generate(
        ids,
        mask,
        max_new_tokens=12,
        encoder_hidden_states=states,
        encoder_attention_mask=seen,
    )
    assert len(reads) == 1
    # One that ends leaves the states of the others where they belong.
    end = int(free[0, 8])
    ended = model.generate(
        ids,
        mask,
        max_new_tokens=12,
        eos_token_id=end,
        encoder_hidden_states=states,
        encoder_attention_mask=seen,
    )
    for row, length in enumerate([3, 6, 1]):
        prompt = ids[row : row + 1, 6 - length :]
        given = {
            "encoder_hidden_states": states[row : row + 1],
            "encoder_attention_mask": seen[row : row + 1],
        }
        alone = model.generate(prompt, max_new_tokens=12, **given)
        assert torch.equal(alone[0, length:], free[row, 6:])
        alone = model.generate(prompt, max_new_tokens=12, eos_token_id=end, **given)
        new = alone[0, length:]
        assert torch.equal(ended[row, 6 : 6 + len(new)], new)


def test_the_longest_text_fits_and_a_longer_one_is_refused(models):
    model, _ = models
    ids, _ = prompts([6])
    # 40 positions; the last piece is written but not read.
    assert model.generate(ids, max_new_tokens=35).shape == (1, 41)
    with pytest.raises(ValueError, match=r"SE004.*41 pieces"):
        model.generate(ids, max_new_tokens=36)


def test_padding_takes_no_positions(models):
    model, _ = models
    ids, _ = prompts([6])
    wide = torch.cat([torch.zeros(1, 60, dtype=torch.long), ids], dim=1)
    found = model.generate(wide, max_new_tokens=35)
    assert torch.equal(found[:, 66:], model.generate(ids, max_new_tokens=35)[:, 6:])


def test_bad_options_are_named(models):
    model, _ = models
    ids, _ = prompts([3])
    for name, value in (
        ("max_new_tokens", 0),
        ("temperature", 0.0),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("stop", [[]]),
    ):
        with pytest.raises(ValueError, match=f"SE003.*{name}"):
            model.generate(ids, **{name: value})
    with pytest.raises(ValueError, match="SE012"):
        model.generate(ids, torch.ones(1, 5))
    for empty in (torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 0).long()):
        with pytest.raises(ValueError, match=r"SE020.*\[0, 0\]"):
            model.generate(empty)
