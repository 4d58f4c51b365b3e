import pytest
import torch
from small_networks import (
    CONFIG,
    MASKING,
    batch,
    corrupt_with,
    make_objective,
    random,
)

from spacy_electra.models import (
    ElectraForMaskedLM,
    ElectraForPreTraining,
    PackedBatch,
)
from spacy_electra.pretraining.electric import EnergyCloze
from spacy_electra.pretraining.objective import (
    MaskedLanguageModeling,
    ReplacedTokenDetection,
    corrupt,
)
from spacy_electra.pretraining.samplers import UnigramSampler


def objective(sampler=None, **options):
    return make_objective(ReplacedTokenDetection, sampler, **options)


class Same:
    """A sampler that puts back what stood there."""

    def __call__(self, originals, logits, progress, random):
        return originals


def test_sample_equal_to_the_original_counts_as_original():
    corrupted = corrupt_with(objective(Same()))
    assert torch.equal(corrupted.batch.input_ids, batch().input_ids)
    assert not corrupted.labels.any()


def test_labels_are_where_pieces_differ_and_only_at_masked_places():
    corrupted = corrupt_with(objective(UnigramSampler(torch.ones(60))))
    differ = corrupted.batch.input_ids != batch().input_ids
    assert torch.equal(corrupted.labels, differ)
    assert torch.isin(differ.nonzero().squeeze(-1), corrupted.rows).all()
    assert differ.any()


def test_total_is_the_weighted_sum():
    losses = objective(rtd_weight=50.0)(batch(), 0.0, random())
    torch.testing.assert_close(
        losses.total.detach(), losses.generator + 50 * losses.discriminator
    )


def test_discriminator_sends_no_gradient_to_the_generator():
    task = objective(rtd_weight=50.0)
    scores = task.discriminator.forward_packed(corrupt_with(task).batch)
    scores.sum().backward()
    shared = set(task.discriminator.electra.embeddings.parameters())
    for parameter in task.generator.parameters():
        if parameter not in shared:
            assert parameter.grad is None


def test_embeddings_are_shared():
    task = objective()
    words = task.discriminator.electra.embeddings.word_embeddings.weight
    assert task.generator.electra.embeddings.word_embeddings.weight is words
    assert task.generator.head.decoder.weight is words


def test_losses_are_those_of_the_definition():
    task = objective()
    losses = task(batch(), 0.0, random())
    corrupted = corrupt_with(task)
    scores = task.discriminator.forward_packed(corrupted.batch)
    p = scores.sigmoid()
    expected = -torch.where(corrupted.labels, p, 1 - p).log().mean()
    torch.testing.assert_close(losses.discriminator, expected.detach())
    probability = corrupted.logits.softmax(-1)[
        torch.arange(len(corrupted.rows)), corrupted.originals
    ]
    torch.testing.assert_close(losses.generator, -probability.log().mean().detach())


def test_warm_up_trains_the_encoder_as_a_masked_language_model():
    task = objective(mlm_warmup=0.5)
    task(batch(), 0.4, random()).total.backward()
    assert task.discriminator.electra.encoder.layers[1].attention.qkv.weight.grad.any()
    assert task.discriminator.head.score.weight.grad is None
    task.zero_grad()
    task(batch(), 0.5, random()).total.backward()
    assert task.discriminator.head.score.weight.grad.any()


def test_correction_adds_its_weight():
    plain = objective(mlm_warmup=0.5)(batch(), 0.9, random())
    corrected = objective(mlm_warmup=0.5, correction_weight=2.0)
    losses = corrected(batch(), 0.9, random())
    torch.testing.assert_close(losses.discriminator, plain.discriminator)
    # A new head over 60 pieces knows nothing: its cross-entropy is near log 60.
    added = (losses.total - plain.total).item()
    assert added == pytest.approx(2 * 4.09, rel=0.05)


NOTHING_TO_MASK = [torch.tensor([0, 1, 2]), torch.tensor([1, 2])]


@pytest.mark.parametrize("kind", [ReplacedTokenDetection, EnergyCloze])
@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_batch_without_anything_to_mask_contributes_nothing(kind, progress):
    task = make_objective(kind, mlm_warmup=0.5, correction_weight=1.0)
    losses = task(PackedBatch.from_sequences(NOTHING_TO_MASK), progress, random())
    losses.total.backward()
    assert float(losses.total) == 0
    assert torch.isfinite(losses.stacked()).all()
    gradients = [p.grad for p in task.parameters() if p.grad is not None]
    assert gradients
    assert not any(gradient.any() for gradient in gradients)


def test_masked_language_model_learns_nothing_from_nothing():
    torch.manual_seed(0)
    task = MaskedLanguageModeling(
        ElectraForMaskedLM(CONFIG), ElectraForPreTraining(CONFIG), MASKING
    )
    losses = task(PackedBatch.from_sequences(NOTHING_TO_MASK), 0.0, random())
    losses.total.backward()
    assert float(losses.total) == 0
    assert not any(p.grad.any() for p in task.parameters() if p.grad is not None)


def test_replacements_need_no_generator_where_the_sampler_needs_none():
    sampler = UnigramSampler(torch.ones(60))
    alone = corrupt(batch(), MASKING, None, sampler, 0.0, random())
    beside = corrupt_with(objective(sampler))
    assert torch.equal(alone.batch.input_ids, beside.batch.input_ids)
    assert torch.equal(alone.labels, beside.labels)
    assert alone.logits.shape == (len(alone.rows), 0)
