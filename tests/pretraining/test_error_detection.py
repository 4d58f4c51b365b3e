import pytest
import torch

from spacy_electra.models import PackedBatch
from spacy_electra.pretraining.building import build_objective
from spacy_electra.pretraining.corpus.shards import Shards
from spacy_electra.pretraining.error_detection import ErrorDetection, joined
from spacy_electra.pretraining.pairs import open_pair
from spacy_electra.pretraining.run.trainer import Trainer
from spacy_electra.pretraining.samplers import GeneratorSampler

ERRORS = {"word": 1.0, "function": 1.0, "omission": 0.5, "doubling": 0.5, "typo": 1.0}
ERRORS |= {"insertion": 0.5, "order": 0.5}


def settings_with(settings_for, dropout=0.0, objective=None, **sections):
    model = {"generator_fraction": 1.0, "init": "usual"}
    return settings_for(
        dropout=dropout,
        **{
            "model": model,
            "objective": {"name": "errors", "mask_whole_words": True}
            | (objective or {}),
            "sampler": {"errors": ERRORS},
            **sections,
        },
    )


@pytest.fixture(scope="module")
def objective(settings_for_module):
    settings = settings_with(settings_for_module)
    torch.manual_seed(0)
    return build_objective(settings, Shards.open(settings.data.shards))


def test_joined_batches_are_sorted_and_their_rows_are_known():
    one = PackedBatch.from_sequences([torch.arange(n) + 10 * n for n in (5, 2)])
    other = PackedBatch.from_sequences([torch.arange(n) + 10 * n for n in (3, 2, 6)])
    both, order = joined([one, other])
    assert list(both.lengths) == [2, 2, 3, 5, 6]
    assert torch.equal(
        both.input_ids, torch.cat([one.input_ids, other.input_ids])[order]
    )
    assert both.position_ids.tolist() == [i for n in both.lengths for i in range(n)]
    assert sorted(order.tolist()) == list(range(18))


def batch_from(shards, number=12):
    texts = [text for text in shards.held_out][:number]
    return PackedBatch.from_sequences(
        [torch.from_numpy(shards.tokenizer(text).ids[:40]) for text in texts]
    )


def parts_of(objective, batch, seed):
    """The sequences to mask, with the masks, and the others with errors in them."""
    random = torch.Generator().manual_seed(seed)
    to_mask = torch.rand(len(batch.lengths), generator=random) < 0.25
    sequences = batch.input_ids.split(list(batch.lengths))
    original, others = (
        PackedBatch.from_sequences(
            [s for s, m in zip(sequences, to_mask.tolist(), strict=True) if m == wanted]
        )
        for wanted in (True, False)
    )
    masked = objective.masking(original, random)
    return original, masked, objective.errors(others, random)


def test_losses_are_those_of_each_network_on_its_own_sequences(objective, shards):
    """The joint pass gives what two passes over the two parts give."""
    assert isinstance(objective, ErrorDetection)
    batch = batch_from(shards)
    objective.eval()
    losses = objective(batch, 0.0, torch.Generator().manual_seed(3))
    _, masked, changed = parts_of(objective, batch, seed=3)
    cross_entropy = torch.nn.functional.cross_entropy
    mlm = cross_entropy(
        objective.generator.forward_packed(masked.batch, masked.rows), masked.originals
    )
    correction = cross_entropy(
        objective.generator.forward_packed(changed.batch, changed.rows),
        changed.originals,
    )
    rtd = torch.nn.functional.binary_cross_entropy_with_logits(
        objective.discriminator.forward_packed(changed.batch), changed.labels.float()
    )
    assert losses.generator == pytest.approx(mlm.item(), abs=1e-4)
    assert losses.discriminator == pytest.approx(rtd.item(), abs=1e-4)
    total = mlm + 50 * rtd + objective.correction_weight * correction
    assert losses.total.item() == pytest.approx(total.item(), abs=1e-3)
    assert losses.replaced == pytest.approx(changed.labels.float().mean().item())


def test_masked_sequences_serve_again_with_the_generators_samples(objective, shards):
    """Detection sees them too, and correction names what the samples replaced."""
    batch = batch_from(shards)
    objective.eval()
    plain = objective(batch, 0.0, torch.Generator().manual_seed(3))
    drawn = []

    class Sampler(GeneratorSampler):
        def __call__(self, originals, logits, progress, random):
            samples = super().__call__(originals, logits, progress, random)
            # Some samples hit the original, and count as such.
            samples[::3] = originals[::3]
            drawn.append((originals, samples))
            return samples

    objective.sampler = Sampler()
    try:
        losses = objective(batch, 0.0, torch.Generator().manual_seed(3))
    finally:
        objective.sampler = None
    original, masked, changed = parts_of(objective, batch, seed=3)
    ((originals, samples),) = drawn
    assert torch.equal(originals, masked.originals)
    ids = original.input_ids.index_copy(0, masked.rows, samples)
    filled, labels = original.with_ids(ids), ids != original.input_ids
    assert 0 < labels.sum() < len(masked.rows)
    networks = objective.discriminator, objective.generator
    scores = torch.cat([networks[0].forward_packed(b) for b in (changed.batch, filled)])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        scores, torch.cat([changed.labels, labels]).float()
    )
    differ = labels[masked.rows]
    named = torch.cat(
        [
            networks[1].forward_packed(changed.batch, changed.rows),
            networks[1].forward_packed(filled, masked.rows[differ]),
        ]
    )
    correction = torch.nn.functional.cross_entropy(
        named, torch.cat([changed.originals, originals[differ]])
    )
    assert losses.discriminator == pytest.approx(expected.item(), abs=1e-4)
    assert losses.generator == pytest.approx(plain.generator.item(), abs=1e-5)
    total = losses.generator + 50 * expected + objective.correction_weight * correction
    assert losses.total.item() == pytest.approx(total.item(), abs=1e-3)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_batch_without_masks_or_without_errors(objective, shards, share):
    objective.masked_sequences = share
    try:
        losses = objective(batch_from(shards), 0.0, torch.Generator().manual_seed(0))
    finally:
        objective.masked_sequences = 0.25
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert (losses.generator == 0) == (share == 0.0)
    assert (losses.discriminator == 0) == (share == 1.0)


def test_both_heads_share_one_encoder(objective):
    words = objective.discriminator.electra.embeddings.word_embeddings.weight
    assert objective.generator.electra is objective.discriminator.electra
    assert objective.generator.head.decoder.weight is words


def test_a_run_learns_and_resumes_exactly(settings_for, tmp_path):
    settings = settings_with(
        settings_for,
        dropout=0.1,
        objective={"generator_samples": True},
        optimizer={"learn_rate": 2e-3, "layer_decay": 0.8},
        training={"max_steps": 60, "save_every": 30, "evaluate_every": 60},
    )
    rows = []
    whole = Trainer(settings, tmp_path / "whole")
    whole.train(report=rows.append)
    assert rows[-1]["train_rtd"] < rows[0]["train_rtd"]
    assert rows[-1]["train_mlm"] < rows[0]["train_mlm"]

    class Killed(Exception):
        pass

    def kill(trainer):
        if trainer.step == 40:
            raise Killed

    with pytest.raises(Killed):
        Trainer(settings, tmp_path / "killed").train(on_step=kill)
    again = Trainer(settings, tmp_path / "killed")
    assert again.resume() and again.step == 30
    again.train()
    weights = whole.objective.state_dict()
    for name, weight in again.objective.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    pair = open_pair(tmp_path / "whole")
    assert torch.equal(
        pair.generator.electra.embeddings.word_embeddings.weight,
        pair.discriminator.electra.embeddings.word_embeddings.weight,
    )


def test_an_unknown_kind_of_error_is_named(settings_for):
    with pytest.raises(ValueError, match=r"sampler\.errors.*'?typos'?.*typo"):
        settings_with(settings_for, sampler={"errors": {"typos": 1.0}})


@pytest.mark.parametrize("errors", [{}, {"word": 0.0}, {"word": 1.0, "typo": -1.0}])
def test_weights_of_no_use_are_refused(settings_for, errors):
    with pytest.raises(ValueError, match="SE471"):
        settings_with(settings_for, sampler={"errors": errors})


def test_misspellings_need_a_list(settings_for, tmp_path):
    errors = {"misspelling": 1.0}
    with pytest.raises(ValueError, match="SE461"):
        settings_with(settings_for, sampler={"errors": errors})
    listed = tmp_path / "list.txt"
    listed.write_text("teh->the\nhte->the\n", "utf8")
    sampler = {"errors": errors, "misspellings": str(listed), "largest_error_share": 1}
    settings = settings_with(settings_for, sampler=sampler)
    shards = Shards.open(settings.data.shards)
    changed = build_objective(settings, shards).errors(
        batch_from(shards), torch.Generator().manual_seed(0)
    )
    wrong = shards.tokenizer.decode(changed.batch.input_ids[changed.labels].tolist())
    assert set(wrong.split()) == {"teh", "hte"}


def test_a_share_beyond_one_is_refused(settings_for):
    sampler = {"errors": ERRORS, "largest_error_share": 1.5}
    with pytest.raises(ValueError, match="largest_error_share"):
        settings_with(settings_for, sampler=sampler)
